"""Roll-outs to Cloud Run: proved before they get traffic, harmless where they fail, nothing new the second time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.deployment.cloud_run_service import CloudRunService
from tests.deployment.conftest import RecordedCommands, deployed
from tests.recorded_google import Reply, Request, google

from loopline.core.errors import SkewError, StateError
from loopline.deployment import Order, Tools, open_target
from loopline.deployment.cloudrun import identity_token
from loopline.deployment.order import Outcome
from loopline.google import Identity


def tools(service: CloudRunService, **answers: Reply) -> Tools:
    """Tools whose Google is that service, and who wait for nothing."""
    client, _ = google({**service.answers(), **answers})
    return Tools(google=lambda: client, say=lambda _: None, sleep=lambda _: None, patience_s=20)


def deploy(order: Order, service: CloudRunService, proved: list[str] | None = None) -> Outcome:
    """One roll-out; addresses that are proved are listed."""
    seen = [] if proved is None else proved
    return open_target("cloudrun").deploy(order, "", tools(service), seen.append)


def larger(order: Order, memory_mib: int = 2048) -> Order:
    """The order with more memory, so that it is another revision."""
    limits = order.settings.service.model_copy(update={"memory_mib": memory_mib})
    return replace(order, settings=order.settings.model_copy(update={"service": limits}))


def test_the_first_revision_gets_everything(order: Order) -> None:
    """Nobody served before; it is proved at an address of its own all the same."""
    service, proved = CloudRunService(), list[str]()
    outcome = deploy(order, service, proved)
    assert proved == ["https://candidate---shapes.run.app"]
    assert service.traffic() == {outcome.revision: 100}
    assert (outcome.url, outcome.previous_revision) == ("https://shapes.run.app", None)
    assert not service.is_public


def test_the_next_gets_traffic_only_when_it_is_proved(order: Order) -> None:
    """While it is proved, everything goes to the one before."""
    service = CloudRunService()
    first = deploy(order, service)
    during: list[dict[str, int]] = []
    second = open_target("cloudrun").deploy(
        larger(order), "", tools(service), lambda _: during.append(service.traffic())
    )
    assert during == [{first.revision: 100}]
    assert service.traffic() == {second.revision: 100}
    assert second.previous_revision == first.revision


def test_one_that_does_not_reproduce_the_bundle_gets_nothing(order: Order) -> None:
    """The old revision serves on, as if nothing had been tried."""
    service = CloudRunService()
    first = deploy(order, service)

    def disprove(_: str) -> None:
        raise SkewError("another model answers there.")

    with pytest.raises(SkewError):
        open_target("cloudrun").deploy(larger(order), "", tools(service), disprove)
    assert service.traffic() == {first.revision: 100}


def test_one_that_does_not_start_gets_nothing(order: Order) -> None:
    """Cloud Run's own words are passed on; the old revision serves on."""
    service = CloudRunService(breaks="4096Mi")
    first = deploy(order, service)
    with pytest.raises(StateError, match=r"failed to start on PORT=8080.*Next: loopline deploy logs shapes"):
        deploy(larger(order, 4096), service)
    assert service.traffic() == {first.revision: 100}


def test_the_same_again_changes_nothing(order: Order) -> None:
    """The same revision, all of the traffic, before and after."""
    service = CloudRunService()
    first, again = deploy(order, service), deploy(order, service)
    assert (again.revision, again.previous_revision) == (first.revision, None)
    assert service.traffic() == {first.revision: 100}
    names = {write["spec"]["template"]["metadata"]["name"] for write in service.writes}
    assert names == {first.revision}


def test_a_challenger_gets_its_share(order: Order) -> None:
    """Ten percent go to the new one; a rollback gives them back."""
    service = CloudRunService()
    first = deploy(order, service)
    second = deploy(replace(larger(order), share_percent=10), service)
    assert service.traffic() == {second.revision: 10, first.revision: 90}
    after = deployed(order, revision=second.revision, previous_revision=first.revision)
    back = open_target("cloudrun").rollback(after, tools(service))
    assert service.traffic() == {first.revision: 100}
    assert back.revision == first.revision


def test_status_logs_and_removal(order: Order) -> None:
    """What serves, what it wrote, and then nothing, however often it is removed."""
    service, target = CloudRunService(), open_target("cloudrun")
    outcome = deploy(order, service)
    entries = {
        "entries": [
            {"timestamp": "2026-11-21T12:00:01Z", "severity": "INFO", "textPayload": "second"},
            {"timestamp": "2026-11-21T12:00:00Z", "severity": "INFO", "jsonPayload": {"message": "first"}},
        ]
    }
    edge, found = tools(service, **{r"POST logging\.googleapis\.com/v2/entries:list": entries}), deployed(order)
    rows = target.status(found, edge)
    assert rows["state"] == "ready"
    assert rows[f"traffic {outcome.revision}"] == "100%"
    assert [line.rpartition(" ")[2] for line in target.logs(found, edge)] == ["first", "second"]
    target.destroy(found, edge)
    target.destroy(found, edge)
    assert target.status(found, edge) == {"state": "gone"}
    with pytest.raises(StateError, match="nothing served 'shapes' before this one"):
        target.rollback(found, edge)


def test_everybody_may_ask_only_where_the_settings_say_so(order: Order) -> None:
    """The option, and what came of it."""
    limits = order.settings.service.model_copy(update={"public": True})
    service = CloudRunService()
    deploy(replace(order, settings=order.settings.model_copy(update={"service": limits})), service)
    assert service.is_public


def test_a_closed_service_is_shown_who_asks(order: Order) -> None:
    """A service account's token is made for the service, not for the tagged address; a person's is gcloud's."""
    asked: list[Any] = []

    def make(request: Request) -> dict[str, Any]:
        asked.append(request.body)
        return {"token": "made"}

    answers: dict[str, Reply] = {r"POST iamcredentials\.googleapis\.com/v1/.*:generateIdToken": make}
    robot = Identity("workload identity", "loopline-build@potato-lab.iam.gserviceaccount.com")
    client, _ = google(answers, identity=robot)
    url = "https://candidate---shapes-abc-ew.a.run.app"
    assert identity_token(Tools(google=lambda: client), url) == "made"
    assert asked == [{"audience": "https://shapes-abc-ew.a.run.app", "includeEmail": True}]
    person, _ = google({})
    words = RecordedCommands(**{"print-identity-token": "mine\n"})
    assert identity_token(Tools(google=lambda: person, run=words), url) == "mine"


def test_patience_ends(order: Order) -> None:
    """A roll-out that never ends is given up."""
    service = CloudRunService()
    answers = {key: value for key, value in service.answers().items() if not key.startswith("GET")}
    client, _ = google({**answers, r"GET .*/services/shapes": {"metadata": {"generation": 2}, "status": {}}})
    edge = Tools(google=lambda: client, say=lambda _: None, sleep=lambda _: None, patience_s=20)
    with pytest.raises(StateError, match="did not come to an end within 20 s"):
        open_target("cloudrun").deploy(order, "", edge, lambda _: None)
