"""Seeded faults: a healthy set of cloud things with one of them broken, and how that must be named and mended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests import recorded_google as recorded
from tests.recorded_google import USER, Reply, refusal

from loopline.core.records import ContractCheck, ContractRun, PreflightCheck, utc_now
from loopline.google import Identity
from loopline.preflight import ImageFacts

MIB = 1 << 20


def contract_run(*, peak_mib: int = 400, fit_mib: int = 512, port: bool = True) -> ContractRun:
    """How a server did under Cloud Run's contract."""
    found = "answered on 8080" if port else "listens on 8000, asked on 8080"
    check = ContractCheck(name="port", passed=port, found=found, fix=None if port else "loopline serve … --port $PORT")
    return ContractRun(
        contract="cloudrun",
        subject="fashion@champion",
        isolation="process",
        memory_limit_mib=1024,
        checks=(check,),
        peak_memory_bytes=peak_mib * MIB,
        smallest_fit_mib=fit_mib,
        created_at=utc_now(),
    )


@dataclass(frozen=True)
class Fault:
    """What is broken, in which target, and how it must be named and mended."""

    target: str
    check: str
    found: str
    fix: str
    changes: dict[str, Reply] | None = None
    settings: dict[str, Any] | None = None
    facts: dict[str, Any] | None = None
    identity: Identity = USER
    status: str = "failed"


def not_granted(permission: str) -> dict[str, Reply]:
    """The Policy Troubleshooter's answers where one permission was never given."""

    def answer(asked: recorded.Request) -> dict[str, Any]:
        given = asked.body["accessTuple"]["permission"] != permission
        return {"access": "GRANTED" if given else "NOT_GRANTED", "explainedPolicies": []}

    return {recorded.TROUBLESHOOT: answer}


def without(permission: str) -> dict[str, Reply]:
    """What testIamPermissions answers where you lack one."""
    return {recorded.YOU_MAY: lambda asked: {"permissions": [p for p in asked.body["permissions"] if p != permission]}}


def disabled_api(name: str) -> dict[str, Reply]:
    """What Service Usage answers where one API is off."""

    def answer(asked: recorded.Request) -> dict[str, Any]:
        states = {full: "DISABLED" if name in full else "ENABLED" for full in asked.query["names"]}
        return {"services": [{"name": full, "state": state} for full, state in states.items()]}

    return {recorded.APIS: answer}


def in_bucket(**changes: Any) -> dict[str, Reply]:
    """The bucket with something else about it."""
    found = recorded.healthy()[recorded.BUCKET]
    assert isinstance(found, dict)
    return {recorded.BUCKET: {**found, **changes}}


def vm_quota(**limits: float) -> dict[str, Reply]:
    """Compute Engine's quotas of the region, all else plenty."""
    every = {"CPUS": 72.0, "NVIDIA_T4_GPUS": 1.0, **limits}
    quotas = [{"metric": name, "limit": limit, "usage": 0.0} for name, limit in every.items()]
    return {recorded.VM_QUOTA: {"kind": "compute#region", "quotas": quotas}}


