"""A Vertex endpoint: a model resource deployed to an endpoint, beside what serves there.

Vertex cannot ask one of an endpoint's models by name, so the new one gets its share first and is then asked until it
has answered every reference input; where it answers otherwise its traffic goes back.
https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from loopline.core.errors import LooplineError, StateError
from loopline.core.records import CloudSettings, Deployment, Step
from loopline.core.store import canonical_json
from loopline.deployment.cloudrun import log_lines
from loopline.deployment.order import LABEL, PROOF, Order, Outcome, Prove, Tools, nothing_before, poll
from loopline.deployment.smoke import Ask, instance
from loopline.google import ApiRefused, Google

API = "aiplatform.v1"
_ENDPOINTS, _MODELS = "projects.locations.endpoints", "projects.locations.models"
# With one percent of the traffic, 500 tries miss the new model less than once in a hundred times.
_MOST_TRIES = 500
PREDICT_ROUTE, HEALTH_ROUTE = "/vertex/predict", "/vertex/health"


class VertexEndpoint:
    """The target `vertex-endpoint`."""

    def files(self, order: Order) -> Mapping[str, str]:
        bodies = {"model.json": upload_body(order), "endpoint.json": endpoint_body(order)}
        bodies["deployed-model.json"] = deploy_body(order, model="MODEL", traffic={"0": order.share_percent})
        return {name: f"{canonical_json(body).decode()}\n" for name, body in bodies.items()}

    def steps(self, order: Order) -> list[Step]:
        return [
            Step(
                title="the model",
                kind="request",
                text=f"POST {API} {_MODELS}.upload model.json",
            ),
            Step(
                title="the endpoint, where there is none",
                kind="request",
                text=f"POST {API} {_ENDPOINTS}.create endpoint.json",
            ),
            Step(
                title=f"the model on it, with {order.share_percent}% of the traffic",
                kind="request",
                text=f"POST {API} {_ENDPOINTS}.deployModel deployed-model.json",
            ),
            PROOF,
            Step(
                title="take away what has no traffic any more",
                kind="request",
                text=f"POST {API} {_ENDPOINTS}.undeployModel",
            ),
        ]

    def deploy(self, order: Order, folder: str, tools: Tools, prove: Prove) -> Outcome:
        google, settings = tools.google(), order.settings
        model = _find(google, settings, _MODELS, f"labels.{LABEL}-bundle={order.bundle.digest[:12]}")
        if model is None:
            tools.say("uploading the model")
            done = _operate(google, settings, f"{_MODELS}.upload", _parent(settings), upload_body(order), tools)
            model = done["model"]
        endpoint = _find(google, settings, _ENDPOINTS, f'displayName="{order.name}"')
        if endpoint is None:
            tools.say("making the endpoint")
            done = _operate(google, settings, f"{_ENDPOINTS}.create", _parent(settings), endpoint_body(order), tools)
            endpoint = done["name"]
        live = _endpoint(google, settings, endpoint)
        before = {item["id"]: item["model"] for item in live.get("deployedModels", ())}
        mine = next((number for number, name in before.items() if name.partition("@")[0] == model), None)
        if mine is None:
            old = _shares({key: live.get("trafficSplit", {}).get(key, 0) for key in before}, 100 - order.share_percent)
            body = deploy_body(order, model=model, traffic={"0": 100 if not before else order.share_percent, **old})
            tools.say("deploying the model; its machines take ten minutes or more to come")
            done = _operate(google, settings, f"{_ENDPOINTS}.deployModel", {"endpoint": endpoint}, body, tools)
            mine = str(done["deployedModel"]["id"])
        try:
            prove(endpoint)
        except LooplineError:
            if before.keys() - {mine}:
                _send_traffic(google, settings, endpoint, _shares(live.get("trafficSplit", {}), 100))
                _undeploy(google, settings, endpoint, mine, tools)
            raise
        if order.share_percent == 100:
            for number in sorted(before.keys() - {mine}):
                _send_traffic(google, settings, endpoint, {mine: 100})
                _undeploy(google, settings, endpoint, number, tools)
        previous = next((name for number, name in before.items() if number != mine), None)
        return Outcome(endpoint, model, previous)

    def status(self, deployment: Deployment, tools: Tools) -> dict[str, str]:
        google, settings = tools.google(), deployment.settings
        endpoint = _find(google, settings, _ENDPOINTS, f'displayName="{deployment.name}"')
        if endpoint is None:
            return {"state": "gone"}
        live = _endpoint(google, settings, endpoint)
        rows = {"state": "serving" if live.get("deployedModels") else "empty", "address": endpoint}
        for item in live.get("deployedModels", ()):
            share = live.get("trafficSplit", {}).get(item["id"], 0)
            rows[f"traffic {item['model'].rpartition('/')[2]}"] = f"{share}%"
        return rows

    def logs(self, deployment: Deployment, tools: Tools) -> Iterator[str]:
        number = str(deployment.url).rpartition("/")[2]
        chosen = f'resource.type="aiplatform.googleapis.com/Endpoint" resource.labels.endpoint_id="{number}"'
        yield from log_lines(tools.google(), deployment.settings, chosen)

    def rollback(self, deployment: Deployment, tools: Tools) -> Outcome:
        google, settings, previous = tools.google(), deployment.settings, deployment.previous_revision
        endpoint = _find(google, settings, _ENDPOINTS, f'displayName="{deployment.name}"')
        if endpoint is None or previous is None:
            raise nothing_before(deployment)
        live = _endpoint(google, settings, endpoint)
        numbers = {item["model"].partition("@")[0]: item["id"] for item in live.get("deployedModels", ())}
        if previous.partition("@")[0] not in numbers:
            others = dict.fromkeys(numbers.values(), 0)
            chosen = _deployed(previous, settings, deployment.name)
            body = {"deployedModel": chosen, "trafficSplit": {"0": 100, **others}}
            _operate(google, settings, f"{_ENDPOINTS}.deployModel", {"endpoint": endpoint}, body, tools)
        else:
            _send_traffic(google, settings, endpoint, {numbers[previous.partition("@")[0]]: 100})
        for name, number in numbers.items():
            if name != previous.partition("@")[0]:
                _undeploy(google, settings, endpoint, number, tools)
        return Outcome(endpoint, previous, deployment.revision)

    def destroy(self, deployment: Deployment, tools: Tools) -> None:
        google, settings = tools.google(), deployment.settings
        endpoint = _find(google, settings, _ENDPOINTS, f'displayName="{deployment.name}"')
        if endpoint is not None:
            for item in _endpoint(google, settings, endpoint).get("deployedModels", ()):
                _undeploy(google, settings, endpoint, item["id"], tools)
            _operate(google, settings, f"{_ENDPOINTS}.delete", {"name": endpoint}, None, tools)
        while (model := _find(google, settings, _MODELS, f"labels.{LABEL}-name={deployment.name}")) is not None:
            _operate(google, settings, f"{_MODELS}.delete", {"name": model}, None, tools)


def vertex_ask(google: Google, endpoint: str, order: Order) -> Ask:
    """What asks an endpoint; it answers with whichever model the traffic falls to, so it is asked until it is ours."""

    def ask(raw: bytes) -> Mapping[str, Any]:
        body = {"instances": [instance(raw, order.bundle)]}
        for _ in range(_MOST_TRIES):
            answer = google.call(
                API, f"{_ENDPOINTS}.predict", {"endpoint": endpoint}, body=body, region=order.settings.region
            )
            found: Mapping[str, Any] = answer["predictions"][0]
            if found.get("bundle_digest") == order.bundle.digest:
                break
        return found

    return ask


def upload_body(order: Order) -> dict[str, Any]:
    """A model resource: the image and the routes on which its server is asked."""
    limits = order.settings.service
    container = {
        "imageUri": order.image,
        "ports": [{"containerPort": limits.port}],
        "predictRoute": PREDICT_ROUTE,
        "healthRoute": HEALTH_ROUTE,
        "env": [{"name": name, "value": value} for name, value in order.environment.items()],
    }
    name = f"{order.name}-{order.bundle.digest[:12]}"
    return {"model": {"displayName": name, "containerSpec": container, "labels": order.labels}}


def endpoint_body(order: Order) -> dict[str, Any]:
    """An endpoint, which keeps its address whatever is deployed to it."""
    return {"displayName": order.name, "labels": {LABEL: "deployment", f"{LABEL}-name": order.name}}


def deploy_body(order: Order, *, model: str, traffic: Mapping[str, int]) -> dict[str, Any]:
    """A model on an endpoint; in the traffic, `0` is the one that this deploys."""
    return {"deployedModel": _deployed(model, order.settings, order.name), "trafficSplit": dict(traffic)}


def _deployed(model: str, settings: CloudSettings, name: str) -> dict[str, Any]:
    limits = settings.service
    return {
        "model": model,
        "displayName": name,
        "serviceAccount": settings.account(settings.run_account),
        "dedicatedResources": {
            "machineSpec": {"machineType": limits.machine},
            "minReplicaCount": max(1, limits.min_instances),
            "maxReplicaCount": limits.max_instances,
        },
    }


def _parent(settings: CloudSettings) -> dict[str, str]:
    return {"parent": f"projects/{settings.project}/locations/{settings.region}"}


def _find(google: Google, settings: CloudSettings, collection: str, chosen: str) -> str | None:
    """The first thing of a collection that a filter chooses."""
    key = collection.rpartition(".")[2]
    parameters = {**_parent(settings), "filter": chosen}
    for item in google.pages(API, f"{collection}.list", parameters, key=key, region=settings.region):
        return str(item["name"])
    return None


def _endpoint(google: Google, settings: CloudSettings, name: str) -> dict[str, Any]:
    return google.call(API, f"{_ENDPOINTS}.get", {"name": name}, region=settings.region)


def _operate(
    google: Google,
    settings: CloudSettings,
    method: str,
    parameters: Mapping[str, Any],
    body: Any,
    tools: Tools,
) -> dict[str, Any]:
    """Starts a long-running operation and waits for what it gives; raises `StateError` with what it failed of."""
    started = google.call(API, method, parameters, body=body, region=settings.region)

    def look() -> dict[str, Any] | None:
        operation = started
        if not operation.get("done"):
            name = {"name": started["name"]}
            operation = google.call(API, "projects.locations.operations.get", name, region=settings.region)
        if "error" in operation:
            raise StateError(f"Vertex could not finish {method}: {operation['error'].get('message')}")
        found: dict[str, Any] = operation.get("response", {})
        return found if operation.get("done") else None

    finished: dict[str, Any] = poll(tools, method, look)
    return finished


def _shares(shares: Mapping[str, int], total: int) -> dict[str, int]:
    """Shares scaled to a sum, whole numbers."""
    whole = sum(shares.values())
    if not shares or whole == 0:
        return {}
    scaled = {key: total * value // whole for key, value in shares.items()}
    first = next(iter(scaled))
    return {**scaled, first: scaled[first] + total - sum(scaled.values())}


def _send_traffic(google: Google, settings: CloudSettings, endpoint: str, split: Mapping[str, int]) -> None:
    parameters = {"name": endpoint, "updateMask": "trafficSplit"}
    google.call(API, f"{_ENDPOINTS}.patch", parameters, body={"trafficSplit": dict(split)}, region=settings.region)


def _undeploy(google: Google, settings: CloudSettings, endpoint: str, number: str, tools: Tools) -> None:
    try:
        body = {"deployedModelId": number}
        _operate(google, settings, f"{_ENDPOINTS}.undeployModel", {"endpoint": endpoint}, body, tools)
    except ApiRefused as refused:
        if not refused.is_missing:
            raise
