"""Closed tables: names to import strings."""

from __future__ import annotations

import sys

import pytest

from loopline.core.errors import MissingExtra, UnknownName
from loopline.core.tables import load, resolve
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
