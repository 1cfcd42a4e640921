"""Kubernetes, by kubectl and the credentials that it holds: files that are applied, and a roll-out that is watched."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from loopline.core.errors import LooplineError
from loopline.core.records import Deployment, Step
from loopline.deployment import manifests, ray
from loopline.deployment.files import yaml_text
from loopline.deployment.order import PROOF, Order, Outcome, Prove, Tools, nothing_before

_CHALLENGER = "challenger"
_TIMEOUT = "--timeout=300s"


class Kubernetes:
    """The target `kubernetes`."""

    def files(self, order: Order) -> Mapping[str, str]:
        if order.settings.service.workload == "rayservice":
            about = "A RayService of KubeRay 1.2 or newer. By hand: kubectl apply -f kubernetes"
            return {
                "kubernetes/rayservice.yaml": yaml_text(ray.ray_service(order), about=about),
                "kubernetes/networkpolicy.yaml": yaml_text(manifests.network_policy(order)),
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
        words = {
            "apply": _words(order.settings.service.namespace, "apply", "--filename=kubernetes"),
            "wait": _words(order.settings.service.namespace, "rollout", "status", _name(order), _TIMEOUT),
            "undo": _words(order.settings.service.namespace, "rollout", "undo", _name(order)),
        }
        return [
            Step(title="everything that differs", kind="command", text=" ".join(words["apply"])),
            Step(title="new pods, each before an old one goes", kind="command", text=" ".join(words["wait"])),
            PROOF,
            Step(title="only where one of these failed", kind="command", text=" ".join(words["undo"])),
        ]

    def deploy(self, order: Order, folder: str, tools: Tools, prove: Prove) -> Outcome:
        space = order.settings.service.namespace
        before = _generation(tools, space, _name(order))
        tools.say(tools.run(_words(space, "apply", f"--filename={folder}/kubernetes")).strip())
        try:
            if order.settings.service.workload == "deployment":
                tools.run(_words(space, "rollout", "status", _name(order), _TIMEOUT))
            with _forwarded(tools, order) as address:
                prove(address)
        except LooplineError:
            if before is not None and order.settings.service.workload == "deployment":
                tools.say(tools.run(_words(space, "rollout", "undo", _name(order))).strip())
            raise
        return Outcome(f"http://{order.name}.{space}.svc", order.bundle.digest[:12], before)

    def status(self, deployment: Deployment, tools: Tools) -> dict[str, str]:
        space = deployment.settings.service.namespace
        chosen = f"--selector=app.kubernetes.io/name={deployment.name}"
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
        if deployment.share_percent < 100:
            tools.run(_words(space, "delete", f"deployment/{deployment.name}-{_CHALLENGER}", "--ignore-not-found"))
        else:
            tools.run(_words(space, "rollout", "undo", f"deployment/{deployment.name}"))
            tools.run(_words(space, "rollout", "status", f"deployment/{deployment.name}", _TIMEOUT))
        return Outcome(deployment.url, deployment.previous_revision, deployment.revision)

    def destroy(self, deployment: Deployment, tools: Tools) -> None:
        kinds = "deployment,service,horizontalpodautoscaler,networkpolicy,podmonitor"
        if deployment.settings.service.workload == "rayservice":
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


def _generation(tools: Tools, namespace: str, name: str) -> str | None:
    """The roll-out that serves now, or None where there is none."""
    path = r"--output=jsonpath={.metadata.annotations.deployment\.kubernetes\.io/revision}"
    return tools.run(_words(namespace, "get", name, "--ignore-not-found", path)).strip() or None


@contextmanager
def _forwarded(tools: Tools, order: Order) -> Iterator[str]:
    """An address on this machine that leads to one pod of the new roll-out."""
    with tools.forward(_name(order), order.settings.service.namespace, order.settings.service.port) as address:
        yield address
