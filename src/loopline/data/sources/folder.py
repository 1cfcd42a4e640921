"""Pictures in folders: a folder per class, below split folders (`train`, `val`, `test`, …) or not.

The id of a picture is its path below the split folder, so `cats/1.png` keeps it when the splits are made differently.
Names that begin with a dot are passed over, as the system's own files are.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from loopline.core.errors import InputError
from loopline.core.records import SkippedFile, Task
from loopline.data.listing import Files, Listing
from loopline.data.options import Columns
from loopline.data.splits import is_split_name

_NOT_OURS = {"Thumbs.db", "desktop.ini"}


def list_folder(source: str, *, task: Task, columns: Columns) -> Listing:
    """Lists the pictures below a folder; raises `InputError` where folders do not say what the classes are."""
    if task != "classification":
        raise InputError(
            f"a folder of pictures given for task '{task}'; a folder's names are labels, so it serves classification "
            "only. For other tasks give a table with a path column and a target column."
        )
    if columns != Columns():
        raise InputError(f"column names given for folder '{source}'; they serve tables and hub:NAME only.")
    listed_at_ns = time.time_ns()
    root = Path(source).resolve()
    walk = _Walk()
    for split, folder in _split_folders(root, walk):
        below = f"{folder}/" if folder else ""
        for label in _children(root / folder, below, walk):
            walk.label, walk.split, walk.below = label, split, len(below)
            if not walk.visit(f"{root}/{below}{label}", f"{below}{label}", frozenset({str(root)})):
                walk.refuse(f"{below}{label}", "the class folder holds no file.")
    _check_case(walk.targets)
    stats_N3 = np.array(walk.stats).reshape(-1, 3)
    return Listing(
        inputs=Files(root, walk.paths, stats_N3, listed_at_ns),
        ids=walk.ids,
        targets=walk.targets,
        splits=walk.splits,
        # As it was given: a manifest travels, and need not tell where its maker's home is.
        source=f"folder '{_printable(source)}'",
        problems=walk.problems,
    )


@dataclass
class _Walk:
    """What a walk through the folders has found so far; `label`, `split` and `below` hold for where it is now."""

    label: str = ""
    split: str = ""
    # Length of the path above the id.
    below: int = 0
    paths: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    # Size, time, inode of each file in turn; an array of C integers, which no garbage collection has to walk through.
    stats: array[int] = field(default_factory=lambda: array("q"))
    problems: list[SkippedFile] = field(default_factory=list)

    def visit(self, folder: str, path: str, above: frozenset[str]) -> int:
        """Lists the files below a folder and returns how many there are, usable or not.

        `above` are the real paths of the folders that hold it, by which a symbolic link into itself is found.
        """
        if not _is_utf8(path):
            self.refuse(path, "the name is not UTF-8.")
            return 1
        real = os.path.realpath(folder)
        if real in above:
            self.refuse(path, "a symbolic link to a folder that holds it.")
            return 1
        num_files = 0
        files = []
        for entry in _entries(folder, path, self):
            # Asked first, for it needs no call to the system and holds for nearly all.
            if (entry.is_file(follow_symlinks=False) or _is_file(entry)) and _is_utf8(entry.name):
                files.append(entry)
            elif _is_folder(entry):
                num_files += self.visit(entry.path, f"{path}/{entry.name}", above | {real})
            else:
                num_files += 1
                self.refuse(f"{path}/{entry.name}", _odd(entry))
        self._take(files, path)
        return num_files + len(files)

    def _take(self, files: list[os.DirEntry[str]], path: str) -> None:
        """Lists the files of one folder, column by column: 60,000 steps of a loop are a quarter of the whole time."""
        paths = [f"{path}/{entry.name}" for entry in files]
        self.paths += paths
        self.ids += [child[self.below :] for child in paths]
        self.targets += [self.label] * len(files)
        self.splits += [self.split] * len(files)
        for entry in files:
            stat = entry.stat()
            self.stats.extend((stat.st_size, stat.st_mtime_ns, stat.st_ino))

    def refuse(self, path: str, reason: str) -> None:
        self.problems.append(SkippedFile(path=_printable(path), reason=reason))


def _split_folders(root: Path, walk: _Walk) -> list[tuple[str, str]]:
    """(split, folder) pairs; one pair of empty strings where the folder has no split folders."""
    entries = _entries(str(root), "", walk)
    names = [entry.name for entry in entries if _is_folder(entry)]
    given = [name for name in names if is_split_name(name)]
    if not given or (len(given) == 1 and len(names) > 1):
        # One class may be called `train`: beside cars and buses it is a vehicle.
        return [("", "")]
    others = [name for name in names if name not in given]
    if others:
        raise InputError(
            f"folder '{_printable(root.name)}' has the split folders {', '.join(given)} and also "
            f"{', '.join(others[:3])}; expected split folders only, or class folders only."
        )
    for entry in entries:
        if not _is_folder(entry):
            walk.refuse(entry.name, "lies in no class folder.")
    return [(name, name) for name in given]


def _children(folder: Path, below: str, walk: _Walk) -> Iterator[str]:
    for entry in _entries(str(folder), below, walk):
        if _is_folder(entry):
            yield entry.name
        else:
            walk.refuse(f"{below}{entry.name}", "lies in no class folder.")


def _entries(folder: str, path: str, walk: _Walk) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(".") and entry.name not in _NOT_OURS]
    except OSError as error:
        walk.refuse(path or folder, f"the folder cannot be read: {error.strerror}.")
        return []
    return sorted(entries, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    # A link that leads to itself is neither.
    except OSError:
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _check_case(labels: list[str]) -> None:
    """Folders that differ in case only are one folder on macOS and Windows: the dataset could not be moved there."""
    names: dict[str, str] = {}
    for name in sorted(set(labels)):
        other = names.setdefault(name.casefold(), name)
        if other != name:
            raise InputError(f"classes '{other}' and '{name}' differ in case only; expected names that differ.")


def _odd(entry: os.DirEntry[str]) -> str:
    """Why an entry is neither a folder nor a file that can be listed."""
    if not _is_utf8(entry.name):
        return "the name is not UTF-8."
    # Reading a pipe would wait for ever.
    return "a broken symbolic link." if entry.is_symlink() else "neither a file nor a folder."


def _is_utf8(name: str) -> bool:
    # A name that is not UTF-8 reaches Python with surrogates in it.
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)


def _printable(path: str) -> str:
    """The path with what is not UTF-8 escaped, so that the manifest can name it."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")
