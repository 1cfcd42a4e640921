"""References are read without MLflow, and read what MLflow's own client reads."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from loopline.aliases import bundle_folder, list_versions, parse_reference, resolve_version
from loopline.aliases.database import read_tags
from loopline.core.errors import InputError, IntegrityError, StateError, UnknownName
from loopline.core.workspace import Workspace
from loopline.registry import models, promote, register, rollback
from loopline.registry.client import registry_client


def mlflows_answer(workspace: Workspace) -> list[tuple[str, int, str, tuple[str, ...], str]]:
    """Every version as MLflow's client sees it: name, number, source, aliases, digest."""
    with registry_client(workspace) as client:
        found = [client.get_model_version(row.name, row.version) for row in client.search_model_versions()]
    return sorted(
        (row.name, int(row.version), str(row.source), tuple(sorted(row.aliases)), row.tags["loopline.bundle_digest"])
        for row in found
    )


def our_answer(workspace: Workspace) -> list[tuple[str, int, str, tuple[str, ...], str]]:
    """The same, read with SQLite."""
    return [
        (version.name, version.number, version.source.removesuffix("/bundle"), version.aliases, version.bundle_digest)
        for version in list_versions(workspace)
    ]


def test_after_every_action_we_read_what_mlflow_reads(workspace: Workspace, bundles: list[Path]) -> None:
    """Registration, promotion, rollback, and what is done in MLflow's page: both answers are equal each time."""

    def in_mlflow(action: Callable[..., object], *arguments: str) -> None:
        with registry_client(workspace) as client:
            action(client, *arguments)

    assert our_answer(workspace) == mlflows_answer(workspace) == []
    actions: list[Callable[[], object]] = [
        lambda: register(bundles[0], name="digits", workspace=workspace),
        lambda: register(bundles[1], name="digits", workspace=workspace),
        lambda: register(bundles[0], name="a-model.of_another-name", workspace=workspace),
        lambda: promote("digits@1", workspace=workspace),
        lambda: promote("digits@2", workspace=workspace, force_reason="test"),
        lambda: promote("digits@2", "staging", workspace=workspace),
        lambda: rollback("digits", workspace=workspace),
        lambda: in_mlflow(lambda client: client.delete_registered_model_alias("digits", "staging")),
        lambda: in_mlflow(lambda client: client.rename_registered_model("digits", "figures")),
        lambda: in_mlflow(lambda client: client.delete_model_version("figures", "2")),
        lambda: in_mlflow(lambda client: client.delete_registered_model("figures")),
    ]
    for action in actions:
        before = our_answer(workspace)
        action()
        assert our_answer(workspace) == mlflows_answer(workspace) != before


def test_a_reference_by_alias_number_or_name_alone(workspace: Workspace, bundles: list[Path]) -> None:
    """`name` alone means its champion; all three find the version that MLflow's client finds."""
    register(bundles[0], name="digits", workspace=workspace)
    register(bundles[1], name="digits", workspace=workspace)
    promote("digits@2", workspace=workspace)
    found = resolve_version("digits@champion", workspace)
    assert found == resolve_version("digits@2", workspace) == resolve_version("digits", workspace)
    with registry_client(workspace) as client:
        assert int(client.get_model_version_by_alias("digits", "champion").version) == found.number == 2
    assert bundle_folder(found, workspace) == Path(found.source)


def test_a_mistyped_alias_lists_the_known_ones(workspace: Workspace, bundles: list[Path]) -> None:
    """Given, expected, next command; the same for a number and for a model."""
    register(bundles[0], name="fashion", workspace=workspace)
    for alias in ("champion", "challenger"):
        promote("fashion@1", alias, workspace=workspace)
    with pytest.raises(UnknownName) as caught:
        resolve_version("fashion@champoin", workspace)
    assert str(caught.value) == (
        "alias 'champoin' of model 'fashion' does not exist; it has: challenger, champion. Did you mean 'champion'? "
        "Next: loopline models fashion"
    )
    with pytest.raises(UnknownName, match="version '7' of model 'fashion' does not exist; it has: 1"):
        resolve_version("fashion@7", workspace)
    with pytest.raises(UnknownName, match="model 'fashoin' does not exist; known: fashion") as caught:
        resolve_version("fashoin", workspace)
    assert caught.value.next_command == "loopline register BUNDLE --name fashoin"
    with pytest.raises(UnknownName, match="model 'fashoin' does not exist; known: fashion"):
        models("fashoin", workspace=workspace)


def test_where_nothing_was_registered_there_is_no_model(tmp_path: Path) -> None:
    """Asking creates nothing."""
    workspace = Workspace(tmp_path / "nowhere")
    assert list_versions(workspace) == []
    assert read_tags(str(workspace.tracking_db), "digits") == {}
    with pytest.raises(UnknownName, match="model 'digits' does not exist; there is none yet"):
        resolve_version("digits@1", workspace)
    assert not workspace.root.exists()


