"""Closed tables: a short name to an import string, resolved on use.

A table is an ordinary dictionary such as `{"folder": "loopline.data.sources.folder:read_folder"}`. Nothing registers
itself; reading the dictionary is reading the whole truth.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from loopline.core.errors import UnknownName, missing_extra


def load(target: str) -> Any:
    """Imports `package.module:attribute` and returns the attribute; raises `MissingExtra` where an extra is absent."""
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        extra = missing_extra(error)
        if extra is None:
            raise
        raise extra from error
    return getattr(module, attribute)


def resolve(table: Mapping[str, str], name: str, *, kind: str) -> Any:
    """The object that `name` stands for in a closed table; raises `UnknownName` with the known names otherwise."""
    if name not in table:
        raise UnknownName(kind, name, table)
    return load(table[name])
