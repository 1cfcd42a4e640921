"""Buckets, registries, secrets and the trust in a repository's workflows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from loopline.core.records import PreflightCheck
from loopline.google import ApiRefused
from loopline.preflight.check import failed, passed, question, warned
from loopline.preflight.facts import Scene
from loopline.preflight.identities import troubleshoot
from loopline.preflight.needs import Grant

_GITHUB_ISSUER = "https://token.actions.githubusercontent.com"
# Multi-regions, by what the name of a region in them begins with.
_AROUND = {"EU": "europe-", "US": "us-", "ASIA": "asia-"}


@question("bucket")
def check_bucket(scene: Scene) -> Iterator[PreflightCheck]:
    """Does the bucket exist, is it the project's, and does it lie where the machines are?"""
    name, region = scene.settings.bucket, scene.settings.region
    if name is None:
        return
    create = (
        f"gcloud storage buckets create gs://{name} --project={scene.project} --location={region} "
        "--uniform-bucket-level-access --public-access-prevention"
    )
    try:
        bucket = scene.google.call("storage.v1", "buckets.get", {"bucket": name})
    except ApiRefused as refused:
        if refused.is_missing:
            yield failed("bucket", f"gs://{name} does not exist", why="Models, data and runs go there.", fix=create)
            return
        yield failed(
            "bucket",
            f"gs://{name} exists and is not yours to see",
            why="Names of buckets are unique in the whole world; somebody else may have this one.",
            fix="choose another name: [tool.loopline.cloud] bucket in pyproject.toml",
        )
        return
    location = str(bucket.get("location", "")).upper()
    if location != region.upper() and not region.startswith(_AROUND.get(location, "-")):
        yield failed(
            "bucket",
            f"gs://{name} lies in {location}, the machines in {region}",
            why="Every read would cross regions: slower, and paid by the gigabyte.",
            fix=f"gcloud storage buckets create gs://{name}-{region} --project={scene.project} --location={region} "
            "--uniform-bucket-level-access --public-access-prevention",
        )
        return
    access = bucket.get("iamConfiguration", {})
    if access.get("publicAccessPrevention") != "enforced":
        yield warned(
            "bucket",
            f"gs://{name} in {location}; it could be made public",
            why="One mistyped binding would show models and data to everybody.",
            fix=f"gcloud storage buckets update gs://{name} --public-access-prevention",
        )
        return
    yield passed("bucket", f"gs://{name} in {location}")


@question("registry")
def check_registry(scene: Scene) -> Iterator[PreflightCheck]:
    """Is there a Docker repository in the region?"""
    settings = scene.settings
    where = f"projects/{scene.project}/locations/{settings.region}/repositories/{settings.repository}"
    create = (
        f"gcloud artifacts repositories create {settings.repository} --repository-format=docker "
        f"--location={settings.region} --project={scene.project}"
    )
    try:
        repository = scene.google.call("artifactregistry.v1", "projects.locations.repositories.get", {"name": where})
    except ApiRefused as refused:
        if not refused.is_missing:
            raise
        yield failed(
            "registry",
            f"'{settings.repository}' does not exist in {settings.region}",
            why="A push to a repository that is not there is refused; none is made by itself.",
            fix=create,
        )
        return
    if repository.get("format") != "DOCKER":
        yield failed(
            "registry",
            f"'{settings.repository}' is for {repository.get('format')}",
            why="Images are kept in repositories of the format DOCKER only.",
            fix=create.replace(f"create {settings.repository}", f"create {settings.repository}-images"),
        )
        return
    yield passed("registry", where)


@question("secrets")
def check_secrets(scene: Scene) -> Iterator[PreflightCheck]:
    """Does every secret that the settings name have a value, and may the run's account read it?"""
    if scene.target != "cloudrun":
        return
    email = scene.settings.account(scene.settings.run_account)
    for variable, secret in sorted(scene.settings.service.secrets.items()):
        title = f"secret {secret}"
        problem = _problem_of_secret(scene, variable, secret)
        if problem is not None:
            yield problem
            continue
        grant = Grant(
            "run",
            "secretmanager.versions.access",
            f"secret {secret}",
            "roles/secretmanager.secretAccessor",
            f"The container's variable {variable} is read with the run's account when it starts.",
        )
        resource = f"//secretmanager.googleapis.com/projects/{scene.project_number}/secrets/{secret}"
        allowed = troubleshoot(scene, email, grant, resource)
        yield allowed.model_copy(update={"name": title})


def _problem_of_secret(scene: Scene, variable: str, secret: str) -> PreflightCheck | None:
    name = f"projects/{scene.project}/secrets/{secret}/versions/latest"
    add = f"gcloud secrets versions add {secret} --data-file=- --project={scene.project}"
    try:
        version: dict[str, Any] = scene.google.call("secretmanager.v1", "projects.secrets.versions.get", {"name": name})
    except ApiRefused as refused:
        if not refused.is_missing:
            raise
        return failed(
            f"secret {secret}",
            "it does not exist, or has no value",
            why=f"The container's variable {variable} would be missing, so it would not start.",
            fix=f"gcloud secrets create {secret} --data-file=- --project={scene.project}",
        )
    if version.get("state") != "ENABLED":
        return failed(
            f"secret {secret}",
            f"its latest version is {version.get('state')}",
            why=f"A disabled version cannot be read, so {variable} would be missing.",
            fix=add,
        )
    return None


@question("trust in GitHub")
def check_github(scene: Scene) -> Iterator[PreflightCheck]:
    """May the repository's workflows, and no others, act without a key?"""
    repository = scene.settings.github_repository
    if repository is None:
        return
    pool = f"projects/{scene.project}/locations/global/workloadIdentityPools/github"
    options = (
        f"--project={scene.project} --location=global --workload-identity-pool=github "
        f"--attribute-condition=\"assertion.repository=='{repository}'\""
    )
    try:
        provider = scene.google.call(
            "iam.v1", "projects.locations.workloadIdentityPools.providers.get", {"name": f"{pool}/providers/github"}
        )
    except ApiRefused as refused:
        if not refused.is_missing:
            raise
        yield failed(
            "trust in GitHub",
            "there is no provider 'github' in a pool 'github'",
            why="Without it workflows would need a key file, which is how projects are lost to miners.",
            fix=f"gcloud iam workload-identity-pools providers create-oidc github --issuer-uri={_GITHUB_ISSUER} "
            "--attribute-mapping=google.subject=assertion.sub,attribute.repository=assertion.repository " + options,
        )
        return
    if provider.get("disabled") or provider.get("state") != "ACTIVE":
        yield failed(
            "trust in GitHub",
            f"the provider is {'disabled' if provider.get('disabled') else provider.get('state')}",
            why="No workflow gets a token.",
            fix="gcloud iam workload-identity-pools providers update-oidc github --no-disabled " + options,
        )
    elif repository not in provider.get("attributeCondition", ""):
        yield failed(
            "trust in GitHub",
            f"the provider does not ask for the repository {repository}",
            why="Every repository on GitHub is given tokens by the same issuer; without a condition all are let in.",
            fix="gcloud iam workload-identity-pools providers update-oidc github " + options,
        )
    else:
        yield passed("trust in GitHub", repository)
