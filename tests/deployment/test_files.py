"""Everything that a deployment writes, against the vendors' published schemas."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from typing import Any

import kubernetes_validate
import pytest
from tests.deployment.conftest import deployed
from tests.published import discovery, packaged, problems, vendored

from loopline.core.records import CloudSettings
from loopline.deployment import Order, open_target
from loopline.deployment.compose import compose
from loopline.deployment.files import read_yaml, yaml_text
from loopline.deployment.ray import ray_job
from loopline.predictor import open_predictor
from loopline.serving.tasks import TASKS
from loopline.serving.telemetry import Telemetry

KUBERNETES = "1.31"


def document(order: Order, target: str, name: str) -> Any:
    """One YAML file of a target, read again."""
    return read_yaml(open_target(target).files(order)[name])[0]


def with_service(order: Order, **changes: Any) -> Order:
    """The order with other settings of its service."""
    service = order.settings.service.model_copy(update=changes)
    return replace(order, settings=order.settings.model_copy(update={"service": service}))


def test_the_cloud_run_service_is_what_google_and_knative_publish(order: Order) -> None:
    """The file holds under Cloud Run's own description and under Knative's."""
    service = document(order, "cloudrun", "service.yaml")
    assert problems(service, discovery("run.v1", "Service")) == []
    assert problems(service, vendored("knative-service")) == []


def test_a_mistake_in_a_file_is_found(order: Order) -> None:
    """The schemas refuse what the services would refuse: the checks above can fail."""
    service = document(order, "cloudrun", "service.yaml")
    service["spec"]["template"]["spec"]["containerConcurency"] = 3
    assert any("containerConcurency" in problem for problem in problems(service, discovery("run.v1", "Service")))
    assert problems(service, vendored("knative-service")) != []
    monitor = document(order, "kubernetes", "kubernetes/podmonitor.yaml")
    monitor["spec"]["podMetricsEndpoints"][0]["intervall"] = "3s"
    assert problems(monitor, vendored("podmonitor")) != []


def test_limits_secrets_and_probes_reach_cloud_run(order: Order) -> None:
    """What the settings say stands in the file, and the secret's value does not."""
    order = with_service(order, memory_mib=2048, num_cpus=2, min_instances=1, max_concurrency=7, timeout_s=45)
    service = document(order, "cloudrun", "service.yaml")
    template = service["spec"]["template"]
    container = template["spec"]["containers"][0]
    assert container["resources"] == {"limits": {"cpu": "2", "memory": "2048Mi"}}
    assert template["spec"]["containerConcurrency"] == 7
    assert template["spec"]["timeoutSeconds"] == 45
    assert template["spec"]["serviceAccountName"] == "loopline-run@potato-lab.iam.gserviceaccount.com"
    assert template["metadata"]["annotations"]["autoscaling.knative.dev/minScale"] == "1"
    secret = next(item for item in container["env"] if item["name"] == "LABEL_TOKEN")
    assert secret["valueFrom"] == {"secretKeyRef": {"name": "token", "key": "latest"}}
    assert container["startupProbe"]["httpGet"]["path"] == "/readyz"


def test_a_revision_is_named_by_what_it_holds(order: Order) -> None:
    """The same again has the same name; another memory has another."""

    def name(of: Order) -> str:
        found: str = document(of, "cloudrun", "service.yaml")["spec"]["template"]["metadata"]["name"]
        return found

    assert name(order) == name(replace(order))
    assert name(order) != name(with_service(order, memory_mib=2048))
    assert name(order).startswith("shapes-")


def test_vertex_bodies_are_what_vertex_publishes(order: Order) -> None:
    """Model, endpoint and deployment."""
    texts = open_target("vertex-endpoint").files(order)
    schemas = {
        "model.json": "GoogleCloudAiplatformV1UploadModelRequest",
        "endpoint.json": "GoogleCloudAiplatformV1Endpoint",
        "deployed-model.json": "GoogleCloudAiplatformV1DeployModelRequest",
    }
    assert texts.keys() == schemas.keys()
    for name, schema in schemas.items():
        assert problems(json.loads(texts[name]), discovery("aiplatform.v1", schema)) == []