@pytest.mark.parametrize("reference", ["", "@", "digits@", "@champion", "a@b@c", "it's@1", "a b"])
def test_other_text_is_no_reference(reference: str) -> None:
    """It is refused before anything is read."""
    with pytest.raises(InputError, match="given; expected"):
        parse_reference(reference)


def test_what_others_registered_is_left_out(workspace: Workspace, bundles: list[Path]) -> None:
    """A version without our tags holds no bundle, whatever MLflow calls it."""
    register(bundles[0], name="digits", workspace=workspace)
    with registry_client(workspace) as client:
        client.create_model_version("digits", "somewhere/else")
        client.create_registered_model("other")
        client.create_model_version("other", "somewhere/else")
    assert [version.reference for version in list_versions(workspace)] == ["digits@1"]


def test_a_moved_workspace_still_finds_its_bundles(workspace: Workspace, bundles: list[Path], tmp_path: Path) -> None:
    """MLflow keeps absolute paths; where the folder is gone, the same place in this workspace is looked at."""
    version = register(bundles[0], name="digits", workspace=workspace)
    moved = Workspace(tmp_path / "moved")
    workspace.root.rename(moved.root)
    assert bundle_folder(resolve_version("digits@1", moved), moved) == (
        moved.artifacts / "models" / "digits" / version.bundle_digest[:12] / "bundle"
    )
    shutil.rmtree(moved.artifacts)
    with pytest.raises(IntegrityError, match="the bundle of digits@1 is gone from"):
        bundle_folder(version, moved)


def test_mlflows_variable_names_another_registry(
    workspace: Workspace, bundles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for MLflow itself: with MLFLOW_TRACKING_URI set, that registry is written and read."""
    elsewhere = Workspace(tmp_path / "elsewhere")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", workspace.tracking_uri)
    register(bundles[0], name="digits", workspace=elsewhere)
    assert resolve_version("digits@1", elsewhere).number == 1
    assert not elsewhere.tracking_db.exists()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert [version.reference for version in list_versions(workspace)] == ["digits@1"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks")
    with pytest.raises(InputError, match="the registry is 'databricks:…'; Loopline reads sqlite:///FILE, http://"):
        list_versions(workspace)


def test_a_writer_that_was_killed_does_not_stop_readers(workspace: Workspace, bundles: list[Path]) -> None:
    """A process that dies in the middle of a write leaves a journal; the next reader sees the state before it."""
    register(bundles[0], name="digits", workspace=workspace)
    program = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA cache_size = 1")
connection.execute("CREATE TABLE big AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)"
                   " SELECT i FROM n")
connection.execute("BEGIN")
connection.execute("UPDATE big SET i = i + 1")
connection.execute("UPDATE model_versions SET name = 'broken'")
os._exit(9)
"""
    done = subprocess.run([sys.executable, "-c", program, str(workspace.tracking_db)], check=False)
    assert done.returncode == 9
    assert Path(f"{workspace.tracking_db}-journal").stat().st_size > 0
    assert [version.reference for version in list_versions(workspace)] == ["digits@1"]


def test_reading_writes_nothing(workspace: Workspace, bundles: list[Path]) -> None:
    """A registry in a folder that cannot be written is read all the same."""
    register(bundles[0], name="digits", workspace=workspace)
    before = workspace.tracking_db.read_bytes()
    workspace.tracking_db.chmod(0o444)
    workspace.root.chmod(0o555)
    try:
        assert resolve_version("digits@1", workspace).number == 1
    finally:
        workspace.root.chmod(0o755)
    assert workspace.tracking_db.read_bytes() == before
    assert not Path(f"{workspace.tracking_db}-journal").exists()


def test_a_locked_database_is_no_broken_one(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that holds the file for longer than readers wait gives a sentence of its own."""
    from loopline.aliases import database

    monkeypatch.setattr(database, "PATIENCE_S", 0.1)
    with closing(sqlite3.connect(workspace.tracking_db, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StateError, match="is in use by another process"):
            list_versions(workspace)


def test_another_file_is_no_registry(workspace: Workspace) -> None:
    """Missing tables name the version that was expected; what is no database says so."""
    with closing(sqlite3.connect(workspace.tracking_db)) as connection:
        connection.execute("DROP TABLE registered_model_aliases")
    with pytest.raises(IntegrityError, match=r"no such table: registered_model_aliases.*tables of MLflow 3") as caught:
        list_versions(workspace)
    assert caught.value.next_command == f"mlflow db upgrade sqlite:///{workspace.tracking_db}"
    os.truncate(workspace.tracking_db, 0)
    workspace.tracking_db.write_bytes(b"not a database" * 1000)
    with pytest.raises(IntegrityError, match="cannot be read as a SQLite database: file is not a database"):
        list_versions(workspace)
