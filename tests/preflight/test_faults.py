"""Seeded faults: each is named, with the one command that mends it, and nothing else is; a healthy set has none."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests import recorded_google as recorded
from tests.preflight.faults import DENIED, FAULTS, contract_run, in_bucket
from tests.recorded_google import PROJECT, USER, Reply

from loopline.core.errors import UnknownName
from loopline.core.records import CloudSettings, Preflight, PreflightCheck
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