MISSING = refusal(404, "NOT_FOUND", "not found")
DENIED = refusal(403, "PERMISSION_DENIED", "The caller does not have permission")
FAULTS: dict[str, Fault] = {
    "a person without a quota project": Fault(
        "cloudrun",
        "credentials",
        "without a quota project",
        "gcloud auth application-default set-quota-project potato-lab",
        identity=Identity("user", "ada@example.org"),
    ),
    "no such project": Fault(
        "cloudrun",
        "project",
        "does not exist, or ada@example.org may not see it",
        "gcloud projects list",
        {recorded.PROJECT_GET: DENIED},
    ),
    "Resource Manager off": Fault(
        "cloudrun",
        "project",
        "API is off",
        "gcloud services enable cloudresourcemanager",
        {recorded.PROJECT_GET: refusal(403, "PERMISSION_DENIED", details="SERVICE_DISABLED")},
    ),
    "project being deleted": Fault(
        "cloudrun",
        "project",
        "DELETE_REQUESTED",
        "gcloud projects undelete potato-lab",
        {recorded.PROJECT_GET: {"name": "projects/1", "state": "DELETE_REQUESTED"}},
    ),
    "billing off": Fault(
        "cloudrun",
        "billing",
        "no open billing account",
        "gcloud billing projects link potato-lab",
        {recorded.BILLING: {"name": "projects/potato-lab/billingInfo", "billingEnabled": False}},
    ),
    "Cloud Run's API off": Fault(
        "cloudrun",
        "apis",
        "run.googleapis.com",
        "gcloud services enable run.googleapis.com",
        disabled_api("run.googleapis"),
    ),
    "Vertex's API off": Fault(
        "vertex", "apis", "aiplatform", "gcloud services enable aiplatform", disabled_api("aiplatform")
    ),
    "no alert on the bill": Fault(
        "cloudrun", "budget alert", "none", "gcloud billing budgets create", {recorded.BUDGETS: {}}, status="warned"
    ),
    "you may not deploy": Fault(
        "cloudrun",
        "your permissions",
        "missing: run.services.create",
        "--member=user:ada@example.org --role=roles/run.developer",
        without("run.services.create"),
    ),
    "you may not open it to everybody": Fault(
        "cloudrun",
        "your permissions",
        "missing: run.services.setIamPolicy",
        "--role=roles/run.admin",
        without("run.services.setIamPolicy"),
        settings={"service": {"public": True}},
    ),
    "run account missing": Fault(
        "cloudrun",
        "run account",
        "'loopline-run@potato-lab.iam.gserviceaccount.com' does not exist",
        "gcloud iam service-accounts create loopline-run",
        {recorded.RUN_ACCOUNT: MISSING},
    ),
    "run account disabled": Fault(
        "cloudrun",
        "run account",
        "is disabled",
        "gcloud iam service-accounts enable loopline-run@",
        {recorded.RUN_ACCOUNT: {"email": "loopline-run@potato-lab.iam.gserviceaccount.com", "disabled": True}},
    ),
    "you may not act as the run account": Fault(
        "cloudrun",
        "run account",
        "you may not act as",
        "--role=roles/iam.serviceAccountUser",
        {recorded.ACT_AS.replace("[^/]+", "loopline-run@[^/]+"): {}},
    ),
    "the build's account is not the run's": Fault(
        "cloudrun",
        "the build may artifactregistry.repositories.uploadArtifacts",
        "loopline-build@potato-lab.iam.gserviceaccount.com may not",
        "@potato-lab.iam.gserviceaccount.com --role=roles/artifactregistry.writer",
        not_granted("artifactregistry.repositories.uploadArtifacts"),
    ),
    "Cloud Run may not pull": Fault(
        "cloudrun",
        "agent serverless-robot-prod may artifactregistry.repositories.downloadArtifacts",
        "service-123456789012@serverless-robot-prod.iam.gserviceaccount.com may not",
        "gcloud artifacts repositories add-iam-policy-binding loopline",
        not_granted("artifactregistry.repositories.downloadArtifacts"),
    ),
    "the model cannot be reached by the run": Fault(
        "vertex-endpoint",
        "the run may storage.objects.get",
        "loopline-run@potato-lab.iam.gserviceaccount.com may not",
        "gcloud storage buckets add-iam-policy-binding gs://potato-models",
        not_granted("storage.objects.get"),
    ),
    "checkpoints cannot be written": Fault(
        "vertex",
        "the run may storage.objects.create",
        "may not",
        "--role=roles/storage.objectAdmin",
        not_granted("storage.objects.create"),
    ),
    "the machine could not delete itself": Fault(
        "vm",
        "the run may compute.instances.delete",
        "may not",
        "--role=roles/compute.instanceAdmin.v1",
        not_granted("compute.instances.delete"),
    ),
    "bucket missing": Fault(
        "vertex",
        "bucket",
        "gs://potato-models does not exist",
        "gcloud storage buckets create gs://potato-models",
        {recorded.BUCKET: MISSING},
    ),
    "bucket of somebody else": Fault("vertex", "bucket", "not yours", "choose another name", {recorded.BUCKET: DENIED}),
    "bucket in another region": Fault(
        "vertex",
        "bucket",
        "lies in US-CENTRAL1, the machines in europe-west1",
        "--location=europe-west1",
        in_bucket(location="US-CENTRAL1"),
    ),
    "bucket that could be public": Fault(
        "vertex",
        "bucket",
        "could be made public",
        "--public-access-prevention",
        in_bucket(iamConfiguration={"publicAccessPrevention": "inherited"}),
        status="warned",
    ),
    "registry missing": Fault(
        "cloudrun",
        "registry",
        "'loopline' does not exist in europe-west1",
        "gcloud artifacts repositories create loopline --repository-format=docker --location=europe-west1",
        {recorded.REPOSITORY: MISSING},
    ),
    "registry for Python packages": Fault(
        "cloudrun", "registry", "for PYTHON", "--repository-format=docker", {recorded.REPOSITORY: {"format": "PYTHON"}}
    ),
    "secret missing": Fault(
        "cloudrun",
        "secret token",
        "does not exist, or has no value",
        "gcloud secrets create token",
        {recorded.SECRET: MISSING},
    ),
    "secret disabled": Fault(
        "cloudrun",
        "secret token",
        "DISABLED",
        "gcloud secrets versions add token",
        {recorded.SECRET: {"state": "DISABLED"}},
    ),
    "secret out of the run's reach": Fault(
        "cloudrun",
        "secret token",
        "loopline-run@potato-lab.iam.gserviceaccount.com may not",
        "gcloud secrets add-iam-policy-binding token",
        not_granted("secretmanager.versions.access"),
    ),
    "no quota for the card on Vertex": Fault(
        "vertex",
        "quota",
        "custom_model_training_nvidia_t4_gpus is 0 in europe-west1; the job needs 1",
        "iam-admin/quotas",
        {
            recorded.VERTEX_QUOTA.replace("Metrics/.*", "Metrics/.*_gpus"): {
                "consumerQuotaLimits": [{"quotaBuckets": [{"effectiveLimit": "0"}]}]
            }
        },
    ),
    "no quota for the card on a machine": Fault(
        "vm", "quota", "NVIDIA_T4_GPUS in europe-west1: 0 of 0 used", "iam-admin/quotas", vm_quota(NVIDIA_T4_GPUS=0.0)
    ),
    "no quota for cards anywhere": Fault(
        "vm",
        "quota",
        "GPUS_ALL_REGIONS: 0 of 0 used; the machine needs 1",
        "iam-admin/quotas",
        {recorded.VM_QUOTA_ALL: {"quotas": [{"metric": "GPUS_ALL_REGIONS", "limit": 0.0}]}},
    ),
    "no such machine in the zone": Fault(
        "vm",
        "machine",
        "zone europe-west1-b has no n1-standard-4",
        "gcloud compute machine-types list",
        {recorded.MACHINE_TYPE: MISSING},
    ),
    "no such card in the zone": Fault(
        "vm",
        "card",
        "zone europe-west1-b has no nvidia-tesla-t4",
        "gcloud compute accelerator-types list",
        {recorded.CARD_TYPE: MISSING},
    ),
    "no provider for workflows": Fault(
        "cloudrun",
        "trust in GitHub",
        "no provider 'github'",
        "gcloud iam workload-identity-pools providers create-oidc github",
        {recorded.PROVIDER: MISSING},
    ),
    "workflows of everybody": Fault(
        "cloudrun",
        "trust in GitHub",
        "does not ask for the repository potato/lab",
        "assertion.repository=='potato/lab'",
        {recorded.PROVIDER: {"state": "ACTIVE"}},
    ),
    "provider disabled": Fault(
        "cloudrun",
        "trust in GitHub",
        "is disabled",
        "--no-disabled",
        {recorded.PROVIDER: {"state": "ACTIVE", "disabled": True}},
    ),
    "image for another processor": Fault(
        "cloudrun",
        "image platform",
        "built for linux/arm64; cloudrun runs linux/amd64",
        "--platform=linux/amd64",
        facts={"image": ImageFacts("linux/arm64")},
    ),
    "wrong port": Fault(
        "cloudrun",
        "port",
        "listens on 8000; it is asked on 8080",
        "port = 8000",
        facts={"image": ImageFacts("linux/amd64", port=8000)},
    ),
    "image of 11 GB": Fault(
        "cloudrun",
        "image size",
        "11.0 GB",
        "loopline image serve",
        facts={"image": ImageFacts("linux/amd64", num_bytes=11_000_000_000)},
    ),
    "wrong port in the contract run": Fault(
        "cloudrun",
        "contract: port",
        "listens on 8000, asked on 8080",
        "--port $PORT",
        facts={"contract": contract_run(port=False)},
    ),
    "512 MiB for a model that needs 780": Fault(
        "cloudrun",
        "memory",
        "needs about 780 MiB, limit 512 MiB",
        "set memory_mib = 1024",
        settings={"service": {"memory_mib": 512}},
        facts={"contract": contract_run(peak_mib=780, fit_mib=1024)},
    ),
    "never tried under the contract": Fault(
        "cloudrun",
        "contract",
        "not tried",
        "loopline run --contract cloudrun",
        facts={"contract": None},
        status="warned",
    ),
    "an endpoint over the budget": Fault(
        "vertex-endpoint", "cost", "the budget is 50.00 USD", "--budget", settings={"budget_usd": 50.0}
    ),
    "a run over the budget": Fault(
        "vertex", "cost", "the budget is 1.00 USD", "lower max_hours", settings={"budget_usd": 1.0}
    ),
    "no bucket named": Fault("vertex", "settings", "no bucket named", 'add bucket = "…"', settings={"bucket": None}),
    "a key in the build's context": Fault(
        "cloudrun",
        "build context",
        "key.json holds a private key",
        "echo key.json >> .dockerignore",
        facts={
            "findings": (
                PreflightCheck(
                    name="build context",
                    status="failed",
                    found="key.json holds a private key",
                    why="Whoever gets the image gets the key.",
                    fix="echo key.json >> .dockerignore",
                ),
            )
        },
    ),
}
