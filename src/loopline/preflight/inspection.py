"""All checks of a target, in order: what this machine knows, then what the cloud tells."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from loopline.core.errors import UnknownName
from loopline.core.records import Preflight, PreflightCheck, utc_now
from loopline.google import Google, NoCredentials
from loopline.preflight import identities, local, machines, project, quota, resources
from loopline.preflight.check import Check, failed
from loopline.preflight.facts import Facts, Scene

LocalCheck = Callable[[str, Facts], Iterator[PreflightCheck]]

_LOCAL: tuple[LocalCheck, ...] = (
    local.check_settings,
    local.check_findings,
    local.check_image,
    local.check_contract,
    local.check_cost,
)
# Without these nothing else can be asked, so the first that fails ends the list.
_FOUNDATION: tuple[Check, ...] = (project.check_credentials, project.check_project)
_GOOGLE: tuple[Check, ...] = (
    project.check_billing,
    project.check_apis,
    project.check_budget_alert,
    identities.check_your_permissions,
    identities.check_accounts,
    identities.check_grants,
    resources.check_bucket,
    resources.check_registry,
    resources.check_secrets,
    resources.check_github,
)
# A target to what is asked: of a cloud beyond what every target of it asks, or of a machine of your own.
_ON_GOOGLE: Mapping[str, tuple[Check, ...]] = {
    "cloudrun": (),
    "vertex-endpoint": (quota.check_vertex_quota,),
    "vertex": (quota.check_vertex_quota,),
    "vm": (quota.check_vm_quota, quota.check_vm_machine),
}
_OWN: Mapping[str, LocalCheck] = {"kubernetes": machines.check_kubernetes, "compose": machines.check_compose}
TARGETS = (*_ON_GOOGLE, *_OWN)


def preflight(target: str, facts: Facts, *, open_google: Callable[[], Google], model: str | None = None) -> Preflight:
    """Everything that would stop `target`, with the one command that mends each.

    `open_google` is called where the target is on Google Cloud and the settings name a project. Changes nothing
    anywhere. Raises `UnknownName` for a target that does not exist.
    """
    if target not in TARGETS:
        raise UnknownName("target", target, TARGETS)
    begun = time.monotonic()
    checks = [check for ask in _LOCAL for check in ask(target, facts)]
    if target in _OWN:
        checks += _OWN[target](target, facts)
    elif facts.settings.project:
        checks += _ask_google(target, facts, open_google)
    return Preflight(
        target=target, model=model, checks=tuple(checks), duration_s=time.monotonic() - begun, created_at=utc_now()
    )


def _ask_google(target: str, facts: Facts, open_google: Callable[[], Google]) -> list[PreflightCheck]:
    found: list[PreflightCheck] = []
    try:
        scene = Scene(target, facts, open_google())
        for ask in _FOUNDATION:
            found += ask(scene)
            if any(check.status == "failed" for check in found):
                return found
        for ask in (*_GOOGLE, *_ON_GOOGLE[target]):
            found += ask(scene)
    except NoCredentials as error:
        fix = error.next_command or "gcloud auth application-default login"
        found.append(failed("credentials", error.message, why="Nothing can be asked, or done, without them.", fix=fix))
    return found
