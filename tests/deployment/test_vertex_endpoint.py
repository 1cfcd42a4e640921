"""A Vertex endpoint's side of its documented protocol, and what a deployment does to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.deployment.conftest import deployed
from tests.recorded_google import PROJECT, REGION, Reply, Request, google

from loopline.core.errors import SkewError, StateError
from loopline.deployment import Order, Tools, open_target
from loopline.deployment.vertex_endpoint import vertex_ask

_WHERE = rf"{REGION}-aiplatform\.googleapis\.com/v1/projects/{PROJECT}/locations/{REGION}"
ENDPOINT = f"projects/{PROJECT}/locations/{REGION}/endpoints/7"


class Vertex:
    """Models and one endpoint; `refuses` is what a deployment of a model fails of."""

    def __init__(self, *, refuses: str | None = None) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.endpoint: dict[str, Any] | None = None
        self.refuses = refuses
        self.asked: list[str] = []

    def answers(self) -> dict[str, Reply]:
        """What it answers, by request."""
        return {
            rf"GET {_WHERE}/models": self._list_models,
            rf"POST {_WHERE}/models:upload": self._upload,
            rf"DELETE {_WHERE}/models/\d+": self._delete_model,
            rf"GET {_WHERE}/endpoints": lambda _: {"endpoints": [self.endpoint] if self.endpoint else []},
            rf"POST {_WHERE}/endpoints": self._create,
            rf"GET {_WHERE}/endpoints/7": lambda _: self.endpoint,
            rf"PATCH {_WHERE}/endpoints/7": self._patch,
            rf"DELETE {_WHERE}/endpoints/7": self._delete,
            rf"POST {_WHERE}/endpoints/7:deployModel": self._deploy,
            rf"POST {_WHERE}/endpoints/7:undeployModel": self._undeploy,
        }

    def shares(self) -> dict[str, int]:
        """Model to percent."""
        assert self.endpoint is not None
        split = self.endpoint["trafficSplit"]
        return {item["model"].rpartition("/")[2]: split.get(item["id"], 0) for item in self.endpoint["deployedModels"]}

    def _list_models(self, asked: Request) -> dict[str, Any]:
        key, _, value = asked.query["filter"][0].removeprefix("labels.").partition("=")
        return {"models": [model for model in self.models.values() if model["labels"].get(key) == value]}

    def _upload(self, asked: Request) -> dict[str, Any]:
        name = f"projects/{PROJECT}/locations/{REGION}/models/{len(self.models) + 1}"
        self.models[name] = {"name": name, **asked.body["model"]}
        return {"name": "op", "done": True, "response": {"model": name}}

    def _delete_model(self, asked: Request) -> dict[str, Any]:
        del self.models[asked.path.removeprefix("/v1/")]
        return {"name": "op", "done": True, "response": {}}

    def _create(self, asked: Request) -> dict[str, Any]:
        self.endpoint = {"name": ENDPOINT, **asked.body, "deployedModels": [], "trafficSplit": {}}
        return {"name": "op", "done": True, "response": self.endpoint}

    def _patch(self, asked: Request) -> dict[str, Any]:
        assert self.endpoint is not None
        assert asked.query["updateMask"] == ["trafficSplit"]
        self.endpoint["trafficSplit"] = asked.body["trafficSplit"]
        return self.endpoint

    def _delete(self, _: Request) -> dict[str, Any]:
        self.endpoint = None
        return {"name": "op", "done": True, "response": {}}

    def _deploy(self, asked: Request) -> dict[str, Any]:
        assert self.endpoint is not None
        assert sum(asked.body["trafficSplit"].values()) == 100
        if self.refuses is not None:
            return {"name": "op", "done": True, "error": {"code": 8, "message": self.refuses}}
        number = str(100 + len(self.asked))
        self.asked.append(number)
        self.endpoint["deployedModels"].append({"id": number, **asked.body["deployedModel"]})
        split = {number if key == "0" else key: share for key, share in asked.body["trafficSplit"].items()}
        self.endpoint["trafficSplit"] = split
        return {"name": "op", "done": True, "response": {"deployedModel": {"id": number}}}

    def _undeploy(self, asked: Request) -> dict[str, Any]:
        assert self.endpoint is not None
        number = asked.body["deployedModelId"]
        assert self.endpoint["trafficSplit"].get(number, 0) in (0, 100)
        self.endpoint["deployedModels"] = [each for each in self.endpoint["deployedModels"] if each["id"] != number]
        self.endpoint["trafficSplit"].pop(number, None)
        return {"name": "op", "done": True, "response": {}}


def tools(vertex: Vertex) -> Tools:
    """Tools whose Google is that Vertex."""
    client, _ = google(vertex.answers())
    return Tools(google=lambda: client, say=lambda _: None, sleep=lambda _: None, patience_s=20)


def another(order: Order, **changes: Any) -> Order:
    """The order of another bundle."""
    return replace(order, bundle=order.bundle.model_copy(update={"digest": "e" * 64}), **changes)


def test_models_replace_each_other_once_they_are_proved(order: Order) -> None:
    """The first gets everything; the second too, and the first is taken away, for it would cost by the hour."""
    vertex, target, proved = Vertex(), open_target("vertex-endpoint"), list[str]()
    first = target.deploy(order, "", tools(vertex), proved.append)
    assert (first.url, vertex.shares()) == (ENDPOINT, {"1": 100})
    again = target.deploy(order, "", tools(vertex), proved.append)
    assert (again.revision, vertex.shares()) == (first.revision, {"1": 100})
    second = target.deploy(another(order), "", tools(vertex), proved.append)
    assert vertex.shares() == {"2": 100}
    assert second.previous_revision == first.revision
    assert proved == [ENDPOINT] * 3


def test_a_model_that_is_disproved_is_taken_back(order: Order) -> None:
    """The old one has all of the traffic again, and alone."""
    vertex, target = Vertex(), open_target("vertex-endpoint")
    target.deploy(order, "", tools(vertex), lambda _: None)

    def disprove(_: str) -> None:
        raise SkewError("another model answers there.")

    with pytest.raises(SkewError):
        target.deploy(another(order, share_percent=20), "", tools(vertex), disprove)
    assert vertex.shares() == {"1": 100}


def test_what_vertex_cannot_do_is_said_in_its_words(order: Order) -> None:
    """As where there is no quota."""
    vertex = Vertex(refuses="The following quotas are exceeded: CustomModelServingCPUsPerProjectPerRegion")
    with pytest.raises(StateError, match=r"could not finish .*deployModel: The following quotas are exceeded"):
        open_target("vertex-endpoint").deploy(order, "", tools(vertex), lambda _: None)


def test_share_rollback_status_and_removal(order: Order) -> None:
    """Twenty percent, then everything back, then nothing is left that costs."""
    vertex, target = Vertex(), open_target("vertex-endpoint")
    first = target.deploy(order, "", tools(vertex), lambda _: None)
    second = target.deploy(another(order, share_percent=20), "", tools(vertex), lambda _: None)
    assert vertex.shares() == {"1": 80, "2": 20}
    after = deployed(order, revision=second.revision, previous_revision=first.revision)
    assert target.status(after, tools(vertex))["traffic 2"] == "20%"
    target.rollback(after, tools(vertex))
    assert vertex.shares() == {"1": 100}
    # What was taken away is deployed again: its model is still there.
    target.rollback(deployed(order, revision=first.revision, previous_revision=second.revision), tools(vertex))
    assert vertex.shares() == {"2": 100}
    target.destroy(after, tools(vertex))
    assert (vertex.endpoint, vertex.models) == (None, {})
    assert target.status(after, tools(vertex)) == {"state": "gone"}
    with pytest.raises(StateError, match="nothing served"):
        target.rollback(after, tools(vertex))


def test_an_endpoint_is_asked_until_the_new_model_answers(order: Order) -> None:
    """With a share of the traffic, other models answer first."""
    answers = iter(["d" * 64, "d" * 64, order.bundle.digest])

    def predict(asked: Request) -> dict[str, Any]:
        assert asked.body == {"instances": [{"image": "cG5n"}]}
        return {"predictions": [{"bundle_digest": next(answers)}]}

    client, http = google({rf"POST {_WHERE}/endpoints/7:predict": predict})
    assert vertex_ask(client, ENDPOINT, order)(b"png")["bundle_digest"] == order.bundle.digest
    assert len(http.requests) == 3
