"""Google Cloud as recorded answers: a transport at the client's own seam, and a project in which all is well.

The answers have the shape that the services' reference pages document; the client itself, its addresses and its checks
of parameters are the real ones. What a test changes is one answer.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httplib2

from loopline.google import Google, Identity

PROJECT, NUMBER, REGION = "potato-lab", "123456789012", "europe-west1"
EMAIL = "ada@example.org"
USER = Identity("user", EMAIL, quota_project=PROJECT, project=PROJECT)
Reply = dict[str, Any] | tuple[int, dict[str, Any]] | Callable[["Request"], Any]


class Request:
    """A request as it reached the wire."""

    def __init__(self, method: str, uri: str, body: Any) -> None:
        parts = urlsplit(uri)
        self.method = method
        self.host = parts.netloc
        self.path = unquote(parts.path)
        self.query = parse_qs(parts.query)
        self.body: Any = json.loads(body) if body else {}

    @property
    def key(self) -> str:
        """`GET run.googleapis.com/v1/…`."""
        return f"{self.method} {self.host}{self.path}"


class RecordedHttp:
    """httplib2's seam: answers a request by the first pattern that fits it, and remembers what was asked.

    An answer is a body, a status with a body, or a function of the request. What nobody recorded fails the test.
    """

    def __init__(self, answers: dict[str, Reply]) -> None:
        self.answers = answers
        self.requests: list[Request] = []

    def request(
        self,
        uri: str,
        method: str = "GET",
        body: Any = None,
        headers: Any = None,
        redirections: int = 5,
        connection_type: Any = None,
    ) -> tuple[httplib2.Response, bytes]:
        """Answers like httplib2."""
        asked = Request(method, uri, body)
        self.requests.append(asked)
        for pattern, answer in self.answers.items():
            if re.fullmatch(pattern, asked.key):
                reply = answer(asked) if callable(answer) else answer
                status, value = reply if isinstance(reply, tuple) else (200, reply)
                text = json.dumps(value).encode()
                return httplib2.Response({"status": str(status), "content-type": "application/json"}), text
        raise AssertionError(f"nobody recorded an answer to {asked.key}")

    def sent(self, pattern: str) -> list[Request]:
        """The requests that fit a pattern."""
        return [asked for asked in self.requests if re.fullmatch(pattern, asked.key)]


def refusal(status: int, reason: str, said: str = "refused", *, details: str | None = None) -> tuple[int, Any]:
    """An error in the form of google.rpc.Status."""
    error: dict[str, Any] = {"code": status, "message": said, "status": reason}
    if details is not None:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        error["details"] = [{"@type": kind, "reason": details, "domain": "googleapis.com"}]
    return status, {"error": error}


def healthy() -> dict[str, Reply]:
    """Every answer that a preflight of any target asks for, of a project in which nothing is missing."""
    return copy.copy(_HEALTHY)


def google(answers: dict[str, Reply], *, identity: Identity = USER) -> tuple[Google, RecordedHttp]:
    """A client over recorded answers, and the answers' own memory."""
    http = RecordedHttp(answers)
    return Google(http, identity), http


def _enabled(asked: Request) -> dict[str, Any]:
    return {"services": [{"name": name, "state": "ENABLED"} for name in asked.query["names"]]}


def _all_permissions(asked: Request) -> dict[str, Any]:
    return {"permissions": asked.body["permissions"]}


def _account(asked: Request) -> dict[str, Any]:
    email = asked.path.rpartition("/")[2]
    return {"name": asked.path.removeprefix("/v1/"), "projectId": PROJECT, "uniqueId": "1", "email": email}


def _quota_metric(asked: Request) -> dict[str, Any]:
    metric = asked.path.partition("/consumerQuotaMetrics/")[2]
    buckets = [
        {"effectiveLimit": "0", "defaultLimit": "0"},
        {"effectiveLimit": "42", "defaultLimit": "0", "dimensions": {"region": REGION}},
    ]
    return {
        "name": asked.path.removeprefix("/v1beta1/"),
        "metric": metric,
        "unit": "1/{project}/{region}",
        "consumerQuotaLimits": [{"metric": metric, "unit": "1/{project}/{region}", "quotaBuckets": buckets}],
    }


