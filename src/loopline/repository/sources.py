"""Where a repository's files come from: a git work tree, the objects of a commit, a plain folder, or memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

from loopline.repository.git import Git, Objects

Kind = Literal["regular", "executable", "link", "submodule"]
_KINDS: dict[str, Kind] = {"100644": "regular", "100755": "executable", "120000": "link", "160000": "submodule"}
# What lies in a folder without git and is nobody's work.
_LEFT_OUT = {
    ".git",
    ".venv",
    "venv",
    "node_modules",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".tox",
}


@dataclass(frozen=True)
class File:
    """One file: its path from the root with `/`, its bytes (None: cannot be known), and what it is."""

    path: str
    num_bytes: int | None
    kind: Kind = "regular"


class Source(Protocol):
    """Lists files and hands out their bytes."""

    @property
    def what(self) -> str:
        """What the list stands for, in words."""

    def list_files(self) -> Iterator[File]:
        """Every file, in any order."""

    def read(self, path: str) -> bytes | None:
        """The bytes of a listed file, links not followed; None where they cannot be read."""


@dataclass(frozen=True)
class Folder:
    """A folder without git: every file in it."""

    root: Path
    what: str = "every file of a folder without git"

    def list_files(self) -> Iterator[File]:
        for folder, folders, names in os.walk(self.root, followlinks=False):
            links = [name for name in folders if Path(folder, name).is_symlink()]
            folders[:] = sorted(
                name
                for name in folders
                if name not in _LEFT_OUT and name not in links and not Path(folder, name, "pyvenv.cfg").exists()
            )
            for name in sorted([*names, *links]):
                path = Path(folder, name)
                yield from _file_on_disk(self.root, path.relative_to(self.root).as_posix())

    def read(self, path: str) -> bytes | None:
        return _read_on_disk(self.root, path)


@dataclass(frozen=True)
class WorkTree:
    """A git work tree: the files that git tracks, as they lie on the disk."""

    git: Git
    root: Path
    what: str = "the tracked files of a git work tree"

    def list_files(self) -> Iterator[File]:
        for record in self.git.records("ls-files", "-z", "--stage"):
            mode, _, path = record.partition(" ")[0], *record.partition("\t")[1:]
            kind = _KINDS.get(mode, "regular")
            if kind == "submodule":
                yield File(path, None, kind)
            else:
                yield from _file_on_disk(self.root, path, executable=kind == "executable")

    def read(self, path: str) -> bytes | None:
        return _read_on_disk(self.root, path)


@dataclass(frozen=True)
class CommittedTree:
    """The tree of a repository's newest commit, where there is no work tree."""

    git: Git
    what: str = "the tree of the newest commit"
    _digests: dict[str, str] = field(default_factory=dict)

    def list_files(self) -> Iterator[File]:
        kinds = {}
        for record in self.git.records("ls-tree", "-r", "-z", "--full-tree", "HEAD"):
            description, _, path = record.partition("\t")
            mode, _, digest = description.split(" ")
            kinds[path], self._digests[path] = _KINDS.get(mode, "regular"), digest
        sizes = self.git.sizes(sorted(set(self._digests.values())))
        for path, kind in kinds.items():
            yield File(path, None if kind == "submodule" else sizes.get(self._digests[path]), kind)

    def read(self, path: str) -> bytes | None:
        return self._objects.read(self._digests[path])

    @cached_property
    def _objects(self) -> Objects:
        return Objects(self.git)


@dataclass(frozen=True)
class Memory:
    """Made-up files, as the examples of rules are."""

    texts: Mapping[str, str]
    what: str = "files in memory"

    def list_files(self) -> Iterator[File]:
        return (File(path, len(text.encode())) for path, text in self.texts.items())

    def read(self, path: str) -> bytes | None:
        return self.texts[path].encode()


def _file_on_disk(root: Path, path: str, *, executable: bool | None = None) -> Iterator[File]:
    """The file, unless it is gone, a folder or a device."""
    try:
        status = (root / path).lstat()
    except (OSError, ValueError):
        return
    if stat.S_ISLNK(status.st_mode):
        yield File(path, status.st_size, "link")
    elif stat.S_ISREG(status.st_mode):
        runs = bool(status.st_mode & stat.S_IXUSR) if executable is None else executable
        yield File(path, status.st_size, "executable" if runs else "regular")


def _read_on_disk(root: Path, path: str) -> bytes | None:
    """The bytes, unless a link on the way leads out of the root."""
    place = root / path
    try:
        if not place.parent.resolve().is_relative_to(root.resolve()) or not stat.S_ISREG(place.lstat().st_mode):
            return None
        return place.read_bytes()
    except (OSError, RuntimeError):
        return None
