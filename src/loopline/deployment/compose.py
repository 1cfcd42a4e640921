"""One host with Docker: the server, Prometheus, Grafana, MLflow and PostgreSQL, by Docker Compose."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from loopline.core.errors import LooplineError, StateError
from loopline.core.records import Deployment, Step
from loopline.core.store import write_text
from loopline.deployment.files import yaml_text
from loopline.deployment.order import LABEL, LOG_VARIABLE, PROOF, Order, Outcome, Prove, Tools, nothing_before
from loopline.deployment.smoke import API_KEY_VARIABLE

_TEXTS = Path(__file__).parent / "compose_files"
# File of ours to its place beside compose.yaml.
_BESIDE = {
    "prometheus.yml": "prometheus/prometheus.yml",
    "rules.yml": "prometheus/rules.yml",
    "datasource.yml": "grafana/provisioning/datasources/datasource.yml",
    "dashboards.yml": "grafana/provisioning/dashboards/dashboards.yml",
    "dashboard.json": "grafana/dashboards/loopline.json",
    "mlflow.Dockerfile": "mlflow/Dockerfile",
    "databases.sql": "postgres/databases.sql",
}
# Whoever scrapes is a caller, too.
_SHOW_KEY = "    authorization:\n      credentials_file: /run/secrets/api_key\n"
_PASSWORD = "${POSTGRES_PASSWORD:?set it in your shell}"  # noqa: S105 - the shell's, when the stack is started
_ABOUT = """Server, metrics, tracking on one host. By hand:
  export POSTGRES_PASSWORD=… GRAFANA_PASSWORD=…    # letters and digits; never written to a file of this project
  docker compose up --detach --wait
Server on 8080; on this host only: Grafana 3000, MLflow 5000, PostgreSQL 5432, Prometheus 9090."""


class Compose:
    """The target `compose`."""

    def files(self, order: Order) -> Mapping[str, str]:
        texts = {place: (_TEXTS / name).read_text(encoding="utf-8") for name, place in _BESIDE.items()}
        if order.has_keys:
            texts["prometheus/prometheus.yml"] += _SHOW_KEY
        return {"compose.yaml": yaml_text(compose(order), about=_ABOUT), **texts}

    def steps(self, order: Order) -> list[Step]:
        up = "docker compose up --detach --wait"
        return [
            Step(title="start or replace what differs", kind="command", text=up),
            PROOF,
            Step(title="only where one of these failed: the files and the image of before", kind="command", text=up),
        ]

    def deploy(self, order: Order, folder: str, tools: Tools, prove: Prove) -> Outcome:
        if order.share_percent != 100:
            raise StateError("one host has one server; to share traffic, take cloudrun, vertex-endpoint or kubernetes.")
        address = f"http://127.0.0.1:{order.settings.service.port}"
        try:
            tools.run(_words(folder, "up", "--detach", "--wait"))
            prove(address)
        except LooplineError:
            if order.before is not None:
                tools.say(f"going back to {order.before.image}")
                _start(folder, order.before.image, tools)
            raise
        return Outcome(address, order.image, None if order.before is None else order.before.image)

    def status(self, deployment: Deployment, tools: Tools) -> dict[str, str]:
        # One JSON object a line.
        lines = tools.run([*_project(deployment), "ps", "--all", "--format=json"]).splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        rows = {"state": "serving" if any(_runs_server(item) for item in found) else "gone"}
        return {**rows, **{item["Service"]: f"{item['State']} {item.get('Health', '')}".strip() for item in found}}

    def logs(self, deployment: Deployment, tools: Tools) -> Iterator[str]:
        yield from tools.run([*_project(deployment), "logs", "--no-color", "--tail=100", "server"]).splitlines()

    def rollback(self, deployment: Deployment, tools: Tools) -> Outcome:
        if deployment.previous_revision is None:
            raise nothing_before(deployment)
        folder = tools.run([*_project(deployment), "ls", "--format=json", f"--filter=name={deployment.name}"])
        path = Path(json.loads(folder)[0]["ConfigFiles"].partition(",")[0]).parent
        _start(str(path), deployment.previous_revision, tools)
        return Outcome(deployment.url, deployment.previous_revision, deployment.revision)

    def destroy(self, deployment: Deployment, tools: Tools) -> None:
        # Volumes stay: tracked runs and metrics are no part of a server.
        tools.run([*_project(deployment), "down", "--remove-orphans"])


def compose(order: Order) -> dict[str, Any]:
    """The stack: passwords from the environment of who starts it, pages on this host's loopback only."""
    services = {
        "server": _server(order),
        "prometheus": _prometheus(order),
        "grafana": _grafana(),
        "mlflow": _mlflow(),
        "postgres": _postgres(),
    }
    services = {name: {**service, "restart": "unless-stopped"} for name, service in services.items()}
    volumes: dict[str, Any] = {name: {} for name in ("artifacts", "grafana", "postgres", "prometheus")}
    stack = {"name": order.name, "services": services, "volumes": volumes, "x-made-by": LABEL}
    # A key itself, of the shell that starts the stack; the server knows digests only.
    return {**stack, "secrets": {"api_key": {"environment": API_KEY_VARIABLE}}} if order.has_keys else stack


