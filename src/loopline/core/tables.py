"""Closed tables: a short name to an import string, resolved on use.

A table is an ordinary dictionary such as `{"folder": "loopline.data.sources.folder:read_folder"}`. Nothing registers
itself; reading the dictionary is reading the whole truth.

A project adds its own alternatives for one process, on the command line or in its environment, never in a stored file:
`--extend network.mlp=my_project.networks:MlpConfig`. They live in the variable `LOOPLINE_EXTEND`, so that every process
that this one starts knows them too.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loopline.core.errors import ConfigError, UnknownName, missing_extra

EXTEND_VARIABLE = "LOOPLINE_EXTEND"
# What a project may bring of its own; each is the `kind` that its table is resolved with.
EXTENDABLE = ("engine", "input", "network", "optimizer", "scheduler", "source", "task", "tracker", "transform")
_EXTENSION = re.compile(r"([a-z]+)\.([A-Za-z0-9_-]+)=([\w.]+:\w+)")


def extend(*assignments: str) -> None:
    """Makes `KIND.NAME=module:Attribute` known to this process and to those that it starts, from now on.

    A module is looked for in the current folder, too. Raises `ConfigError` for another spelling and for a kind that
    cannot be extended; the module is imported when the name is used.
    """
    given = [*os.environ.get(EXTEND_VARIABLE, "").split(), *assignments]
    _parsed(given)
    os.environ[EXTEND_VARIABLE] = " ".join(dict.fromkeys(given))


def extensions(kind: str) -> dict[str, str]:
    """The names of one kind that the project added, with their import strings."""
    return _parsed(os.environ.get(EXTEND_VARIABLE, "").split()).get(kind, {})


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
    """The object that `name` stands for in a closed table, or among the project's own names of that kind.

    Raises `UnknownName` with the known names otherwise, and `ConfigError` where the project's own cannot be imported.
    """
    if name in table:
        return load(table[name])
    own = extensions(kind)
    if name not in own:
        raise UnknownName(kind, name, [*table, *own])
    return _load_own(own[name], f"{kind}.{name}")


def _parsed(assignments: Sequence[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for assignment in assignments:
        match = _EXTENSION.fullmatch(assignment)
        if match is None:
            raise ConfigError(
                f"extension '{assignment}' given; expected KIND.NAME=module:Attribute, as in "
                "network.mlp=my_project.networks:MlpConfig."
            )
        kind, name, target = match.groups()
        if kind not in EXTENDABLE:
            raise UnknownName("kind of extension", kind, EXTENDABLE)
        found.setdefault(kind, {})[name] = target
    return found


def _load_own(target: str, what: str) -> Any:
    """Imports a project's own object; the current folder is searched, as `python -m` does and a script does not."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        return load(target)
    except (ModuleNotFoundError, AttributeError) as error:
        module = target.partition(":")[0]
        if isinstance(error, ModuleNotFoundError) and not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigError(
            f"extension {what}={target} cannot be imported: {error}; expected a module in '{here}' or an installed one."
        ) from error
