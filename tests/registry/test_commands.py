"""`loopline register`, `promote`, `rollback`, `models`: thin, and each says what to type next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from loopline.cli.entry import cli
from loopline.core.errors import UnknownName
from loopline.core.records import ModelVersion
from loopline.core.workspace import Workspace
from loopline.registry.client import user_name


def loopline(*arguments: str | Path) -> str:
    """The output of a command that succeeds."""
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_loop_of_a_model_by_hand(workspace: Workspace, bundles: list[Path]) -> None:
    """From the first version to a rollback, with what every command prints."""
    assert loopline("models") == "no model is registered yet.\nnext: loopline register BUNDLE --name NAME\n"
    first = loopline("register", bundles[0], "--name", "digits")
    assert first.splitlines()[0].startswith("digits@1 holds bundle ")
    assert first.splitlines()[1] == "next: loopline promote digits@1 champion"
    assert loopline("promote", "digits@1").splitlines() == [
        "digits@champion is version 1: the first champion.",
        "next: loopline serve digits@champion",
    ]
    loopline("register", bundles[1], "--name", "digits")
    forced = loopline("promote", "digits@2", "champion", "--force", "a better day")
    assert "digits@champion is version 2: forced: a better day." in forced
    assert f"{workspace.tracking_uri}: 2 versions of 1 models" in loopline("doctor")
    assert loopline("rollback", "digits") == "digits@champion is version 1 again.\n"


def test_the_models_of_a_name_come_with_the_history_of_their_aliases(workspace: Workspace, bundles: list[Path]) -> None:
    """The table says which version has which alias; below it, every move with its reason, the last first."""
    for number, folder in enumerate(bundles[:2], 1):
        loopline("register", folder, "--name", "digits")
        loopline("promote", f"digits@{number}", "--force", f"reason {number}")
    everything, one = loopline("models"), loopline("models", "digits")
    assert "digits@1" in everything
    assert "moved" not in everything
    rows = [[cell.strip() for cell in line.split("│")] for line in one.splitlines() if "│" in line]
    assert [tuple(row[:2]) for row in rows[:2]] == [("digits@1", ""), ("digits@2", "champion")]
    assert [(row[0], row[1], row[3], row[4]) for row in rows[2:]] == [
        ("champion", "1 → 2", user_name(), "forced: reason 2"),
        ("champion", "– → 1", user_name(), "forced: reason 1"),
    ]
    records = [ModelVersion.model_validate(item) for item in json.loads(loopline("models", "digits", "--json"))]
    assert [record.aliases for record in records] == [(), ("champion",)]


def test_a_model_that_does_not_exist_is_refused(workspace: Workspace, bundles: list[Path]) -> None:
    """With the known ones."""
    loopline("register", bundles[0], "--name", "digits")
    with pytest.raises(UnknownName, match=r"model 'digit' does not exist; known: digits\."):
        loopline("models", "digit")
