"""A model's own server under a contract, by function and by command, and what the command says of it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from loopline import containers
from loopline.cli.entry import cli
from loopline.contract.isolation import isolation_here
from loopline.core.errors import InputError
from loopline.core.workspace import Workspace
from loopline.testing import make_bundle


@pytest.fixture
def model(workspace: Workspace) -> str:
    """The folder of a small bundle; skips where there is no sandbox."""
    if isolation_here() != "bubblewrap":
        pytest.skip("Bubblewrap does not work here")
    return str(make_bundle(workspace.bundles))


def test_the_server_keeps_its_contracts(model: str, workspace: Workspace) -> None:
    """Cloud Run's, and Vertex's with routes and an envelope of its own; the reference input is predicted."""
    run = containers.run_contract("vertex-prediction", model, workspace=workspace)
    assert {check.name: check.passed for check in run.checks} == dict.fromkeys(
        ("start", "user", "predict", "concurrency", "stop", "disk", "memory"), True
    ), run.checks
    assert run.exit_code == 0


def test_the_command_says_what_is_wrong(model: str) -> None:
    """Exit code 3 and what to type where a demand was not met; a record for programs."""
    result = CliRunner().invoke(cli, ["run", "--contract", "cloudrun", model, "--memory", "20"], catch_exceptions=False)
    assert result.exit_code == 3
    assert "limit 20 MiB" in result.output
    assert "set --memory 512Mi" in result.output


def test_the_command_prints_a_record(model: str) -> None:
    result = CliRunner().invoke(cli, ["run", "--contract", "cloudrun", model, "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    record = json.loads(result.output)
    assert record["contract"] == "cloudrun"
    assert record["smallest_fit_mib"] == 512


def test_a_service_needs_a_name(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="contract 'cloudrun' was given nothing to run"):
        containers.run_contract("cloudrun", workspace=workspace)
    with pytest.raises(InputError, match="was given nothing to run"):
        containers.run_contract("vertex-training", is_image=True, workspace=workspace)
