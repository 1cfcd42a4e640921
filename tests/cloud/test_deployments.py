"""The whole of a deployment: files, image, roll-out, proof, memory; by the command line, too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.deployment.cloud_run_service import CloudRunService
from tests.deployment.conftest import RecordedCommands
from tests.recorded_google import google

from loopline import cloud
from loopline.cli.entry import cli
from loopline.cloud import rollouts
from loopline.core.errors import ConfigError, GateRefused, SkewError, UnknownName
from loopline.core.records import CloudSettings, Deployment
from loopline.core.workspace import Workspace
from loopline.deployment import Smoke, Tools

IMAGE = "europe-west1-docker.pkg.dev/potato-lab/loopline/tiny:1"


@pytest.fixture
def service() -> CloudRunService:
    """Cloud Run's side; its service is called as the bundle is."""
    return CloudRunService()


@pytest.fixture
def tools(service: CloudRunService) -> Tools:
    """Tools whose Google is that service."""
    answers = {key.replace("shapes", "tiny"): value for key, value in service.answers().items()}
    client, _ = google(answers)
    return Tools(google=lambda: client, run=RecordedCommands(), say=lambda _: None, sleep=lambda _: None)


@pytest.fixture
def proofs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that were proved; a live proof is tested in tests/deployment/test_smoke.py."""
    seen: list[str] = []

    def prove(ask: Any, folder: Path) -> Smoke:
        seen.append(folder.name)
        return Smoke(ask.bundle, 16, 0.0)

    monkeypatch.setattr(rollouts, "http_ask", _Ask)
    monkeypatch.setattr(rollouts, "smoke", prove)
    return seen


class _Ask:
    """In the place of `http_ask`: asks nobody."""

    def __init__(self, url: str, bundle: Any, *, token: str | None, api_key: str | None) -> None:
        assert url.startswith("https://")
        assert token is None
        self.bundle = bundle


def deploy(workspace: Workspace, settings: CloudSettings, tools: Tools) -> Deployment:
    """One deployment of the workspace's bundle, as an image that is there."""
    return cloud.deploy(cloud.Release("cloudrun", "latest", settings, image=IMAGE), workspace=workspace, tools=tools)


