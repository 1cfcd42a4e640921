"""Cloud Run: a Knative service; each deployment is a revision, and traffic is what moves.

A new revision starts without traffic, at an address of its own. Only when it reproduces the bundle there does it get
requests. https://cloud.google.com/run/docs/reference/rest/v1/namespaces.services
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from loopline.core.errors import StateError
from loopline.core.records import CloudSettings, Deployment, Step
from loopline.deployment.files import yaml_text
from loopline.deployment.order import PROOF, Order, Outcome, Prove, Tools, name_of, nothing_before, poll
from loopline.google import ApiRefused, Google

API = "run.v1"
_CANDIDATE = "candidate"
_NUM_LOG_LINES = 100


class CloudRun:
    """The target `cloudrun`."""

    def files(self, order: Order) -> Mapping[str, str]:
        about = f"{order.model} on Cloud Run. By hand: gcloud run services replace service.yaml --region=REGION"
        return {"service.yaml": yaml_text(service(order, traffic=None), about=about)}

    def steps(self, order: Order) -> list[Step]:
        send = f"PUT {API} namespaces.services.replaceService service.yaml"
        old = "the revision that serves now" if order.before else "nobody"
        steps = [
            Step(title=f"a new revision; {old} keeps the traffic", kind="request", text=send),
            Step(title="wait until it is ready", kind="check", text=f"GET {API} namespaces.services.get"),
            PROOF,
            Step(title=f"give it {order.share_percent}% of the traffic", kind="request", text=send),
        ]
        if order.settings.service.public:
            public = f"POST {API} projects.locations.services.setIamPolicy allUsers roles/run.invoker"
            steps.insert(2, Step(title="let everybody ask", kind="request", text=public))
        return steps

    def deploy(self, order: Order, folder: str, tools: Tools, prove: Prove) -> Outcome:
        google, settings = tools.google(), order.settings
        live = _get(google, order.name, settings)
        serving = None if live is None else _serving_revision(live)
        revision = _template(order)["metadata"]["name"]
        previous = serving if serving != revision else _other_revision(live, revision)
        if serving is None or serving == revision:
            traffic = [{"revisionName": revision, "percent": 100, "tag": _CANDIDATE}]
        else:
            traffic = [
                {"revisionName": serving, "percent": 100},
                {"revisionName": revision, "percent": 0, "tag": _CANDIDATE},
            ]
        tools.say(f"sending revision {revision}")
        _replace(google, service(order, traffic=traffic), settings, exists=live is not None)
        ready = _wait(google, order.name, settings, tools)
        if settings.service.public:
            _let_everybody_ask(google, order.name, settings)
        prove(_address_of(ready, _CANDIDATE))
        tools.say(f"{revision} reproduces the bundle; it gets {order.share_percent}% of the traffic")
        _replace(google, service(order, traffic=_split(revision, previous, order)), settings, exists=True)
        done = _wait(google, order.name, settings, tools)
        return Outcome(done["status"].get("url"), revision, previous)

    def status(self, deployment: Deployment, tools: Tools) -> dict[str, str]:
        live = _get(tools.google(), deployment.name, deployment.settings)
        if live is None:
            return {"state": "gone"}
        state, message = _readiness(live)
        rows = {"state": state, "address": live["status"].get("url", "")}
        for part in live["status"].get("traffic", ()):
            rows[f"traffic {part.get('revisionName', 'latest')}"] = f"{part.get('percent', 0)}%"
        return {**rows, **({"message": message} if message else {})}

    def logs(self, deployment: Deployment, tools: Tools) -> Iterator[str]:
        chosen = f'resource.type="cloud_run_revision" resource.labels.service_name="{deployment.name}"'
        yield from log_lines(tools.google(), deployment.settings, chosen)

    def rollback(self, deployment: Deployment, tools: Tools) -> Outcome:
        google, settings = tools.google(), deployment.settings
        live, previous = _get(google, deployment.name, settings), deployment.previous_revision
        if live is None or previous is None:
            raise nothing_before(deployment)
        live["spec"]["traffic"] = [{"revisionName": previous, "percent": 100}]
        _replace(google, _without_status(live), settings, exists=True)
        done = _wait(google, deployment.name, settings, tools)
        return Outcome(done["status"].get("url"), previous, deployment.revision)

    def destroy(self, deployment: Deployment, tools: Tools) -> None:
        try:
            tools.google().call(
                API,
                "namespaces.services.delete",
                {"name": _resource(deployment.name, deployment.settings)},
                region=deployment.settings.region,
            )
        except ApiRefused as refused:
            if not refused.is_missing:
                raise


def identity_token(tools: Tools, url: str) -> str:
    """What a closed service at `url` is shown: of the service account that deploys, else of whoever is logged in.

    https://cloud.google.com/run/docs/authenticating/service-to-service: a service account's token is made for one
    service, by its own address also where a tagged revision is asked.
    """
    email = tools.google().identity.email or ""
    if not email.endswith("gserviceaccount.com"):
        return tools.run(["gcloud", "auth", "print-identity-token"]).strip()
    body = {"audience": url.replace(f"//{_CANDIDATE}---", "//"), "includeEmail": True}
    name = {"name": f"projects/-/serviceAccounts/{email}"}
    made = tools.google().call("iamcredentials.v1", "projects.serviceAccounts.generateIdToken", name, body=body)
    return str(made["token"])


def service(order: Order, *, traffic: list[dict[str, Any]] | None) -> dict[str, Any]:
    """The service as Knative describes it; `traffic` None gives everything to this revision."""
    template = _template(order)
    share = traffic or [{"revisionName": template["metadata"]["name"], "percent": 100}]
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": order.name,
            "namespace": order.settings.project,
            "labels": order.labels,
            "annotations": {"run.googleapis.com/ingress": "all"},
        },
        "spec": {"template": template, "traffic": share},
    }


def _template(order: Order) -> dict[str, Any]:
    """One revision. Its name follows from what is in it, so that the same again is the same revision."""
    settings, limits = order.settings, order.settings.service
    probe = {"httpGet": {"path": "/readyz", "port": limits.port}, "periodSeconds": 5, "failureThreshold": 24}
    container = {
        "image": order.image,
        "ports": [{"name": "http1", "containerPort": limits.port}],
        "resources": {"limits": {"cpu": f"{limits.num_cpus:g}", "memory": f"{limits.memory_mib}Mi"}},
        "env": [
            *({"name": name, "value": value} for name, value in order.environment.items()),
            *(
                {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": "latest"}}}
                for name, secret in sorted(limits.secrets.items())
            ),
        ],
        # Ready means that the reference inputs were predicted as they should be.
        "startupProbe": {**probe, "timeoutSeconds": 5},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": limits.port}, "periodSeconds": 30},
    }
    spec = {
        "containerConcurrency": limits.max_concurrency,
        "timeoutSeconds": limits.timeout_s,
        "serviceAccountName": settings.account(settings.run_account),
        "containers": [container],
    }
    annotations = {
        "autoscaling.knative.dev/minScale": str(limits.min_instances),
        "autoscaling.knative.dev/maxScale": str(limits.max_instances),
        "run.googleapis.com/startup-cpu-boost": "true",
    }
    metadata = {"annotations": annotations, "labels": order.labels}
    name = name_of(order.name, {"spec": spec, "metadata": metadata})
    return {"metadata": {"name": name, **metadata}, "spec": spec}


def _split(revision: str, previous: str | None, order: Order) -> list[dict[str, Any]]:
    if previous is None or order.share_percent == 100:
        return [{"revisionName": revision, "percent": 100}]
    return [
        {"revisionName": revision, "percent": order.share_percent},
        {"revisionName": previous, "percent": 100 - order.share_percent},
    ]


def _resource(name: str, settings: CloudSettings) -> str:
    return f"namespaces/{settings.project}/services/{name}"


def _get(google: Google, name: str, settings: CloudSettings) -> dict[str, Any] | None:
    try:
        return google.call(API, "namespaces.services.get", {"name": _resource(name, settings)}, region=settings.region)
    except ApiRefused as refused:
        if refused.is_missing:
            return None
        raise


def _replace(google: Google, body: dict[str, Any], settings: CloudSettings, *, exists: bool) -> None:
    if exists:
        name = _resource(body["metadata"]["name"], settings)
        google.call(API, "namespaces.services.replaceService", {"name": name}, body=body, region=settings.region)
    else:
        parent = {"parent": f"namespaces/{settings.project}"}
        google.call(API, "namespaces.services.create", parent, body=body, region=settings.region)


def _wait(google: Google, name: str, settings: CloudSettings, tools: Tools) -> dict[str, Any]:
    """The service once it is ready; raises `StateError` with what Cloud Run says where it will not be."""

    def look() -> dict[str, Any] | None:
        live = _get(google, name, settings)
        if live is None:
            return None
        state, message = _readiness(live)
        if state == "failed":
            raise StateError(
                f"Cloud Run could not start the revision: {message}", next_command=f"loopline deploy logs {name}"
            )
        return live if state == "ready" else None

    found: dict[str, Any] = poll(tools, f"the roll-out of '{name}'", look)
    return found


def _readiness(live: dict[str, Any]) -> tuple[str, str]:
    """`ready`, `failed` or `rolling out`, with Cloud Run's own sentence. A state of an older generation counts not."""
    status = live.get("status", {})
    if status.get("observedGeneration") != live["metadata"].get("generation"):
        return "rolling out", ""
    for condition in status.get("conditions", ()):
        if condition.get("type") == "Ready":
            found = {"True": "ready", "False": "failed"}.get(str(condition.get("status")), "rolling out")
            return found, str(condition.get("message", ""))
    return "rolling out", ""