def test_kubernetes_files_are_what_kubernetes_publishes(order: Order) -> None:
    """Deployment, Service, HPA and NetworkPolicy, strictly; the PodMonitor by its own definition."""
    texts = open_target("kubernetes").files(order)
    kinds = set()
    for name, text in texts.items():
        for value in read_yaml(text):
            kinds.add(value["kind"])
            if value["kind"] == "PodMonitor":
                assert problems(value, vendored("podmonitor")) == [], name
            else:
                kubernetes_validate.validate(value, KUBERNETES, strict=True)
    assert kinds == {"Deployment", "Service", "HorizontalPodAutoscaler", "PodMonitor", "NetworkPolicy"}


def test_a_pod_is_confined(order: Order) -> None:
    """Not root, nothing writable but /tmp, no privileges, no token of the cluster."""
    pod = document(order, "kubernetes", "kubernetes/deployment.yaml")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    container = pod["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]  # noqa: S108 - the pod's own volume


@pytest.mark.parametrize(("share", "pods"), [(50, 2), (33, 1), (80, 8)])
def test_a_challenger_gets_pods_for_its_share(order: Order, share: int, pods: int) -> None:
    """Beside two champions, a share of the traffic is a number of pods; only its Deployment is written."""
    order = with_service(replace(order, share_percent=share, before=deployed(order)), min_instances=2)
    texts = open_target("kubernetes").files(order)
    assert list(texts) == ["kubernetes/challenger.yaml"]
    challenger = read_yaml(texts["kubernetes/challenger.yaml"])[0]
    assert challenger["metadata"]["name"] == "shapes-challenger"
    assert challenger["spec"]["replicas"] == pods
    assert challenger["spec"]["template"]["metadata"]["labels"]["loopline.dev/track"] == "challenger"


def test_ray_files_are_what_kuberay_publishes(order: Order) -> None:
    """A RayService in place of the Deployment, and a RayJob that trains."""
    order = with_service(order, workload="rayservice")
    service = document(order, "kubernetes", "kubernetes/rayservice.yaml")
    assert problems(service, vendored("rayservice")) == []
    kubernetes_validate.validate(
        document(order, "kubernetes", "kubernetes/networkpolicy.yaml"), KUBERNETES, strict=True
    )
    job = {"accelerator": "nvidia-tesla-t4", "spot": True, "max_hours": 2}
    settings = CloudSettings.model_validate({"job": job})
    found = ray_job("train-1", image="i", overrides=["a=3", "b=it's"], settings=settings, url="gs://b/jobs/1")
    assert problems(found, vendored("rayjob")) == []
    assert shlex.split(found["spec"]["entrypoint"]) == ["loopline", "job", "work", "gs://b/jobs/1", "a=3", "b=it's"]
    assert found["spec"]["activeDeadlineSeconds"] == 7200


def test_a_ray_cluster_can_talk_to_itself(order: Order) -> None:
    """Pods carry the labels that the policy chooses them by; the head alone may ask the cluster for more."""
    order = with_service(order, workload="rayservice", memory_mib=512)
    config = document(order, "kubernetes", "kubernetes/rayservice.yaml")["spec"]["rayClusterConfig"]
    policy = document(order, "kubernetes", "kubernetes/networkpolicy.yaml")["spec"]
    head, worker = config["headGroupSpec"]["template"], config["workerGroupSpecs"][0]["template"]
    chosen = policy["podSelector"]["matchLabels"]
    assert all(chosen.items() <= part["metadata"]["labels"].items() for part in (head, worker))
    assert {"from": [{"podSelector": {"matchLabels": chosen}}]} in policy["ingress"]
    assert "automountServiceAccountToken" not in head["spec"]
    assert worker["spec"]["automountServiceAccountToken"] is False
    # The operator finds these by name, and a list of some hides the others.
    names = {port["name"] for port in head["spec"]["containers"][0]["ports"]}
    assert names == {"gcs-server", "dashboard", "client", "serve", "metrics"}
    assert worker["spec"]["containers"][0]["resources"]["limits"]["memory"] == "1536Mi"


@pytest.mark.parametrize("workload", ["deployment", "rayservice"])
def test_a_log_in_a_database_opens_the_way_to_it(order: Order, workload: str) -> None:
    """The address is a secret's; nothing else may be reached."""
    for secrets, ways in (({}, 0), ({"LOOPLINE_SERVE_LOG": "prediction-log"}, 1)):
        changed = with_service(order, workload=workload, secrets=secrets)
        policy = document(changed, "kubernetes", "kubernetes/networkpolicy.yaml")
        assert sum("5432" in str(rule) for rule in policy["spec"]["egress"]) == ways
        kubernetes_validate.validate(policy, KUBERNETES, strict=True)


def test_the_compose_file_is_what_compose_publishes(order: Order) -> None:
    """Five services; no password stands in a file; pages are for this host only."""
    texts = open_target("compose").files(order)
    stack = read_yaml(texts["compose.yaml"])[0]
    assert problems(stack, packaged("compose-spec")) == []
    assert stack["services"].keys() == {"server", "prometheus", "grafana", "mlflow", "postgres"}
    assert stack["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")
    for name in ("grafana", "mlflow", "prometheus"):
        assert all(port.startswith("127.0.0.1:") for port in stack["services"][name]["ports"])
    assert compose(order)["services"]["server"]["read_only"] is True


def test_a_server_with_keys_is_scraped_with_one(order: Order) -> None:
    """Metrics are behind the gate as everything is: Prometheus has a key, from a secret, and no file holds it."""
    order = with_service(order, secrets={"LOOPLINE_SERVE_API_KEY": "serve-keys"})
    texts = open_target("compose").files(order)
    stack = read_yaml(texts["compose.yaml"])[0]
    assert problems(stack, packaged("compose-spec")) == []
    assert stack["secrets"] == {"api_key": {"environment": "LOOPLINE_API_KEY"}}
    assert stack["services"]["prometheus"]["secrets"] == ["api_key"]
    scraped = read_yaml(texts["prometheus/prometheus.yml"])[0]["scrape_configs"][0]
    assert scraped["authorization"] == {"credentials_file": "/run/secrets/api_key"}
    monitor = document(order, "kubernetes", "kubernetes/podmonitor.yaml")
    assert problems(monitor, vendored("podmonitor")) == []
    found = monitor["spec"]["podMetricsEndpoints"][0]["authorization"]["credentials"]
    assert found == {"name": "shapes-api-key", "key": "value"}


def test_the_host_keeps_what_was_predicted(order: Order) -> None:
    """In the stack's own PostgreSQL, which makes the database when its volume is new."""
    texts = open_target("compose").files(order)
    services = read_yaml(texts["compose.yaml"])[0]["services"]
    address = services["server"]["environment"]["LOOPLINE_SERVE_LOG"]
    assert address.startswith("postgresql://mlflow:${POSTGRES_PASSWORD:?")
    assert address.endswith("@postgres:5432/predictions")
    assert "CREATE DATABASE predictions;" in texts["postgres/databases.sql"]
    assert "./postgres:/docker-entrypoint-initdb.d:ro" in services["postgres"]["volumes"]


def test_what_the_dashboard_and_the_rules_ask_for_is_what_a_server_tells(order: Order, bundle_folder: Any) -> None:
    """Every metric that is drawn or alarmed about is one of the server's."""
    task = TASKS["classification"](open_predictor(bundle_folder), num_probabilities=0)
    telemetry = Telemetry(bundle=order.bundle, task=task)
    told = set(re.findall(r"^# TYPE (\w+)", telemetry.text().decode(), re.MULTILINE))
    texts = open_target("compose").files(order)
    asked = set(re.findall(r"loopline_\w+", texts["grafana/dashboards/loopline.json"] + texts["prometheus/rules.yml"]))
    assert len(asked) > 5
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} <= told


def test_yaml_repeats_nothing_and_keeps_lines() -> None:
    """What people read: no anchors, text in lines."""
    shared = {"a": 1}
    text = yaml_text({"one": shared, "two": shared, "text": "x\ny\n"}, about="why")
    assert text == "# why\none:\n  a: 1\ntwo:\n  a: 1\ntext: |\n  x\n  y\n"
