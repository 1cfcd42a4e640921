"""What is applied where the cluster runs Ray by KubeRay: the server under Ray Serve, a training as a job.

https://docs.ray.io/en/latest/cluster/kubernetes/index.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loopline.core.records import CloudSettings
from loopline.deployment.files import yaml_text
from loopline.deployment.manifests import labels, pod_spec
from loopline.deployment.order import Order

RAY_VERSION = "2.60.0"


def ray_service(order: Order) -> dict[str, Any]:
    """A RayService of replicas that scale with the requests in work; a new version is started beside the old one."""
    limits = order.settings.service
    application = {
        "name": order.name,
        "route_prefix": "/",
        "import_path": order.ray_application,
        "deployments": [
            {
                "name": "Server",
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
        "rayClusterConfig": _cluster(order, num_workers=(0, limits.max_instances)),
    }
    metadata = {"name": order.name, "namespace": limits.namespace, "labels": labels(order)}
    return {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": metadata, "spec": spec}


def ray_job(name: str, *, image: str, overrides: Sequence[str], settings: CloudSettings, url: str) -> dict[str, Any]:
    """A RayJob that trains on a cluster of its own, which is gone when it is done, or after the job's longest time."""
    job = settings.job
    resources: dict[str, Any] = {"requests": {"cpu": "2", "memory": "8Gi"}, "limits": {"memory": "8Gi"}}
    if job.accelerator is not None:
        resources["limits"]["nvidia.com/gpu"] = str(job.num_accelerators)
    container = {"name": "ray-head", "image": image, "resources": resources}
    head = {"rayStartParams": {"dashboard-host": "0.0.0.0"}, "template": {"spec": {"containers": [container]}}}  # noqa: S104 - of the pod
    spec = {
        "entrypoint": " ".join(["loopline", "job", "work", url, *overrides]),
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": 60,
        "activeDeadlineSeconds": int(job.max_hours * 3600),
        "backoffLimit": job.max_restarts if job.spot else 0,
        "rayClusterSpec": {"rayVersion": RAY_VERSION, "headGroupSpec": head},
    }
    metadata = {"name": name, "namespace": settings.service.namespace}
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata, "spec": spec}


def _cluster(order: Order, *, num_workers: tuple[int, int]) -> dict[str, Any]:
    pod = pod_spec(order)
    server = {key: value for key, value in pod["containers"][0].items() if not key.endswith("Probe")}
    head = {**server, "name": "ray-head", "ports": [{"name": "serve", "containerPort": 8000}]}
    worker = {**server, "name": "ray-worker", "ports": [{"name": "metrics", "containerPort": 8080}]}
    return {
        "rayVersion": RAY_VERSION,
        "enableInTreeAutoscaling": True,
        "headGroupSpec": {
            "rayStartParams": {"dashboard-host": "0.0.0.0"},  # noqa: S104 - of the pod
            "template": {"spec": {**pod, "containers": [head]}},
        },
        "workerGroupSpecs": [
            {
                "groupName": "servers",
                "replicas": num_workers[0],
                "minReplicas": num_workers[0],
                "maxReplicas": num_workers[1],
                "rayStartParams": {},
                "template": {"spec": {**pod, "containers": [worker]}},
            }
        ],
    }
