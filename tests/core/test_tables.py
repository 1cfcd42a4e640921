"""Closed tables: names to import strings."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from loopline.core.errors import ConfigError, MissingExtra, UnknownName
from loopline.core.tables import extend, load, resolve
from loopline.core.workspace import Workspace

TABLE = {"workspace": "loopline.core.workspace:Workspace", "other": "loopline.core.store:lock"}


def test_a_known_name_is_imported() -> None:
    """A name gives the object its import string points to."""
    assert resolve(TABLE, "workspace", kind="room") is Workspace


def test_an_unknown_name_lists_the_table() -> None:
    """A name that is not in the table is refused with the names that are."""
    with pytest.raises(UnknownName, match=r"room 'workspce' does not exist; known: other, workspace\. Did you mean"):
        resolve(TABLE, "workspce", kind="room")


def test_a_missing_extra_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an optional package is absent the error carries its install line."""
    # None in sys.modules is how Python itself marks a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtra) as caught:
        load("wandb:init")
    assert caught.value.next_command == "pip install 'loopline[wandb]'"


def test_a_defect_keeps_its_own_error() -> None:
    """A module of ours that is not there is a defect, not a missing extra."""
    with pytest.raises(ModuleNotFoundError, match=r"loopline\.nothing"):
        load("loopline.nothing:here")


def test_a_projects_own_name_is_known_to_its_kind_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was added is imported from the current folder when it is used, and listed where another name is wrong."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_rooms.py").write_text("class Cellar: ...\n")
    monkeypatch.setenv("LOOPLINE_EXTEND", "network.cellar=my_rooms:Cellar")
    extend("source.cellar=my_rooms:Cellar", "network.cellar=my_rooms:Cellar")
    assert os.environ["LOOPLINE_EXTEND"] == "network.cellar=my_rooms:Cellar source.cellar=my_rooms:Cellar"
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert resolve(TABLE, "cellar", kind="network").__name__ == "Cellar"
    with pytest.raises(UnknownName, match="network 'celar' does not exist; known: cellar, other, workspace"):
        resolve(TABLE, "celar", kind="network")
    with pytest.raises(UnknownName):
        resolve(TABLE, "cellar", kind="transform")


def test_ours_cannot_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that the table has means what the table says."""
    monkeypatch.setenv("LOOPLINE_EXTEND", "network.workspace=os:getcwd")
    assert resolve(TABLE, "workspace", kind="network") is Workspace


@pytest.mark.parametrize(
    ("extension", "error", "sentence"),
    [
        ("network.mlp", ConfigError, "extension 'network.mlp' given; expected KIND.NAME=module:Attribute"),
        ("network.mlp=a b", ConfigError, "expected KIND.NAME=module:Attribute"),
        ("netwrk.mlp=a:B", UnknownName, "kind of extension 'netwrk' does not exist"),
    ],
)
def test_a_wrong_extension_is_said(
    monkeypatch: pytest.MonkeyPatch, extension: str, error: type[Exception], sentence: str
) -> None:
    """Another spelling and an unknown kind are errors before anything is imported, and change nothing."""
    monkeypatch.setenv("LOOPLINE_EXTEND", "")
    with pytest.raises(error, match=re.escape(sentence)):
        extend(extension)
    assert os.environ["LOOPLINE_EXTEND"] == ""


@pytest.mark.parametrize("target", ["no_such_module_of_mine:Thing", "json:Thing"])
def test_an_extension_that_cannot_be_imported_is_said(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    """A module or a name in it that is not there ends with the place that was searched."""
    monkeypatch.setenv("LOOPLINE_EXTEND", f"network.mine={target}")
    with pytest.raises(ConfigError, match=r"extension network\.mine=.* cannot be imported"):
        resolve(TABLE, "mine", kind="network")
