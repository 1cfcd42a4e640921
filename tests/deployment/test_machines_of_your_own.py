"""Kubernetes by kubectl and one host by Docker Compose: which commands, in which order, also where one fails."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.deployment.conftest import RecordedCommands, deployed

from loopline.core.errors import SkewError, StateError
from loopline.deployment import Order, Tools, open_target
from loopline.deployment.order import forward_port, run_command


def tools(commands: RecordedCommands) -> Tools:
    """Tools with those commands."""
    return Tools(google=lambda: None, run=commands, forward=commands.forward, say=lambda _: None)  # type: ignore[arg-type, return-value] # nobody asks Google


def disprove(_: str) -> None:
    """A proof that fails."""
    raise SkewError("another model answers there.")


def test_a_roll_out_to_kubernetes(order: Order) -> None:
    """Applied, waited for, proved through a forwarded port."""
    commands, proved = RecordedCommands(jsonpath="3"), list[str]()
    outcome = open_target("kubernetes").deploy(order, "here", tools(commands), proved.append)
    assert [line.removeprefix("kubectl --namespace=default ") for line in commands.lines[1:]] == [
        "apply --filename=here/kubernetes",
        "rollout status deployment/shapes --timeout=300s",
        "forward deployment/shapes default 8080",
    ]
    assert proved == ["http://127.0.0.1:1"]
    assert (outcome.url, outcome.previous_revision) == ("http://shapes.default.svc", "3")


@pytest.mark.parametrize("fails", ["rollout status", "proof"])
def test_a_roll_out_that_fails_is_undone(order: Order, fails: str) -> None:
    """Pods that never get ready, and pods that answer otherwise; not where nothing was there before."""
    error = StateError("deployment exceeded its progress deadline")
    answers: dict[str, Any] = {"rollout status": error} if fails != "proof" else {}
    for before, undone in (("3", True), ("", False)):
        commands = RecordedCommands(jsonpath=before, **answers)
        with pytest.raises((StateError, SkewError)):
            open_target("kubernetes").deploy(order, "here", tools(commands), disprove)
        assert any("rollout undo deployment/shapes" in line for line in commands.lines) == undone


def ray_commands(**answers: Any) -> RecordedCommands:
    """kubectl beside a RayService that is there: its revision, and what was applied to it."""
    known = {r"loopline\.dev/revision": "shapes-old", "last-applied": '{"kind": "RayService"}', "generation}": "4"}
    return RecordedCommands(**{**known, **answers})


@pytest.fixture
def on_ray(order: Order) -> Order:
    """The order as a RayService."""
    limits = order.settings.service.model_copy(update={"workload": "rayservice"})
    return replace(order, settings=order.settings.model_copy(update={"service": limits}))


def test_a_ray_service_is_waited_for_and_proved(on_ray: Order) -> None:
    """Seen by the operator, upgraded, ready; proved through Ray's own Service."""
    commands, proved = ray_commands(), list[str]()
    outcome = open_target("kubernetes").deploy(on_ray, "here", tools(commands), proved.append)
    assert [line.removeprefix("kubectl --namespace=default ") for line in commands.lines[2:]] == [
        "apply --filename=here/kubernetes",
        "get rayservice/shapes --output=jsonpath={.metadata.generation}",
        "wait rayservice/shapes --for=jsonpath={.status.observedGeneration}=4 --timeout=300s",
        "wait rayservice/shapes --for=condition=UpgradeInProgress=false --timeout=300s",
        "wait rayservice/shapes --for=condition=Ready --timeout=300s",
        "forward service/shapes-serve-svc default 8000",
    ]
    assert proved == ["http://127.0.0.1:1"]
    assert (outcome.url, outcome.previous_revision) == ("http://shapes-serve-svc.default.svc:8000", "shapes-old")


def test_a_ray_service_that_fails_is_what_it_was(on_ray: Order) -> None:
    """What was applied before is applied again; nothing is where there was nothing."""
    commands = ray_commands(**{"condition=Ready": StateError("timed out waiting for the condition")})
    with pytest.raises(StateError, match="timed out"):
        open_target("kubernetes").deploy(on_ray, "here", tools(commands), disprove)
    assert commands.lines[-1].endswith("before.json")
    first = RecordedCommands()
    with pytest.raises(SkewError):
        open_target("kubernetes").deploy(on_ray, "here", tools(first), disprove)
    assert not any("before.json" in line for line in first.lines)


def test_a_ray_service_tells_how_it_does(on_ray: Order) -> None:
    """Its conditions as KubeRay writes them; there is no way back but another deployment."""
    ready = {"type": "Ready", "status": "True", "message": ""}
    upgrade = {"type": "UpgradeInProgress", "status": "True", "message": ""}
    item: dict[str, Any] = {"metadata": {"name": "shapes"}, "status": {"conditions": [ready, upgrade]}}
    item["status"]["numServeEndpoints"] = 2
    target, found = open_target("kubernetes"), deployed(on_ray, target="kubernetes", previous_revision="x")
    rows = target.status(found, tools(RecordedCommands(**{"get rayservices": json.dumps({"items": [item]})})))
    assert rows == {"state": "serving", "shapes": "2 endpoints, a new version is being started"}
    item["status"] = {"conditions": [{**ready, "status": "False", "message": "no endpoints"}]}
    rows = target.status(found, tools(RecordedCommands(**{"get rayservices": json.dumps({"items": [item]})})))
    assert (rows["state"], rows["message"]) == ("failed", "no endpoints")
    with pytest.raises(StateError, match="deploy the model before again"):
        target.rollback(found, tools(RecordedCommands()))
    commands = RecordedCommands()
    target.destroy(found, tools(commands))
    assert "delete rayservice,networkpolicy" in commands.lines[-1]


