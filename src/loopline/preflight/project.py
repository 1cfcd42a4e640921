"""Credentials, project, billing, APIs: what everything else stands on."""

from __future__ import annotations

from collections.abc import Iterator

from loopline.core.records import PreflightCheck
from loopline.google import ApiRefused
from loopline.preflight.check import failed, passed, question, unknown, warned
from loopline.preflight.facts import Scene
from loopline.preflight.needs import APIS


def check_credentials(scene: Scene) -> Iterator[PreflightCheck]:
    """Who is asking? A person's credentials must name the project that the questions themselves are counted on."""
    identity = scene.google.identity
    who = f"{identity.kind} {identity.email or 'of unknown name'}"
    if identity.kind == "user" and not identity.quota_project:
        yield failed(
            "credentials",
            f"{who}, without a quota project",
            why="Several APIs refuse a person's credentials that name no project to count the requests on.",
            fix=f"gcloud auth application-default set-quota-project {scene.project}",
        )
    else:
        yield passed("credentials", who)


def check_project(scene: Scene) -> Iterator[PreflightCheck]:
    """Does the project exist, and is it alive?"""
    try:
        record = scene.project_record
    except ApiRefused as refused:
        if refused.reason == "SERVICE_DISABLED":
            yield failed(
                "project",
                "the Resource Manager API is off, so nothing can be asked",
                why="Every other question needs the project's number.",
                fix=f"gcloud services enable cloudresourcemanager.googleapis.com --project={scene.project}",
            )
            return
        # Google answers 403 for a project that does not exist, so that nobody can probe for names.
        yield failed(
            "project",
            f"'{scene.project}' does not exist, or {scene.google.identity.email or 'you'} may not see it",
            why="Everything is made inside a project.",
            fix="gcloud projects list",
        )
        return
    state = record.get("state", "ACTIVE")
    if state != "ACTIVE":
        yield failed(
            "project",
            f"'{scene.project}' is {state}",
            why="A project that is being deleted takes nothing new and is gone within 30 days.",
            fix=f"gcloud projects undelete {scene.project}",
        )
    else:
        yield passed("project", f"{scene.project}, number {scene.project_number}")


@question("billing")
def check_billing(scene: Scene) -> Iterator[PreflightCheck]:
    """Is a billing account linked and open?"""
    billing = scene.google.call("cloudbilling.v1", "projects.getBillingInfo", {"name": f"projects/{scene.project}"})
    if billing.get("billingEnabled"):
        yield passed("billing", billing.get("billingAccountName", "enabled"))
        return
    yield failed(
        "billing",
        "no open billing account is linked",
        why="Without one no paid API can be switched on, not even inside its free tier.",
        fix=f"gcloud billing projects link {scene.project} --billing-account=ACCOUNT_ID",
    )


@question("apis")
def check_apis(scene: Scene) -> Iterator[PreflightCheck]:
    """Are the APIs switched on that the target, and these questions, use?"""
    wanted = [f"{name}.googleapis.com" for name in APIS[scene.target]]
    if scene.settings.service.secrets and scene.target == "cloudrun":
        wanted.append("secretmanager.googleapis.com")
    names = [f"projects/{scene.project}/services/{name}" for name in wanted]
    parameters = {"parent": f"projects/{scene.project}", "names": names}
    answer = scene.google.call("serviceusage.v1", "services.batchGet", parameters)
    states = {item["name"].rpartition("/")[2]: item.get("state") for item in answer.get("services", ())}
    off = [name for name in wanted if states.get(name) != "ENABLED"]
    if off:
        yield failed(
            "apis",
            f"off: {', '.join(off)}",
            why="A request to an API that is off is refused; switching it on takes a minute to spread.",
            fix=f"gcloud services enable {' '.join(off)} --project={scene.project}",
        )
    else:
        yield passed("apis", f"{len(wanted)} are on")


@question("budget alert")
def check_budget_alert(scene: Scene) -> Iterator[PreflightCheck]:
    """Does anybody get a mail when the bill grows? Google never stops spending by itself."""
    billing = scene.google.call("cloudbilling.v1", "projects.getBillingInfo", {"name": f"projects/{scene.project}"})
    account = billing.get("billingAccountName")
    if not account:
        return
    try:
        budgets = list(
            scene.google.pages("billingbudgets.v1", "billingAccounts.budgets.list", {"parent": account}, key="budgets")
        )
    except ApiRefused:
        yield unknown("budget alert", "who may not see the billing account may not see its budgets")
        return
    if budgets:
        yield passed("budget alert", f"{len(budgets)} on the billing account")
        return
    amount = scene.settings.budget_usd or 20
    yield warned(
        "budget alert",
        "the billing account has none",
        why="Google Cloud does not stop at a sum; an alert is the only thing that says so.",
        fix=f"gcloud billing budgets create --billing-account={account.rpartition('/')[2]} --display-name=loopline "
        f"--budget-amount={amount:g}USD --threshold-rule=percent=0.5 --threshold-rule=percent=1.0",
    )
