"""A cluster and a host of your own: programs at the edge of the process that answer as the real ones do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loopline.core.records import CloudSettings, Preflight
from loopline.google import Google
from loopline.preflight import Facts, preflight

KINDS = (
    "deployments.apps services horizontalpodautoscalers.autoscaling networkpolicies.networking.k8s.io "
    "podmonitors.monitoring.coreos.com rayservices.ray.io"
)
NODES = {
    "items": [{"status": {"allocatable": {"memory": "16393272Ki"}}}, {"status": {"allocatable": {"memory": "4Gi"}}}]
}


def never() -> Google:
    """Nobody on Google is asked about machines of your own."""
    raise AssertionError("Google was asked")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(path: Path, answers: dict[str, tuple[int, str]]) -> None:
    """A program that answers by what its arguments begin with; anything else is an error."""
    cases = "".join(f"  '{words}'*) cat <<'E'\n{text}\nE\n  exit {code};;\n" for words, (code, text) in answers.items())
    path.write_text(f'#!/bin/sh\nPATH=/usr/bin:/bin\ncase "$*" in\n{cases}esac\necho "error: unknown $*" >&2\nexit 1\n')
    path.chmod(0o755)


def cluster(**changes: tuple[int, str]) -> dict[str, tuple[int, str]]:
    """What kubectl answers about a cluster in which nothing is missing, with some answers replaced."""
    healthy = {
        "get namespace": (0, "{}"),
        "api-resources": (0, KINDS),
        "auth can-i create": (0, "yes"),
        "get nodes": (0, json.dumps(NODES)),
    }
    return {**changes, **{key: value for key, value in healthy.items() if key not in changes}}


def look(target: str, **service: object) -> Preflight:
    """A preflight with settings of the service."""
    return preflight(target, Facts(CloudSettings.model_validate({"service": service})), open_google=never)


def failures(found: Preflight) -> list[tuple[str, str]]:
    """Names and findings of what would stop it."""
    return [(check.name, check.found) for check in found.checks if check.status == "failed"]


def test_a_healthy_cluster(programs: Path) -> None:
    """Nothing is missing, also for Ray."""
    program(programs / "kubectl", cluster())
    assert failures(look("kubernetes", workload="rayservice")) == []
    rooms = [check.found for check in look("kubernetes").checks if check.name == "room"]
    assert rooms == ["the largest of 2 nodes has 16009 MiB"]


@pytest.mark.parametrize(
    ("changes", "name", "found"),
    [
        ({"get namespace": (1, "The connection to the server localhost:8080 was refused")}, "cluster", "was refused"),
        ({"get namespace": (1, 'Error (NotFound): namespaces "default" not found')}, "namespace", "does not exist"),
        (
            {"api-resources": (0, KINDS.replace("podmonitors", "x"))},
            "kind podmonitors.monitoring.coreos.com",
            "not know",
        ),
        ({"api-resources": (0, KINDS.replace("rayservices", "x"))}, "kind rayservices.ray.io", "does not know it"),
        ({"auth can-i create services": (1, "no")}, "kind services", "you may not create it in default"),
        ({"get nodes": (0, '{"items": []}')}, "room", "the largest node has 0 MiB; a pod asks for 1024"),
    ],
)
def test_what_a_cluster_lacks_is_named(
    changes: dict[str, tuple[int, str]], name: str, found: str, programs: Path
) -> None:
    """One fault, one name."""
    program(programs / "kubectl", cluster(**changes))
    wrong = failures(look("kubernetes", workload="rayservice"))
    assert [each[0] for each in wrong] == [name]
    assert found in wrong[0][1]


def test_a_host(programs: Path) -> None:
    """An engine with Compose, one without, an engine that does not answer, none."""
    program(programs / "docker", {"version": (0, "28.2.2"), "compose version": (0, "2.40.0")})
    assert failures(look("compose")) == []
    program(programs / "docker", {"version": (0, "28.2.2"), "compose version": (1, "unknown command")})
    assert failures(look("compose")) == [("compose", "no plugin")]
    program(programs / "docker", {"version": (1, "Cannot connect to the Docker daemon")})
    assert failures(look("compose")) == [("docker", "the engine does not answer")]
    (programs / "docker").unlink()
    assert failures(look("compose")) == [("docker", "not installed")]
    assert failures(look("kubernetes")) == [("kubectl", "not installed")]