def test_the_same_again_on_kubernetes_keeps_what_was_before(order: Order) -> None:
    """Its revision is named by what its pods are made of."""
    first = open_target("kubernetes").deploy(order, "here", tools(RecordedCommands()), lambda _: None)
    before = deployed(order, target="kubernetes", revision=first.revision, previous_revision="shapes-older")
    commands = RecordedCommands(**{r"loopline\.dev/revision": first.revision})
    again = open_target("kubernetes").deploy(replace(order, before=before), "here", tools(commands), lambda _: None)
    assert (again.revision, again.previous_revision) == (first.revision, "shapes-older")


def test_kubernetes_tells_how_it_does(order: Order) -> None:
    """Pods, logs, back, gone."""
    item = {
        "metadata": {"name": "shapes"},
        "spec": {"replicas": 2, "template": {"metadata": {"annotations": {"loopline.dev/bundle": "a" * 64}}}},
        "status": {"readyReplicas": 1},
    }
    commands = RecordedCommands(**{"get deployments": json.dumps({"items": [item]}), "logs": "one\ntwo"})
    target, found = open_target("kubernetes"), deployed(order, target="kubernetes", previous_revision="2")
    edge = tools(commands)
    assert target.status(found, edge) == {"state": "serving", "shapes": f"1 of 2 pods ready, bundle {'a' * 12}"}
    assert list(target.logs(found, edge)) == ["one", "two"]
    assert target.rollback(found, edge).revision == "2"
    assert "kubectl --namespace=default rollout undo deployment/shapes" in commands.lines
    target.rollback(found.model_copy(update={"share_percent": 10}), edge)
    assert commands.lines[-1].endswith("delete deployment/shapes-challenger --ignore-not-found")
    target.destroy(found, edge)
    assert "podmonitor --selector=app.kubernetes.io/name=shapes" in commands.lines[-1]
    with pytest.raises(StateError, match="nothing served"):
        target.rollback(found.model_copy(update={"previous_revision": None}), edge)


def test_one_host_goes_back_to_the_image_of_before(order: Order, tmp_path: Path) -> None:
    """Compose starts, the proof fails, the image of before is started by a file that lies over compose.yaml."""
    target, commands = open_target("compose"), RecordedCommands()
    outcome = target.deploy(order, str(tmp_path), tools(commands), lambda _: None)
    assert outcome.url == "http://127.0.0.1:8080"
    before = deployed(order, target="compose", image="shapes:before")
    with pytest.raises(SkewError):
        target.deploy(replace(order, before=before), str(tmp_path), tools(commands), disprove)
    assert "shapes:before" in (tmp_path / "rollback.yaml").read_text()
    assert commands.lines[-1].endswith("rollback.yaml up --detach --wait server")
    with pytest.raises(StateError, match="one host has one server"):
        target.deploy(replace(order, share_percent=10), str(tmp_path), tools(commands), lambda _: None)


def test_one_host_tells_how_it_does(order: Order, tmp_path: Path) -> None:
    """Services, logs, back, gone; volumes stay."""
    lines = [{"Service": "server", "State": "running", "Health": "healthy"}, {"Service": "mlflow", "State": "exited"}]
    listed = json.dumps([{"Name": "shapes", "ConfigFiles": f"{tmp_path}/compose.yaml"}])
    commands = RecordedCommands(**{" ps ": "\n".join(map(json.dumps, lines)), " ls ": listed, " logs ": "one"})
    target, edge = open_target("compose"), tools(commands)
    found = deployed(order, target="compose", previous_revision="shapes:before")
    assert target.status(found, edge) == {"state": "serving", "server": "running healthy", "mlflow": "exited"}
    assert list(target.logs(found, edge)) == ["one"]
    assert target.rollback(found, edge).revision == "shapes:before"
    target.destroy(found, edge)
    assert commands.lines[-1] == "docker compose --project-name=shapes down --remove-orphans"


def test_commands_that_fail_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real process at the edge: its last words, and a program that is not there."""
    with pytest.raises(StateError, match="'sh' ended with 3: no such cluster"):
        run_command(["sh", "-c", "echo no such cluster >&2; exit 3"])
    with pytest.raises(StateError, match="'no-such-program' is not installed"):
        run_command(["no-such-program"])
    assert run_command(["echo", "x"]) == "x\n"
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\necho 'Forwarding from 127.0.0.1:43117 -> 8080'\nexec sleep 60\n")
    kubectl.chmod(kubectl.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with forward_port("deployment/shapes", "default", 8080) as address:
        assert address == "http://127.0.0.1:43117"
    kubectl.write_text("#!/bin/sh\necho 'error: no pod is running'\nexit 1\n")
    with pytest.raises(StateError, match="no pod is running"), forward_port("deployment/shapes", "default", 8080):
        pass