def test_a_deployment_is_remembered(
    bundle: Path, workspace: Workspace, settings: CloudSettings, tools: Tools, proofs: list[str]
) -> None:
    """Record, history, files; the same again is the same revision; back and gone are remembered, too."""
    first = deploy(workspace, settings, tools)
    assert (first.status, first.url, first.previous_revision) == ("serving", "https://shapes.run.app", None)
    assert proofs == [bundle.name]
    assert (workspace.deployments / "tiny/cloudrun/service.yaml").is_file()
    assert deploy(workspace, settings, tools).revision == first.revision
    larger = settings.model_copy(update={"service": settings.service.model_copy(update={"memory_mib": 2048})})
    second = deploy(workspace, larger, tools)
    assert second.previous_revision == first.revision
    assert cloud.deployment_status("tiny", workspace=workspace, tools=tools)["state"] == "ready"
    back = cloud.rollback("tiny", workspace=workspace, tools=tools)
    # What serves again is known with all that it was deployed with.
    assert (back.revision, back.settings.service.memory_mib) == (first.revision, 1024)
    assert [item.revision for item in cloud.list_deployments(workspace=workspace)] == [first.revision]
    assert cloud.destroy("tiny", workspace=workspace, tools=tools).status == "destroyed"
    lines = (workspace.deployments / "tiny/history.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["serving"] * 4 + ["destroyed"]


def test_a_first_deployment_that_fails_is_remembered_as_failed(
    bundle: Path, workspace: Workspace, settings: CloudSettings, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one then has nothing to go back to."""

    def disprove(*_: Any) -> Smoke:
        raise SkewError("another model answers there.")

    monkeypatch.setattr(rollouts, "smoke", disprove)
    with pytest.raises(SkewError):
        deploy(workspace, settings, tools)
    assert cloud.find_deployment("tiny", workspace=workspace).status == "failed"


def test_more_than_the_budget_is_refused_before_anything_is_sent(
    bundle: Path, workspace: Workspace, settings: CloudSettings, tools: Tools, service: CloudRunService
) -> None:
    """A waiting instance costs by the day."""
    always = settings.service.model_copy(update={"min_instances": 2})
    dear = settings.model_copy(update={"service": always, "budget_usd": 1.0})
    with pytest.raises(GateRefused, match=r"30 days of cloudrun in which nobody asks cost 25\.92 USD; the budget is 1"):
        deploy(workspace, dear, tools)
    assert service.writes == []


def test_an_unknown_deployment_lists_the_known(workspace: Workspace) -> None:
    """As every table does."""
    with pytest.raises(UnknownName, match="deployment 'shapes' does not exist"):
        cloud.find_deployment("shapes", workspace=workspace)


def test_settings_are_those_of_the_project_and_of_the_command(tmp_path: Path) -> None:
    """pyproject.toml first, changes over it; what is wrong is named by its place."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.loopline.cloud]\nproject = "p"\n[tool.loopline.cloud.service]\nmemory_mib = 512\n'
    )
    found = cloud.read_settings(tmp_path, ["service.memory_mib=2048", "job.spot=true", "region=us-central1"])
    assert (found.project, found.service.memory_mib, found.job.spot, found.region) == ("p", 2048, True, "us-central1")
    with pytest.raises(ConfigError, match=r"unknown key 'tool\.loopline\.cloud\.service\.memory_mb'.*memory_mib"):
        cloud.read_settings(tmp_path, ["service.memory_mb=2048"])
    with pytest.raises(ConfigError, match="expected KEY=VALUE"):
        cloud.read_settings(tmp_path, ["spot"])
    (tmp_path / "pyproject.toml").write_text("[tool")
    with pytest.raises(ConfigError, match="is no TOML"):
        cloud.read_settings(tmp_path)


def test_who_deploys_does_not_wait_for_torch() -> None:
    """A fresh interpreter: what trains and searches is not loaded to look, deploy, pay or store."""
    code = "import sys, loopline.cloud; print([name for name in ('torch', 'hydra', 'mlflow') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def run(workspace: Workspace, *words: str) -> tuple[int, str]:
    """A command's exit code and what it prints."""
    done = CliRunner().invoke(cli, ["--home", str(workspace.root), *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


@pytest.mark.parametrize("target", ["cloudrun", "vertex-endpoint", "kubernetes", "compose"])
def test_a_dry_run_writes_everything_and_sends_nothing(
    target: str, bundle: Path, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without credentials, engine, cluster: files and steps."""
    monkeypatch.chdir(tmp_path)
    code, text = run(workspace, "deploy", target, "latest", "--dry-run", "--set", "project=potato-lab")
    assert code == 0
    assert "reproduce the bundle's reference inputs" in text
    files = [path for path in (workspace.deployments / "tiny" / target).rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert path.relative_to(workspace.deployments / "tiny" / target).as_posix() in text
    code, text = run(workspace, "deploy", target, "latest", "--dry-run", "--set", "project=potato-lab", "--json")
    assert json.loads(text)["target"] == target


def test_nothing_deployed_and_no_jobs(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to do first."""
    monkeypatch.chdir(tmp_path)
    assert "nothing is deployed from here" in run(workspace, "deploy", "status")[1]
    assert "no training was started elsewhere" in run(workspace, "job", "list")[1]


def test_a_preflight_without_credentials_exits_with_three(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No project named: the settings fail, nobody is asked."""
    monkeypatch.chdir(tmp_path)
    code, text = run(workspace, "preflight", "cloudrun")
    assert code == 3
    assert "✗ settings: no project named" in text
    assert "would stop it." in text
