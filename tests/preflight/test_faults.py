"""Seeded faults: each is named, with the one command that mends it, and nothing else is; a healthy set has none."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest
from tests import recorded_google as recorded
from tests.recorded_google import PROJECT, USER, Reply, refusal

from loopline.core.errors import UnknownName
from loopline.core.records import CloudSettings, ContractCheck, ContractRun, Preflight, PreflightCheck, utc_now
from loopline.core.workspace import Workspace
from loopline.google import Google, Identity, NoCredentials
from loopline.preflight import Facts, ImageFacts, preflight
from loopline.prices import job_cost, read_prices, service_cost

MIB = 1 << 20
SETTINGS: dict[str, Any] = {
    "project": PROJECT,
    "bucket": "potato-models",
    "github_repository": "potato/lab",
    "budget_usd": 50,
    "service": {"memory_mib": 1024, "secrets": {"LABEL_TOKEN": "token"}},
    "job": {"accelerator": "nvidia-tesla-t4"},
}
GOOGLE_TARGETS = ("cloudrun", "vertex-endpoint", "vertex", "vm")


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


def look(
    target: str,
    changes: dict[str, Reply] | None = None,
    *,
    settings: dict[str, Any] | None = None,
    identity: Identity = USER,
    **facts: Any,
) -> Preflight:
    """A preflight of the healthy set with some answers, settings or facts replaced."""
    chosen = CloudSettings.model_validate({**SETTINGS, **(settings or {})})
    prices = read_prices(Workspace.default())
    cost = job_cost(target, chosen, prices) if target in ("vertex", "vm") else service_cost(target, chosen, prices)
    given = Facts(chosen, **{"image": ImageFacts("linux/amd64"), "contract": contract_run(), "cost": cost, **facts})
    # The first pattern that fits answers, so changes come first.
    google, _ = recorded.google({**(changes or {}), **recorded.healthy(), **(changes or {})}, identity=identity)
    return preflight(target, given, open_google=lambda: google)


def complaints(found: Preflight) -> list[PreflightCheck]:
    """What is not as it should be."""
    return [check for check in found.checks if check.status != "passed"]


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


@pytest.mark.parametrize("target", GOOGLE_TARGETS)
def test_a_healthy_set_has_no_faults(target: str) -> None:
    """Nothing is complained of where nothing is missing, and it takes less than the five seconds that are promised."""
    begun = time.monotonic()
    # A budget that every target of the set stays under.
    found = look(target, settings={"budget_usd": 500})
    assert complaints(found) == []
    assert found.passed
    assert len(found.checks) > 12
    assert found.duration_s <= time.monotonic() - begun


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named_and_nothing_else(name: str) -> None:
    """One thing is broken; it is named, with what mends it, and no other check complains because of it."""
    fault = FAULTS[name]
    # An endpoint costs more than the budget of the others.
    budget = {"budget_usd": 500} if fault.target == "vertex-endpoint" and fault.check != "cost" else {}
    found = look(
        fault.target,
        fault.changes,
        settings={**budget, **(fault.settings or {})},
        identity=fault.identity,
        **(fault.facts or {}),
    )
    wrong = complaints(found)
    if fault.check == "contract":
        # What was not tried has no figure either.
        wrong = [check for check in wrong if check.name != "memory"]
    assert [(check.name, check.status) for check in wrong] == [(fault.check, fault.status)]
    assert fault.found in wrong[0].found
    assert fault.fix in (wrong[0].fix or "")
    assert wrong[0].why
    assert found.passed == (fault.status != "failed")


def test_there_are_more_than_twenty_faults() -> None:
    """The promise is twenty."""
    assert len(FAULTS) > 40


def test_credentials_that_do_not_exist_end_the_questions() -> None:
    """What can be told without a cloud is told; then how to log in."""

    def nobody() -> Google:
        raise NoCredentials("no usable credentials.", next_command="gcloud auth application-default login")

    settings = CloudSettings.model_validate({**SETTINGS, "project": PROJECT})
    found = preflight("cloudrun", Facts(settings), open_google=nobody)
    failures = [check for check in found.checks if check.status == "failed"]
    assert [(check.name, check.fix) for check in failures] == [("credentials", "gcloud auth application-default login")]


def test_no_project_no_questions() -> None:
    """Where no project is named nobody is asked."""

    def never() -> Google:
        raise AssertionError("Google was asked")

    found = preflight("cloudrun", Facts(CloudSettings()), open_google=never)
    assert [check.name for check in found.checks if check.status == "failed"] == ["settings"]


def test_what_may_not_be_seen_is_unknown() -> None:
    """Where a person may not see billing and policies, nothing is claimed, and nothing fails for it."""
    changes: dict[str, Reply] = {recorded.BILLING: DENIED, recorded.TROUBLESHOOT: {"access": "UNKNOWN_INFO_DENIED"}}
    found = look("cloudrun", changes)
    assert found.passed
    unsure = {check.name for check in found.checks if check.status == "unknown"}
    assert {"billing", "the build may logging.logEntries.create"} <= unsure


def test_a_bucket_in_a_region_around_the_machines_is_near() -> None:
    """A multi-region bucket that includes the region is no fault."""
    assert complaints(look("vertex", in_bucket(location="EU"))) == []


def test_an_unknown_target_lists_the_known() -> None:
    """As every table does."""
    with pytest.raises(UnknownName, match=r"target 'cloudrum' does not exist; known: .*Did you mean 'cloudrun'"):
        preflight("cloudrum", Facts(CloudSettings()), open_google=lambda: None)  # type: ignore[arg-type, return-value] # never called