def _server(order: Order) -> dict[str, Any]:
    limits = order.settings.service
    return {
        "image": order.image,
        "environment": {
            "PORT": "8080",
            **order.environment,
            # The host's disk keeps what was predicted; the container keeps nothing.
            LOG_VARIABLE: f"postgresql://mlflow:{_PASSWORD}@postgres:5432/predictions",
            # The name only: its value is taken from the environment of whoever starts the stack.
            **{name: f"${{{name}:?set it in your shell}}" for name in sorted(limits.secrets)},
        },
        "ports": [f"{limits.port}:8080"],
        # It starts without: rows wait for a database that is away.
        "depends_on": ["postgres"],
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - of the container
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "deploy": {"resources": {"limits": {"memory": f"{limits.memory_mib}M", "cpus": f"{limits.num_cpus:g}"}}},
        "labels": order.labels,
    }


def _prometheus(order: Order) -> dict[str, Any]:
    return {
        **({"secrets": ["api_key"]} if order.has_keys else {}),
        "image": "prom/prometheus:v3.5.0",
        "command": ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.retention.time=30d"],
        "volumes": ["./prometheus:/etc/prometheus:ro", "prometheus:/prometheus"],
        "ports": ["127.0.0.1:9090:9090"],
        "depends_on": ["server"],
    }


def _grafana() -> dict[str, Any]:
    return {
        "image": "grafana/grafana:12.1.0",
        "environment": {
            "GF_SECURITY_ADMIN_PASSWORD": "${GRAFANA_PASSWORD:?set it in your shell}",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
        },
        "volumes": [
            "./grafana/provisioning:/etc/grafana/provisioning:ro",
            "./grafana/dashboards:/etc/grafana/dashboards:ro",
            "grafana:/var/lib/grafana",
        ],
        "ports": ["127.0.0.1:3000:3000"],
        "depends_on": ["prometheus"],
    }


def _mlflow() -> dict[str, Any]:
    database = f"postgresql://mlflow:{_PASSWORD}@postgres:5432/mlflow"
    return {
        "build": {"context": "./mlflow"},
        "environment": {"MLFLOW_BACKEND_STORE_URI": database, "MLFLOW_DISABLE_TELEMETRY": "true"},
        "volumes": ["artifacts:/artifacts"],
        "ports": ["127.0.0.1:5000:5000"],
        "depends_on": {"postgres": {"condition": "service_healthy"}},
    }


def _postgres() -> dict[str, Any]:
    return {
        "image": "postgres:17-bookworm",
        "environment": {
            "POSTGRES_DB": "mlflow",
            "POSTGRES_USER": "mlflow",
            "POSTGRES_PASSWORD": _PASSWORD,
        },
        "volumes": [
            "postgres:/var/lib/postgresql/data",
            "./postgres:/docker-entrypoint-initdb.d:ro",
        ],
        # For `loopline drift` and `compare`, on this host.
        "ports": ["127.0.0.1:5432:5432"],
        "healthcheck": {"test": ["CMD-SHELL", "pg_isready -U mlflow"], "interval": "5s", "retries": 12},
    }


def _words(folder: str, *words: str) -> list[str]:
    return ["docker", "compose", f"--project-directory={folder}", f"--file={folder}/compose.yaml", *words]


def _project(deployment: Deployment) -> list[str]:
    return ["docker", "compose", f"--project-name={deployment.name}"]


def _runs_server(item: Mapping[str, Any]) -> bool:
    return item.get("Service") == "server" and item.get("State") == "running"


def _start(folder: str, image: str, tools: Tools) -> None:
    """Starts another image of the server by a file that lies over compose.yaml."""
    override = Path(folder) / "rollback.yaml"
    write_text(override, yaml_text({"services": {"server": {"image": image}}}))
    tools.run([*_words(folder), f"--file={override}", "up", "--detach", "--wait", "server"])
