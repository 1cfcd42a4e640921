"""Targets of your own: a Kubernetes cluster that kubectl reaches, a host with Docker."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing

from loopline.core.records import PreflightCheck
from loopline.preflight.check import failed, passed, unknown, warned
from loopline.preflight.facts import Facts

_TIMEOUT_S = 10
# What a deployment applies: (verb, resource, the group that must be there, who brings it).
_KINDS = (
    ("deployments.apps", None),
    ("services", None),
    ("horizontalpodautoscalers.autoscaling", None),
    ("networkpolicies.networking.k8s.io", None),
    ("podmonitors.monitoring.coreos.com", "the Prometheus operator"),
)
_RAY = ("rayservices.ray.io", "KubeRay")
# Host ports of the stack's pages.
COMPOSE_PORTS = {"grafana": 3000, "mlflow": 5000, "prometheus": 9090}


def check_kubernetes(_target: str, facts: Facts) -> Iterator[PreflightCheck]:
    """Is there a cluster, may you make what is applied, and does it know these kinds?"""
    service = facts.settings.service
    if shutil.which("kubectl") is None:
        yield failed(
            "kubectl",
            "not installed",
            why="Files are applied with it, by the credentials that it holds.",
            fix="see https://kubernetes.io/docs/tasks/tools/",
        )
        return
    code, text = _ask("kubectl", "get", "namespace", service.namespace, "--output=json")
    if code != 0 and "NotFound" not in text:
        yield failed(
            "cluster",
            text.strip().splitlines()[-1] if text.strip() else "no answer",
            why="Nothing can be applied to a cluster that does not answer.",
            fix="gcloud container clusters get-credentials CLUSTER --region=REGION",
        )
        return
    if code != 0:
        yield failed(
            "namespace",
            f"'{service.namespace}' does not exist",
            why="Objects are refused in a namespace that is not there.",
            fix=f"kubectl create namespace {service.namespace}",
        )
    else:
        yield passed("namespace", service.namespace)
    kinds = [*_KINDS, *([_RAY] if service.workload == "rayservice" else [])]
    known = _known_kinds()
    for kind, brought_by in kinds:
        yield _check_kind(kind, brought_by, known=known, namespace=service.namespace)
    yield from _check_room(facts)


def _check_kind(kind: str, brought_by: str | None, *, known: set[str], namespace: str) -> PreflightCheck:
    if kind not in known:
        return failed(
            f"kind {kind}",
            "the cluster does not know it",
            why=f"{brought_by or 'Kubernetes 1.23 or newer'} brings it; without it the file is refused.",
            fix=_INSTALL.get(kind, "kubectl version"),
        )
    code, text = _ask("kubectl", "auth", "can-i", "create", kind, f"--namespace={namespace}")
    if code != 0 or text.strip() != "yes":
        return failed(
            f"kind {kind}",
            f"you may not create it in {namespace}",
            why="It is part of what is applied.",
            fix=f"kubectl create rolebinding loopline --clusterrole=edit --user=YOU --namespace={namespace}",
        )
    return passed(f"kind {kind}", "you may create it")


_INSTALL = {
    "podmonitors.monitoring.coreos.com": "helm install monitoring kube-prometheus-stack "
    "--repo=https://prometheus-community.github.io/helm-charts",
    "rayservices.ray.io": "helm install kuberay-operator kuberay-operator --repo=https://ray-project.github.io/kuberay-helm",
}


def _check_room(facts: Facts) -> Iterator[PreflightCheck]:
    """Is there a machine with that much memory at all?"""
    code, text = _ask("kubectl", "get", "nodes", "--output=json")
    if code != 0:
        yield unknown("room", "you may not list the nodes")
        return
    sizes = [_mib(node["status"]["allocatable"]["memory"]) for node in json.loads(text)["items"]]
    wanted = facts.settings.service.memory_mib
    if not sizes or max(sizes) < wanted:
        yield failed(
            "room",
            f"the largest node has {max(sizes, default=0)} MiB; a pod asks for {wanted}",
            why="A pod that fits nowhere stays Pending for ever.",
            fix="add a node, or lower memory_mib under [tool.loopline.cloud.service]",
        )
    else:
        yield passed("room", f"the largest of {len(sizes)} nodes has {max(sizes)} MiB")


def check_compose(_target: str, _facts: Facts) -> Iterator[PreflightCheck]:
    """Is there an engine with Compose, and are the ports of the stack's pages free?"""
    if shutil.which("docker") is None:
        yield failed(
            "docker", "not installed", why="The stack is containers.", fix="see https://docs.docker.com/engine"
        )
        return
    code, text = _ask("docker", "version", "--format={{.Server.Version}}")
    if code != 0:
        yield failed(
            "docker",
            "the engine does not answer",
            why="The command alone starts nothing; a service runs the containers.",
            fix="sudo systemctl start docker",
        )
        return
    yield passed("docker", text.strip())
    code, text = _ask("docker", "compose", "version", "--short")
    if code != 0:
        yield failed(
            "compose",
            "no plugin",
            why="It reads compose.yaml.",
            fix="apt-get install docker-compose-plugin",
        )
        return
    yield passed("compose", text.strip())
    for name, port in COMPOSE_PORTS.items():
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                yield warned(
                    f"port {port}", f"something listens there already, where {name} would", why="Compose would refuse."
                )


def _known_kinds() -> set[str]:
    """Names of all kinds that the cluster knows, as `deployments.apps`."""
    code, text = _ask("kubectl", "api-resources", "--output=name", "--cached=false")
    return set(text.split()) if code == 0 else set()


def _ask(*words: str) -> tuple[int, str]:
    """A command's exit code and what it says, on either channel."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603 - fixed words
    except subprocess.TimeoutExpired:
        return 124, f"no answer within {_TIMEOUT_S} s"
    return done.returncode, done.stdout or done.stderr


def _mib(quantity: str) -> int:
    """A Kubernetes quantity of memory, as `16Gi` or `16393272Ki`, in MiB."""
    units = {"Ki": 1 / 1024, "Mi": 1.0, "Gi": 1024.0, "Ti": 1024.0**2}
    for unit, factor in units.items():
        if quantity.endswith(unit):
            return int(float(quantity.removesuffix(unit)) * factor)
    return int(float(quantity) / (1 << 20))
