"""What is applied to a Kubernetes cluster, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loopline.deployment.order import LABEL, LOG_VARIABLE, Order, name_of

BUNDLE_ANNOTATION, REVISION_ANNOTATION = "loopline.dev/bundle", "loopline.dev/revision"
USER_ID = 10_001  # of the serving image
DNS: Mapping[str, Any] = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}


def labels(order: Order, *, track: str | None = None) -> dict[str, str]:
    """Kubernetes' recommended labels; `track` tells champion and challenger apart."""
    own = {"app.kubernetes.io/name": order.name, "app.kubernetes.io/managed-by": LABEL}
    return own if track is None else {**own, "loopline.dev/track": track}


def deployment(order: Order, *, track: str, num_replicas: int | None) -> dict[str, Any]:
    """A Deployment that replaces pods one by one, each only once its successor is ready; replicas None: the HPA's."""
    name = order.name if track == "champion" else f"{order.name}-{track}"
    own = labels(order, track=track)
    pod = pod_spec(order)
    annotations = {BUNDLE_ANNOTATION: order.bundle.digest, REVISION_ANNOTATION: name_of(order.name, pod)}
    spec: dict[str, Any] = {
        **({} if num_replicas is None else {"replicas": num_replicas}),
        "selector": {"matchLabels": own},
        "revisionHistoryLimit": 5,
        "progressDeadlineSeconds": 300,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {
            "metadata": {"labels": own, "annotations": annotations},
            "spec": pod,
        },
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(order, name, own), "spec": spec}


def pod_spec(order: Order) -> dict[str, Any]:
    """The server: not root, nothing writable but /tmp, ready once it reproduces its reference inputs."""
    limits = order.settings.service
    container = {
        "name": "server",
        "image": order.image,
        "ports": [{"name": "http", "containerPort": limits.port}],
        "env": [
            {"name": "PORT", "value": str(limits.port)},
            *({"name": name, "value": value} for name, value in order.environment.items()),
            *(
                {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": "value"}}}
                for name, secret in sorted(limits.secrets.items())
            ),
        ],
        "resources": {
            "requests": {"cpu": f"{limits.num_cpus:g}", "memory": f"{limits.memory_mib}Mi"},
            # No limit on processors: throttling a batch makes every request in it late.
            "limits": {"memory": f"{limits.memory_mib}Mi"},
        },
        "startupProbe": probe("/readyz", "http", period_s=2, failures=60),
        "readinessProbe": probe("/readyz", "http", period_s=5, failures=2),
        "livenessProbe": probe("/healthz", "http", period_s=10, failures=3),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a volume of the pod's own
    }
    return {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}],
    }


def service(order: Order) -> dict[str, Any]:
    """One address for champion and challenger; each gets requests in the proportion of its pods."""
    spec = {
        "selector": labels(order),
        "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(order, order.name, labels(order)),
        "spec": spec,
    }


def autoscaler(order: Order) -> dict[str, Any]:
    """More pods while the processors are busy, fewer after five quiet minutes."""
    limits = order.settings.service
    busy = {"type": "Utilization", "averageUtilization": 70}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": order.name},
        "minReplicas": max(1, limits.min_instances),
        "maxReplicas": limits.max_instances,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": busy}}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
    }
    own = metadata(order, order.name, labels(order))
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": own, "spec": spec}


def pod_monitor(order: Order) -> dict[str, Any]:
    """What Prometheus' operator scrapes: every pod, champion and challenger told apart.

    Where callers need a key, the operator's is the value of the secret NAME-api-key.
    """
    endpoint: dict[str, Any] = {"port": "http", "path": "/metrics", "interval": "15s"}
    if order.has_keys:
        endpoint["authorization"] = {"credentials": {"name": f"{order.name}-api-key", "key": "value"}}
    spec = {
        "selector": {"matchLabels": labels(order)},
        "podMetricsEndpoints": [endpoint],
        "podTargetLabels": ["loopline.dev/track"],
    }
    own = metadata(order, order.name, labels(order))
    return {"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": own, "spec": spec}


def network_policy(order: Order) -> dict[str, Any]:
    """Anyone in the cluster may ask on the one port; the server itself may ask for names, and its log's database."""
    spec = {
        "podSelector": {"matchLabels": labels(order)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": order.settings.service.port}]}],
        "egress": [DNS, *log_egress(order)],
    }
    return policy(order, spec)


def policy(order: Order, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A NetworkPolicy with the order's name."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(order, order.name, labels(order)),
        "spec": dict(spec),
    }


def log_egress(order: Order) -> list[dict[str, Any]]:
    """The way to PostgreSQL, where a secret holds the prediction log's address."""
    if LOG_VARIABLE not in order.settings.service.secrets:
        return []
    return [{"ports": [{"protocol": "TCP", "port": 5432}]}]


def metadata(order: Order, name: str, own: Mapping[str, str]) -> dict[str, Any]:
    """What every object begins with."""
    return {"name": name, "namespace": order.settings.service.namespace, "labels": dict(own)}


def probe(path: str, port: int | str, *, period_s: int, failures: int) -> dict[str, Any]:
    """A question that Kubernetes asks again and again."""
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period_s,
        "failureThreshold": failures,
        "timeoutSeconds": 3,
    }
