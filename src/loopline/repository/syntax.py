"""What rules learn of Python code: imports, calls with their arguments, functions, classes."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

UNKNOWN = "?"


class Dynamic:
    """The value of an expression that only running the code would tell."""

    def __repr__(self) -> str:
        return "DYNAMIC"


DYNAMIC: Final = Dynamic()


@dataclass(frozen=True)
class Import:
    """An imported name in full: `from torch import nn as n` is `torch.nn`, known here as `n`."""

    name: str
    known_as: str
    line: int
    node: ast.Import | ast.ImportFrom


@dataclass(frozen=True)
class Call:
    """A call: the full name of what is called, its arguments as constants where they are, and where it stands."""

    name: str
    line: int
    node: ast.Call
    # Constants, or `DYNAMIC`; what comes in by `**mapping` is not among them.
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    # The dotted names of the enclosing functions and classes, as `Model.forward`; empty at the top.
    inside: str

    @property
    def method(self) -> str:
        return self.name.rpartition(".")[2]

    def argument(self, keyword: str, position: int | None = None, default: Any = None) -> Any:
        """The argument's constant value, `DYNAMIC` where only running tells, `default` where it is not given."""
        if keyword in self.keywords:
            return self.keywords[keyword]
        return self.arguments[position] if position is not None and position < len(self.arguments) else default


@dataclass(frozen=True)
class Function:
    """A function or method: its name with what encloses it, and the full names of its decorators."""

    name: str
    line: int
    node: ast.FunctionDef | ast.AsyncFunctionDef
    decorators: tuple[str, ...]

    @property
    def is_async(self) -> bool:
        return isinstance(self.node, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Class:
    """A class: its name with what encloses it, and the full names of its bases and decorators."""

    name: str
    line: int
    node: ast.ClassDef
    bases: tuple[str, ...]
    decorators: tuple[str, ...]


def dotted_name(path: str) -> str:
    """The name by which a file of the repository is imported: `src/shop/data.py` is `shop.data`."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    if len(parts) > 1 and parts[0] in ("src", "lib"):
        parts = parts[1:]
    if len(parts) > 1 and parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts)


def is_inside(name: str, packages: Sequence[str]) -> bool:
    """Whether a full name is one of the packages or inside of one; `torch` holds `torch.nn` and no `torchvision`."""
    return any(name == package or name.startswith((f"{package}.", f"{package}()")) for package in packages)
