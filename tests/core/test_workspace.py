"""Where things live."""

from __future__ import annotations

from pathlib import Path

import pytest

from loopline.core.workspace import Workspace


def test_the_environment_names_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LOOPLINE_HOME names the default workspace; unset or empty, it is `workspace` in the current folder."""
    monkeypatch.setenv("LOOPLINE_HOME", str(tmp_path))
    assert Workspace.default() == Workspace(tmp_path)
    monkeypatch.setenv("LOOPLINE_HOME", "")
    assert Workspace.default() == Workspace(Path("workspace"))
    monkeypatch.delenv("LOOPLINE_HOME")
    assert Workspace.default() == Workspace(Path("workspace"))


def test_every_room_lies_in_the_folder_and_none_is_made(tmp_path: Path) -> None:
    """A workspace is a set of paths: asking for them creates nothing."""
    workspace = Workspace(tmp_path / "home")
    rooms = [
        workspace.data,
        workspace.runs,
        workspace.bundles,
        workspace.reports,
        workspace.cache,
        workspace.tracking_db,
        workspace.artifacts,
        workspace.prediction_log,
    ]
    assert {room.parent for room in rooms} == {workspace.root}
    assert len(set(rooms)) == len(rooms)
    assert not workspace.root.exists()


def test_the_tracking_address_holds_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracking address of a relative workspace is absolute."""
    monkeypatch.chdir(tmp_path)
    assert Workspace(Path("home")).tracking_uri == f"sqlite:///{(tmp_path / 'home' / 'mlflow.db').as_posix()}"