_RESOURCE_MANAGER, _IAM = r"cloudresourcemanager\.googleapis\.com", r"iam\.googleapis\.com"
_COMPUTE = rf"compute\.googleapis\.com/compute/v1/projects/{PROJECT}"
_SECRETS = r"secretmanager\.googleapis\.com"
# By what a test replaces.
PROJECT_GET = rf"GET {_RESOURCE_MANAGER}/v3/projects/{PROJECT}"
YOU_MAY = rf"POST {_RESOURCE_MANAGER}/v3/projects/{PROJECT}:testIamPermissions"
BILLING = rf"GET cloudbilling\.googleapis\.com/v1/projects/{PROJECT}/billingInfo"
BUDGETS = r"GET billingbudgets\.googleapis\.com/v1/billingAccounts/[^/]+/budgets"
APIS = rf"GET serviceusage\.googleapis\.com/v1/projects/{PROJECT}/services:batchGet"
ACT_AS = rf"POST {_IAM}/v1/projects/{PROJECT}/serviceAccounts/[^/]+:testIamPermissions"
ACCOUNT = rf"GET {_IAM}/v1/projects/{PROJECT}/serviceAccounts/[^/]+"
RUN_ACCOUNT = rf"GET {_IAM}/v1/projects/{PROJECT}/serviceAccounts/loopline-run@[^/]+"
PROVIDER = rf"GET {_IAM}/v1/projects/{PROJECT}/locations/global/workloadIdentityPools/github/providers/github"
TROUBLESHOOT = r"POST policytroubleshooter\.googleapis\.com/v1/iam:troubleshoot"
BUCKET = r"GET storage\.googleapis\.com/storage/v1/b/potato-models"
REPOSITORY = rf"GET artifactregistry\.googleapis\.com/v1/projects/{PROJECT}/locations/{REGION}/repositories/loopline"
SECRET = rf"GET {_SECRETS}/v1/projects/{PROJECT}/secrets/[^/]+/versions/latest"
VERTEX_QUOTA = r"GET serviceusage\.googleapis\.com/v1beta1/projects/\d+/services/.*/consumerQuotaMetrics/.*"
VM_QUOTA = rf"GET {_COMPUTE}/regions/{REGION}"
VM_QUOTA_ALL = rf"GET {_COMPUTE}"
MACHINE_TYPE = rf"GET {_COMPUTE}/zones/[^/]+/machineTypes/[^/]+"
CARD_TYPE = rf"GET {_COMPUTE}/zones/[^/]+/acceleratorTypes/[^/]+"

_HEALTHY: dict[str, Reply] = {
    PROJECT_GET: {
        "name": f"projects/{NUMBER}",
        "projectId": PROJECT,
        "state": "ACTIVE",
        "displayName": "Potato lab",
        "parent": "organizations/987654321098",
    },
    YOU_MAY: _all_permissions,
    BILLING: {
        "name": f"projects/{PROJECT}/billingInfo",
        "projectId": PROJECT,
        "billingAccountName": "billingAccounts/012345-567890-ABCDEF",
        "billingEnabled": True,
    },
    BUDGETS: {"budgets": [{"name": "billingAccounts/012345-567890-ABCDEF/budgets/1", "displayName": "loopline"}]},
    APIS: _enabled,
    ACT_AS: _all_permissions,
    ACCOUNT: _account,
    PROVIDER: {
        "name": f"projects/{NUMBER}/locations/global/workloadIdentityPools/github/providers/github",
        "state": "ACTIVE",
        "attributeMapping": {"google.subject": "assertion.sub"},
        "attributeCondition": "assertion.repository=='potato/lab'",
        "oidc": {"issuerUri": "https://token.actions.githubusercontent.com"},
    },
    TROUBLESHOOT: {"access": "GRANTED", "explainedPolicies": []},
    BUCKET: {
        "kind": "storage#bucket",
        "id": "potato-models",
        "name": "potato-models",
        "location": REGION.upper(),
        "locationType": "region",
        "iamConfiguration": {
            "publicAccessPrevention": "enforced",
            "uniformBucketLevelAccess": {"enabled": True},
        },
    },
    REPOSITORY: {
        "name": f"projects/{PROJECT}/locations/{REGION}/repositories/loopline",
        "format": "DOCKER",
        "mode": "STANDARD_REPOSITORY",
    },
    SECRET: {"name": f"projects/{NUMBER}/secrets/token/versions/3", "state": "ENABLED"},
    VERTEX_QUOTA: _quota_metric,
    VM_QUOTA: {
        "kind": "compute#region",
        "name": REGION,
        "quotas": [
            {"metric": "CPUS", "limit": 72.0, "usage": 4.0},
            {"metric": "NVIDIA_T4_GPUS", "limit": 1.0, "usage": 0.0},
            {"metric": "PREEMPTIBLE_NVIDIA_T4_GPUS", "limit": 1.0, "usage": 0.0},
        ],
    },
    VM_QUOTA_ALL: {
        "kind": "compute#project",
        "name": PROJECT,
        "quotas": [{"metric": "GPUS_ALL_REGIONS", "limit": 1.0, "usage": 0.0}],
    },
    MACHINE_TYPE: {"kind": "compute#machineType", "name": "n1-standard-4", "guestCpus": 4, "memoryMb": 15360},
    CARD_TYPE: {"kind": "compute#acceleratorType", "name": "nvidia-tesla-t4"},
}
