"""Aliases move through a gate, leave a history and find the way back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loopline.aliases import resolve_version
from loopline.core.errors import GateRefused, InputError, IntegrityError, StateError, UnknownName
from loopline.core.records import PairedComparison
from loopline.core.workspace import Workspace
from loopline.registry import history, models, promote, register, rollback
from loopline.registry.client import registry_client


@pytest.fixture
def registered(workspace: Workspace, bundles: list[Path]) -> Workspace:
    """A registry with four versions of `digits` and no alias."""
    for folder in bundles:
        register(folder, name="digits", workspace=workspace)
    return workspace


def moves(workspace: Workspace, alias: str = "champion") -> list[tuple[str, int | None, int]]:
    return [(move.kind, move.from_number, move.to_number) for move in history("digits", workspace=workspace)[alias]]


def champion(workspace: Workspace) -> int:
    return resolve_version("digits@champion", workspace).number


def test_the_first_promotion_passes(registered: Workspace) -> None:
    """Where nobody holds the alias there is nothing to be worse than."""
    version = promote("digits@2", workspace=registered)
    assert (version.number, version.aliases, version.reason) == (2, ("champion",), "the first champion")
    assert moves(registered) == [("promote", None, 2)]


def test_a_challenger_passes_with_a_verdict_that_it_is_not_worse(
    registered: Workspace, better: PairedComparison
) -> None:
    """The alias moves, the figures are kept as the reason, and the version before loses the alias."""
    promote("digits@1", workspace=registered)
    version = promote("digits@2", workspace=registered, verdict=better, champion_number=1)
    assert version.aliases == ("champion",)
    assert version.reason == f"not worse than version 1: {better.sentence}"
    assert models("digits", workspace=registered)[0].aliases == ()


@pytest.mark.parametrize("compared", [True, False])
def test_the_gate_refuses_with_the_figures_and_the_next_command(
    registered: Workspace, worse: PairedComparison, compared: bool
) -> None:
    """A worse challenger, or one that was not compared, changes nothing."""
    promote("digits@1", workspace=registered)
    with pytest.raises(GateRefused) as caught:
        promote("digits@2", workspace=registered, verdict=worse if compared else None)
    figures = worse.sentence if compared else "they were not compared."
    assert caught.value.message == f"digits@2 cannot replace version 1 as champion: {figures}"
    assert caught.value.next_command is not None
    assert caught.value.next_command.startswith("loopline promote digits@2 champion --force ")
    assert champion(registered) == 1
    assert moves(registered) == [("promote", None, 1)]


def test_force_passes_the_gate_and_its_reason_is_kept(registered: Workspace, worse: PairedComparison) -> None:
    """Who, when and why stay with the version and in the history, in MLflow's page too."""
    promote("digits@1", workspace=registered)
    version = promote("digits@2", workspace=registered, verdict=worse, force_reason=" the old one leaks labels ")
    assert version.reason == "forced: the old one leaks labels"
    move = history("digits", workspace=registered)["champion"][-1]
    assert (move.reason, move.from_number, move.to_number) == (version.reason, 1, 2)
    assert move.who == version.created_by != ""
    with registry_client(registered) as client:
        assert client.get_model_version("digits", "2").tags["loopline.reason"] == version.reason
        assert "leaks labels" in client.get_registered_model("digits").tags["loopline.history/champion/0002"]


def test_an_empty_reason_is_none(registered: Workspace) -> None:
    """`--force ''` is refused."""
    with pytest.raises(InputError, match="an empty reason was given"):
        promote("digits@1", workspace=registered, force_reason="  ")


def test_a_verdict_against_another_version_is_not_used(registered: Workspace, better: PairedComparison) -> None:
    """Where somebody promoted while the two were compared, the comparison says nothing about the new champion."""
    promote("digits@1", workspace=registered)
    promote("digits@3", workspace=registered, force_reason="meanwhile")
    with pytest.raises(StateError, match="moved to version 3 since digits@2 was compared with version 1"):
        promote("digits@2", workspace=registered, verdict=better, champion_number=1)
    assert champion(registered) == 3


def test_promoting_the_holder_changes_nothing(registered: Workspace) -> None:
    """It needs no gate and leaves no trace."""
    promote("digits@1", workspace=registered)
    assert promote("digits@champion", workspace=registered).number == 1
    assert moves(registered) == [("promote", None, 1)]


def test_aliases_are_independent(registered: Workspace) -> None:
    """A version can hold several, and each has its own history."""
    promote("digits@1", workspace=registered)
    version = promote("digits@1", "staging", workspace=registered)
    assert version.aliases == ("champion", "staging")
    assert list(history("digits", workspace=registered)) == ["champion", "staging"]


@pytest.mark.parametrize("alias", ["3", "v3", "latest", "Latest", "a b", "a/b", ""])
def test_an_alias_that_could_be_a_number_is_refused(registered: Workspace, alias: str) -> None:
    """MLflow keeps `latest` and `v3` for itself, and a number names a version."""
    with pytest.raises(InputError, match=f"alias '{alias}' given; expected"):
        promote("digits@1", alias, workspace=registered)


def test_rollback_walks_back_one_promotion_at_a_time(registered: Workspace) -> None:
    """1 → 2 → 3, then back to 2, to 1, and no further; a promotion after that starts anew from there."""
    for number in (1, 2, 3):
        promote(f"digits@{number}", workspace=registered, force_reason="test")
    assert rollback("digits", workspace=registered).number == 2
    assert rollback("digits", workspace=registered).number == 1
    with pytest.raises(StateError, match="'champion' of model 'digits' is at version 1 and has no version before it"):
        rollback("digits", workspace=registered)
    promote("digits@4", workspace=registered, force_reason="test")
    assert rollback("digits", workspace=registered).number == 1
    assert moves(registered)[3:] == [("rollback", 3, 2), ("rollback", 2, 1), ("promote", 1, 4), ("rollback", 4, 1)]


