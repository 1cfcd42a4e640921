"""Kubernetes, by kubectl and the credentials that it holds: files that are applied, and a roll-out that is watched.

A Deployment is undone by Kubernetes itself. A RayService is undone by applying what was applied before: KubeRay starts
a second Ray cluster beside the first, and drops it again where it is not wanted any more.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loopline.core.errors import LooplineError, StateError
from loopline.core.records import CloudSettings, Deployment, Step
from loopline.deployment import manifests, ray
from loopline.deployment.files import yaml_text
from loopline.deployment.order import PROOF, Order, Outcome, Prove, Tools, nothing_before

_CHALLENGER = "challenger"
_TIMEOUT = "--timeout=300s"


class Kubernetes:
    """The target `kubernetes`."""

    def files(self, order: Order) -> Mapping[str, str]:
        if order.settings.service.workload == "rayservice":
            about = "A RayService of KubeRay 1.3 or newer. By hand: kubectl apply -f kubernetes"
            return {
                "kubernetes/rayservice.yaml": yaml_text(ray.ray_service(order), about=about),
                "kubernetes/networkpolicy.yaml": yaml_text(ray.ray_network_policy(order)),
            }
        documents = {
            "deployment": [_workload(order)],
            "service": [manifests.service(order)],
            "autoscaler": [manifests.autoscaler(order)],
            "podmonitor": [manifests.pod_monitor(order)],
            "networkpolicy": [manifests.network_policy(order)],
        }
        if _is_challenger(order):
            # The rest is the champion's, and stays as it is.
            documents = {"challenger": documents["deployment"]}
        return {f"kubernetes/{name}.yaml": yaml_text(*parts) for name, parts in documents.items()}

    def steps(self, order: Order) -> list[Step]:
        space, is_ray = order.settings.service.namespace, _is_ray(order.settings)
        apply = _words(space, "apply", "--filename=kubernetes")
        wait = _ray_wait(order) if is_ray else _words(space, "rollout", "status", _name(order), _TIMEOUT)
        undo = _words(space, "apply", "--filename=-") if is_ray else _words(space, "rollout", "undo", _name(order))
        started = "a second Ray cluster, beside the one that serves" if is_ray else "new pods, before an old one goes"
        return [
            Step(title="everything that differs", kind="command", text=" ".join(apply)),
            Step(title=started, kind="command", text=" ".join(wait)),
            PROOF,
            Step(title="only where one of these failed: what was before", kind="command", text=" ".join(undo)),
        ]

    def deploy(self, order: Order, folder: str, tools: Tools, prove: Prove) -> Outcome:
        space = order.settings.service.namespace
        before, old = _revision(tools, order), _applied(tools, order)
        tools.say(tools.run(_words(space, "apply", f"--filename={folder}/kubernetes")).strip())
        try:
            _wait(tools, order)
            with _forwarded(tools, order) as address:
                prove(address)
        except LooplineError:
            if before is not None:
                tools.say(_undo(tools, order, old))
            raise
        mine = _revision_of(order)
        if before == mine:
            # The same again: what was before it is still what was before.
            before = None if order.before is None else order.before.previous_revision
        return Outcome(_url(order), mine, before)

    def status(self, deployment: Deployment, tools: Tools) -> dict[str, str]:
        space = deployment.settings.service.namespace
        chosen = f"--selector=app.kubernetes.io/name={deployment.name}"
        if _is_ray(deployment.settings):
            return _ray_status(json.loads(tools.run(_words(space, "get", "rayservices", chosen, "--output=json"))))
        found = json.loads(tools.run(_words(space, "get", "deployments", chosen, "--output=json")))["items"]
        rows = {"state": "gone" if not found else "serving"}
        for item in found:
            status = item.get("status", {})
            ready, wanted = status.get("readyReplicas", 0), item["spec"].get("replicas", 0)
            bundle = item["spec"]["template"]["metadata"].get("annotations", {}).get("loopline.dev/bundle", "")
            rows[item["metadata"]["name"]] = f"{ready} of {wanted} pods ready, bundle {bundle[:12]}"
        return rows

    def logs(self, deployment: Deployment, tools: Tools) -> Iterator[str]:
        space = deployment.settings.service.namespace
        chosen = f"--selector=app.kubernetes.io/name={deployment.name}"
        yield from tools.run(_words(space, "logs", chosen, "--tail=100", "--prefix")).splitlines()

    def rollback(self, deployment: Deployment, tools: Tools) -> Outcome:
        space = deployment.settings.service.namespace
        if deployment.previous_revision is None:
            raise nothing_before(deployment)
        if _is_ray(deployment.settings):
            raise StateError(
                "KubeRay keeps nothing of what a RayService was before; deploy the model before again.",
                next_command=f"loopline deploy kubernetes {deployment.model}",
            )
        if deployment.share_percent < 100:
            tools.run(_words(space, "delete", f"deployment/{deployment.name}-{_CHALLENGER}", "--ignore-not-found"))
        else:
            tools.run(_words(space, "rollout", "undo", f"deployment/{deployment.name}"))
            tools.run(_words(space, "rollout", "status", f"deployment/{deployment.name}", _TIMEOUT))
        return Outcome(deployment.url, deployment.previous_revision, deployment.revision)

    def destroy(self, deployment: Deployment, tools: Tools) -> None:
        kinds = "deployment,service,horizontalpodautoscaler,networkpolicy,podmonitor"
        if _is_ray(deployment.settings):
            kinds = "rayservice,networkpolicy"
        chosen = f"--selector=app.kubernetes.io/name={deployment.name}"
        tools.run(_words(deployment.settings.service.namespace, "delete", kinds, chosen, "--ignore-not-found"))


def _is_challenger(order: Order) -> bool:
    return order.share_percent < 100 and order.before is not None


def _workload(order: Order) -> dict[str, Any]:
    """The champion's Deployment; or the challenger's, with so many pods that its share of all is the one asked."""
    if not _is_challenger(order):
        return manifests.deployment(order, track="champion", num_replicas=None)
    champions = max(1, order.settings.service.min_instances)
    share = order.share_percent / 100
    return manifests.deployment(order, track=_CHALLENGER, num_replicas=max(1, round(champions * share / (1 - share))))


def _name(order: Order) -> str:
    return f"deployment/{order.name}{f'-{_CHALLENGER}' if _is_challenger(order) else ''}"


def _words(namespace: str, *words: str) -> list[str]:
    return ["kubectl", f"--namespace={namespace}", *words]


def _is_ray(settings: CloudSettings) -> bool:
    return settings.service.workload == "rayservice"


def _object(order: Order) -> str:
    return f"rayservice/{order.name}" if _is_ray(order.settings) else _name(order)


def _revision_of(order: Order) -> str:
    """By what the pods are made of: the same again is the same revision."""
    found = (
        ray.ray_service(order)["metadata"]
        if _is_ray(order.settings)
        else _workload(order)["spec"]["template"]["metadata"]
    )
    return str(found["annotations"][manifests.REVISION_ANNOTATION])


def _revision(tools: Tools, order: Order) -> str | None:
    """The revision that serves now, or None where there is none."""
    at = ".metadata" if _is_ray(order.settings) else ".spec.template.metadata"
    path = rf"--output=jsonpath={{{at}.annotations.loopline\.dev/revision}}"
    words = _words(order.settings.service.namespace, "get", _object(order), "--ignore-not-found", path)
    return tools.run(words).strip() or None


def _applied(tools: Tools, order: Order) -> str | None:
    """What was applied to a RayService before, as kubectl keeps it."""
    if not _is_ray(order.settings):
        return None
    path = r"--output=jsonpath={.metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration}"
    words = _words(order.settings.service.namespace, "get", _object(order), "--ignore-not-found", path)
    return tools.run(words).strip() or None


def _wait(tools: Tools, order: Order) -> None:
    space = order.settings.service.namespace
    if not _is_ray(order.settings):
        tools.run(_words(space, "rollout", "status", _name(order), _TIMEOUT))
        return
    generation = tools.run(_words(space, "get", _object(order), "--output=jsonpath={.metadata.generation}")).strip()
    seen = f"--for=jsonpath={{.status.observedGeneration}}={generation}"
    tools.run(_words(space, "wait", _object(order), seen, _TIMEOUT))
    tools.run(_words(space, "wait", _object(order), "--for=condition=UpgradeInProgress=false", _TIMEOUT))
    tools.run(_ray_wait(order))


def _ray_wait(order: Order) -> list[str]:
    return _words(order.settings.service.namespace, "wait", _object(order), "--for=condition=Ready", _TIMEOUT)


def _undo(tools: Tools, order: Order, old: str | None) -> str:
    space = order.settings.service.namespace
    if old is None:
        return tools.run(_words(space, "rollout", "undo", _name(order))).strip()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "before.json"
        path.write_text(old, encoding="utf-8")
        return tools.run(_words(space, "apply", f"--filename={path}")).strip()


def _ray_status(found: Mapping[str, Any]) -> dict[str, str]:
    rows = {"state": "gone" if not found["items"] else "serving"}
    for item in found["items"]:
        conditions = {each["type"]: each for each in item.get("status", {}).get("conditions", ())}
        ready = conditions.get("Ready", {})
        if ready.get("status") != "True":
            rows["state"] = "failed"
            rows["message"] = str(ready.get("message", "not ready yet"))
        upgrade = conditions.get("UpgradeInProgress", {}).get("status") == "True"
        count = item.get("status", {}).get("numServeEndpoints", 0)
        rows[item["metadata"]["name"]] = f"{count} endpoints{', a new version is being started' if upgrade else ''}"
    return rows


def _url(order: Order) -> str:
    """Within the cluster; KubeRay makes the second kind of Service itself."""
    space = order.settings.service.namespace
    return (
        f"http://{_ray_address(order)}.{space}.svc:{ray.SERVE_PORT}"
        if _is_ray(order.settings)
        else f"http://{order.name}.{space}.svc"
    )


def _ray_address(order: Order) -> str:
    return f"{order.name}-serve-svc"


@contextmanager
def _forwarded(tools: Tools, order: Order) -> Iterator[str]:
    """An address on this machine that leads to one pod of the new roll-out."""
    limits = order.settings.service
    goal = (
        (f"service/{_ray_address(order)}", ray.SERVE_PORT) if _is_ray(order.settings) else (_name(order), limits.port)
    )
    with tools.forward(goal[0], limits.namespace, goal[1]) as address:
        yield address