def _serving_revision(live: dict[str, Any]) -> str | None:
    """The revision with most of the traffic."""
    parts = [part for part in live.get("status", {}).get("traffic", ()) if part.get("percent")]
    if not parts:
        return None
    most = max(parts, key=lambda part: part["percent"])
    name = most.get("revisionName") or live["status"].get("latestReadyRevisionName")
    return None if name is None else str(name)


def _other_revision(live: dict[str, Any] | None, revision: str) -> str | None:
    parts = [] if live is None else live.get("status", {}).get("traffic", ())
    others = [part["revisionName"] for part in parts if part.get("revisionName") not in (None, revision)]
    return others[0] if others else None


def _address_of(live: dict[str, Any], tag: str) -> str:
    tagged = [part["url"] for part in live["status"].get("traffic", ()) if part.get("tag") == tag and "url" in part]
    return str(tagged[0] if tagged else live["status"]["url"])


def _without_status(live: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in live.items() if key != "status"}


def _let_everybody_ask(google: Google, name: str, settings: CloudSettings) -> None:
    resource = f"projects/{settings.project}/locations/{settings.region}/services/{name}"
    policy = {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}
    google.call(API, "projects.locations.services.setIamPolicy", {"resource": resource}, body={"policy": policy})


def log_lines(google: Google, settings: CloudSettings, chosen: str) -> Iterator[str]:
    """The last lines of Cloud Logging that a filter chooses, oldest first."""
    body = {
        "resourceNames": [f"projects/{settings.project}"],
        "filter": chosen,
        "orderBy": "timestamp desc",
        "pageSize": _NUM_LOG_LINES,
    }
    entries = google.call("logging.v2", "entries.list", body=body).get("entries", [])
    for entry in reversed(entries):
        payload = entry.get("jsonPayload", {})
        text = entry.get("textPayload") or payload.get("message") or payload or entry.get("httpRequest", {})
        yield f"{entry.get('timestamp', '')} {entry.get('severity', '')} {text}".strip()