def test_rollback_passes_over_a_version_that_was_deleted(registered: Workspace) -> None:
    """In an emergency the last good one that still exists is what is wanted."""
    for number in (1, 2, 3):
        promote(f"digits@{number}", workspace=registered, force_reason="test")
    with registry_client(registered) as client:
        client.delete_model_version("digits", "2")
    assert rollback("digits", workspace=registered).number == 1
    with pytest.raises(StateError, match="no version before it"):
        rollback("digits", workspace=registered)


def test_rollback_of_what_does_not_exist_lists_what_does(registered: Workspace) -> None:
    """A mistyped model or alias is named with the known ones."""
    with pytest.raises(UnknownName, match=r"model 'digit' does not exist; known: digits\. Did you mean 'digits'\?"):
        rollback("digit", workspace=registered)
    with pytest.raises(UnknownName, match="alias 'champion' of model 'digits' does not exist; there is none yet"):
        rollback("digits", workspace=registered)


def test_a_move_in_mlflows_page_is_noticed(registered: Workspace) -> None:
    """The next command keeps it in the history, and rollback goes to where the alias was before that move."""
    promote("digits@1", workspace=registered)
    promote("digits@2", workspace=registered, force_reason="test")
    with registry_client(registered) as client:
        client.set_registered_model_alias("digits", "champion", "4")
    promote("digits@3", workspace=registered, force_reason="test")
    assert moves(registered)[1:] == [("promote", 1, 2), ("promote", 2, 4), ("promote", 4, 3)]
    stranger = history("digits", workspace=registered)["champion"][2]
    assert (stranger.who, stranger.reason.split(":")[0]) == ("unknown", "found here")
    assert [rollback("digits", workspace=registered).number for _ in range(3)] == [4, 2, 1]


def test_rollback_after_a_move_in_mlflows_page_undoes_that_move(registered: Workspace) -> None:
    """What the alias was before is known, whoever moved it."""
    promote("digits@1", workspace=registered)
    with registry_client(registered) as client:
        client.set_registered_model_alias("digits", "champion", "4")
    assert rollback("digits", workspace=registered).number == 1


def test_an_alias_that_only_mlflow_ever_set_has_nothing_before_it(registered: Workspace) -> None:
    """It is noted, and there is nothing to go back to."""
    with registry_client(registered) as client:
        client.set_registered_model_alias("digits", "champion", "4")
    with pytest.raises(StateError, match="at version 4 and has no version before it"):
        rollback("digits", workspace=registered)
    assert moves(registered) == [("promote", None, 4)]


def test_a_promotion_that_was_cut_short_did_not_happen(registered: Workspace) -> None:
    """The history is written first: a kill before the alias moved leaves the old champion, and rollback still works."""
    for number in (1, 2, 3):
        promote(f"digits@{number}", workspace=registered, force_reason="test")
    with registry_client(registered) as client:
        client.set_registered_model_alias("digits", "champion", "2")
    assert rollback("digits", workspace=registered).number == 1
    assert moves(registered)[3:] == [("rollback", 3, 2), ("rollback", 2, 1)]


def test_a_history_that_was_changed_is_refused(registered: Workspace) -> None:
    """A tag that is no move is named."""
    with registry_client(registered) as client:
        client.set_registered_model_tag("digits", "loopline.history/champion/0001", "{}")
    with pytest.raises(IntegrityError, match=r"'loopline\.history/champion/0001' of model 'digits' is no move"):
        history("digits", workspace=registered)


def test_only_one_process_changes_the_registry(registered: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second waits; here the first never ends, and the second says who is in the way."""
    from loopline.registry import client

    program = (
        "import sys, time; from pathlib import Path; from loopline.core.store import lock\n"
        "with lock(Path(sys.argv[1]), holder='x'): print('held', flush=True); time.sleep(60)"
    )
    path = registered.root / ".registry.lock"
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        monkeypatch.setattr(client, "PATIENCE_S", 0.2)
        with pytest.raises(StateError, match="the registry is in use by another process"):
            promote("digits@1", workspace=registered)
        other.kill()
    assert promote("digits@1", workspace=registered).number == 1


def test_what_mlflow_refuses_is_one_sentence(registered: Workspace) -> None:
    """An error of MLflow inside the client is a `StateError` with its first line."""
    expected = "MLflow's registry refused: Registered Model with name=nobody not found"
    with pytest.raises(StateError, match=expected), registry_client(registered) as client:
        client.get_registered_model("nobody")


def test_a_database_of_another_mlflow_names_what_mends_it(registered: Workspace) -> None:
    """A schema that MLflow does not know is refused with MLflow's own command."""
    import sqlite3

    other = Workspace(registered.root.parent / "other")
    other.root.mkdir()
    with sqlite3.connect(registered.tracking_db) as source, sqlite3.connect(other.tracking_db) as target:
        source.backup(target)
        target.execute("UPDATE alembic_version SET version_num = '0a8213491aaa'")
    source.close()
    target.close()
    with pytest.raises(StateError, match="out-of-date database schema") as caught, registry_client(other) as client:
        client.search_registered_models()
    assert caught.value.next_command == f"mlflow db upgrade {other.tracking_uri}"
