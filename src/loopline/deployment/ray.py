"""What is applied where the cluster runs Ray by KubeRay 1.3 or newer: the server under Ray Serve, a training as a job.

https://docs.ray.io/en/latest/cluster/kubernetes/index.html
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from loopline.core.records import CloudSettings
from loopline.deployment.files import yaml_text
from loopline.deployment.manifests import (
    BUNDLE_ANNOTATION,
    DNS,
    REVISION_ANNOTATION,
    USER_ID,
    labels,
    log_egress,
    metadata,
    pod_spec,
    policy,
    probe,
)
from loopline.deployment.order import LABEL, Order, name_of

RAY_VERSION = "2.60.0"
# What Ray Serve calls the replicas, by who knows the serving room; a test holds the two together.
DEPLOYMENT = "loopline"
SERVE_PORT = 8000
_DASHBOARD_PORT, _AGENT_PORT = 8265, 52_365
# Ray's own processes beside the server, and its object store, which holds nothing here.
_RAY_MIB, _HEAD_MIB, _STORE_BYTES = 1024, 3072, 100_000_000
# Named, because the operator finds them by their names and a list of some hides the others.
_HEAD_PORTS = {"gcs-server": 6379, "dashboard": _DASHBOARD_PORT, "client": 10_001, "serve": SERVE_PORT, "metrics": 8080}
# Of Ray's own agent on every node; KubeRay's own probes need wget, which images lack.
_ALIVE = probe("/api/healthz", _AGENT_PORT, period_s=10, failures=12)
# Where the serving image has its bundle.
_BUNDLE = "/srv/model"


def ray_service(order: Order) -> dict[str, Any]:
    """A RayService of replicas that scale with the requests in work; a new version is started beside the old one."""
    limits = order.settings.service
    application = {
        "name": order.name,
        "route_prefix": "/",
        "import_path": order.ray_application,
        "args": {"bundle": _BUNDLE, "model": order.model},
        "deployments": [
            {
                "name": DEPLOYMENT,
                "max_ongoing_requests": limits.max_concurrency,
                "autoscaling_config": {
                    "min_replicas": max(1, limits.min_instances),
                    "max_replicas": limits.max_instances,
                    "target_ongoing_requests": max(1, limits.max_concurrency // 2),
                },
                "ray_actor_options": {"num_cpus": limits.num_cpus},
            }
        ],
    }
    spec = {
        "serveConfigV2": yaml_text({"applications": [application]}),
        "rayClusterConfig": _cluster(order),
    }
    annotations = {BUNDLE_ANNOTATION: order.bundle.digest, REVISION_ANNOTATION: name_of(order.name, spec)}
    own = {**metadata(order, order.name, labels(order)), "annotations": annotations}
    return {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": own, "spec": spec}


def ray_network_policy(order: Order) -> dict[str, Any]:
    """Anyone in the cluster may ask on the one port; pods of the Ray cluster reach each other and the API server."""
    own, operator = {"matchLabels": labels(order)}, {"app.kubernetes.io/name": "kuberay-operator"}
    peers = [{"podSelector": own}]
    spec = {
        "podSelector": own,
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {"ports": [{"protocol": "TCP", "port": SERVE_PORT}]},
            {"from": peers},
            {
                # The operator sends the application to the dashboard, and asks it how it does.
                "from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": operator}}],
                "ports": [{"protocol": "TCP", "port": _DASHBOARD_PORT}],
            },
        ],
        "egress": [
            DNS,
            {"to": peers},
            # The autoscaler asks the API server for workers; some clusters have it on 6443.
            {"ports": [{"protocol": "TCP", "port": 443}, {"protocol": "TCP", "port": 6443}]},
            *log_egress(order),
        ],
    }
    return policy(order, spec)


def ray_job(name: str, *, image: str, overrides: Sequence[str], settings: CloudSettings, url: str) -> dict[str, Any]:
    """A RayJob that trains on a cluster of its own, which is gone when it is done, or after the job's longest time."""
    job = settings.job
    resources = _resources("2", 8192)
    if job.accelerator is not None:
        resources["limits"]["nvidia.com/gpu"] = str(job.num_accelerators)
    container = {
        "name": "ray-head",
        "image": image,
        "ports": [{"name": name, "containerPort": port} for name, port in _HEAD_PORTS.items()],
        "resources": resources,
        "livenessProbe": _ALIVE,
        "readinessProbe": _ALIVE,
    }
    pod = {"containers": [container], "securityContext": {"runAsNonRoot": True, "runAsUser": USER_ID}}
    head = {"rayStartParams": {"dashboard-host": "0.0.0.0"}, "template": {"spec": pod}}  # noqa: S104 - of the pod
    spec = {
        "entrypoint": shlex.join(["loopline", "job", "work", url, *overrides]),
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": 60,
        "activeDeadlineSeconds": int(job.max_hours * 3600),
        "backoffLimit": job.max_restarts if job.spot else 0,
        "rayClusterSpec": {"rayVersion": RAY_VERSION, "headGroupSpec": head},
    }
    own = {"name": name, "namespace": settings.service.namespace, "labels": {LABEL: "job"}}
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": own, "spec": spec}


def _cluster(order: Order) -> dict[str, Any]:
    """A head that schedules, and workers that serve, as many as there are replicas."""
    limits = order.settings.service
    pod = pod_spec(order)
    server = {key: value for key, value in pod["containers"][0].items() if not key.endswith("Probe")}
    head = {
        **server,
        "name": "ray-head",
        "ports": [{"name": name, "containerPort": port} for name, port in _HEAD_PORTS.items()],
        "resources": _resources("1", _HEAD_MIB),
        "livenessProbe": _ALIVE,
        "readinessProbe": _ALIVE,
    }
    worker = {
        **server,
        "name": "ray-worker",
        "ports": [{"name": "serve", "containerPort": SERVE_PORT}, {"name": "metrics", "containerPort": 8080}],
        "resources": _resources(f"{limits.num_cpus:g}", limits.memory_mib + _RAY_MIB),
        "livenessProbe": _ALIVE,
        # Ray's proxy on this node.
        "readinessProbe": probe("/-/healthz", SERVE_PORT, period_s=5, failures=3),
    }
    # Ray's autoscaler runs in the head's pod and asks the cluster for more: the head alone has a token.
    head_pod = {key: value for key, value in pod.items() if key != "automountServiceAccountToken"}
    sizes = {"object-store-memory": str(_STORE_BYTES)}
    template = {"metadata": {"labels": labels(order)}}
    return {
        "rayVersion": RAY_VERSION,
        "enableInTreeAutoscaling": True,
        "headGroupSpec": {
            # No replica on the head: where it is busy, nothing else is scheduled.
            "rayStartParams": {"dashboard-host": "0.0.0.0", "num-cpus": "0", **sizes},  # noqa: S104 - of the pod
            "template": {**template, "spec": {**head_pod, "containers": [head]}},
        },
        "workerGroupSpecs": [
            {
                "groupName": "servers",
                "replicas": max(1, limits.min_instances),
                "minReplicas": max(1, limits.min_instances),
                "maxReplicas": limits.max_instances,
                "rayStartParams": {"num-cpus": str(max(1, int(limits.num_cpus))), **sizes},
                "template": {**template, "spec": {**pod, "containers": [worker]}},
            }
        ],
    }


def _resources(num_cpus: str, memory_mib: int) -> dict[str, Any]:
    return {"requests": {"cpu": num_cpus, "memory": f"{memory_mib}Mi"}, "limits": {"memory": f"{memory_mib}Mi"}}
