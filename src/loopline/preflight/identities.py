"""Each identity that will act: you, the build's account, the run's account, Google's own agents.

Whether an account is allowed something is asked of the Policy Troubleshooter, which follows what is inherited from
folders and the organization, groups, and grants on the thing itself; reading one policy would miss all of these.
"""

from __future__ import annotations

from collections.abc import Iterator

from loopline.core.records import PreflightCheck
from loopline.google import ApiRefused
from loopline.preflight.check import failed, passed, question, unknown
from loopline.preflight.facts import Scene
from loopline.preflight.needs import GRANTS, PUBLIC_PERMISSION, YOUR_PERMISSIONS, Grant


@question("your permissions")
def check_your_permissions(scene: Scene) -> Iterator[PreflightCheck]:
    """May you do what a deployment does?"""
    wanted = dict(YOUR_PERMISSIONS[scene.target])
    if scene.target == "cloudrun" and scene.settings.service.public:
        wanted |= [PUBLIC_PERMISSION]
    answer = scene.google.call(
        "cloudresourcemanager.v3",
        "projects.testIamPermissions",
        {"resource": f"projects/{scene.project}"},
        body={"permissions": sorted(wanted)},
    )
    missing = sorted(wanted.keys() - set(answer.get("permissions", ())))
    if not missing:
        yield passed("your permissions", f"{len(wanted)} of {len(wanted)}")
        return
    role = wanted[missing[0]]
    yield failed(
        "your permissions",
        f"missing: {', '.join(missing)}",
        why=f"These are what a deployment to {scene.target} does with your credentials; {role} carries the first.",
        fix=f"gcloud projects add-iam-policy-binding {scene.project} --member={scene.google.identity.member} "
        f"--role={role}",
    )


@question("accounts")
def check_accounts(scene: Scene) -> Iterator[PreflightCheck]:
    """Do the build's and the run's accounts exist, are they enabled, and may you let things run as them?"""
    for what, name in (("build", scene.settings.build_account), ("run", scene.settings.run_account)):
        email = scene.settings.account(name)
        title = f"{what} account"
        resource = f"projects/{scene.project}/serviceAccounts/{email}"
        try:
            account = scene.google.call("iam.v1", "projects.serviceAccounts.get", {"name": resource})
        except ApiRefused as refused:
            if not refused.is_missing:
                raise
            yield failed(
                title,
                f"'{email}' does not exist",
                why="Without an account of its own the default one would act, which may do nearly everything.",
                fix=f"gcloud iam service-accounts create {email.partition('@')[0]} --project={scene.project}",
            )
            continue
        if account.get("disabled"):
            yield failed(
                title,
                f"'{email}' is disabled",
                why="A disabled account gets no tokens, so what runs as it can reach nothing.",
                fix=f"gcloud iam service-accounts enable {email} --project={scene.project}",
            )
            continue
        may = scene.google.call(
            "iam.v1",
            "projects.serviceAccounts.testIamPermissions",
            {"resource": resource},
            body={"permissions": ["iam.serviceAccounts.actAs"]},
        )
        if not may.get("permissions"):
            yield failed(
                title,
                f"you may not act as '{email}'",
                why="Who starts something that runs as an account must be allowed to act as it.",
                fix=f"gcloud iam service-accounts add-iam-policy-binding {email} --project={scene.project} "
                f"--member={scene.google.identity.member} --role=roles/iam.serviceAccountUser",
            )
        else:
            yield passed(title, email)


@question("roles of the accounts")
def check_grants(scene: Scene) -> Iterator[PreflightCheck]:
    """Is each account allowed what it will do?"""
    for grant in GRANTS[scene.target]:
        if grant.on != "bucket" or scene.settings.bucket:
            yield troubleshoot(scene, _email(scene, grant.account), grant, _resource(scene, grant.on))


def troubleshoot(scene: Scene, email: str, grant: Grant, resource: str) -> PreflightCheck:
    """One account, one permission, one thing.

    https://cloud.google.com/policy-intelligence/docs/troubleshoot-access
    """
    asked = {"accessTuple": {"principal": email, "fullResourceName": resource, "permission": grant.permission}}
    answer = scene.google.call("policytroubleshooter.v1", "iam.troubleshoot", body=asked)
    title = f"{_short(grant.account)} may {grant.permission}"
    access = answer.get("access", "UNKNOWN_INFO_DENIED")
    if access == "GRANTED":
        return passed(title, email)
    if access == "NOT_GRANTED":
        return failed(title, f"{email} may not", why=grant.why, fix=_grant_command(scene, grant, email))
    return unknown(
        title,
        f"{email}: {'only under a condition' if access == 'UNKNOWN_CONDITIONAL' else 'you may not see every policy'}",
        fix=_grant_command(scene, grant, email),
    )


def _short(account: str) -> str:
    return {"build": "the build", "run": "the run"}.get(account, f"agent {account.partition('.')[0]}")


def _email(scene: Scene, account: str) -> str:
    if account == "build":
        return scene.settings.account(scene.settings.build_account)
    if account == "run":
        return scene.settings.account(scene.settings.run_account)
    return f"service-{scene.project_number}@{account}"


def _resource(scene: Scene, on: str) -> str:
    """https://cloud.google.com/iam/docs/full-resource-names"""
    settings = scene.settings
    if on == "bucket":
        return f"//storage.googleapis.com/projects/_/buckets/{settings.bucket}"
    if on == "repository":
        where = f"projects/{scene.project}/locations/{settings.region}/repositories/{settings.repository}"
        return f"//artifactregistry.googleapis.com/{where}"
    return f"//cloudresourcemanager.googleapis.com/projects/{scene.project}"


def _grant_command(scene: Scene, grant: Grant, email: str) -> str:
    """The narrowest place where the role can be given: the thing itself."""
    member = f"--member=serviceAccount:{email} --role={grant.role}"
    settings = scene.settings
    if grant.on == "bucket":
        return f"gcloud storage buckets add-iam-policy-binding gs://{settings.bucket} {member}"
    if grant.on == "repository":
        return (
            f"gcloud artifacts repositories add-iam-policy-binding {settings.repository} "
            f"--location={settings.region} --project={scene.project} {member}"
        )
    if grant.on.startswith("secret "):
        return f"gcloud secrets add-iam-policy-binding {grant.on[7:]} --project={scene.project} {member}"
    return f"gcloud projects add-iam-policy-binding {scene.project} {member}"
