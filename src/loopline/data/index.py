"""The stat index: what was found out about a file stays true while its size, time and inode stay the same.

One array file per source folder, in the workspace's cache. With it a second snapshot reads only what changed. It can
be deleted at any time: then everything is read again. N examples.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loopline.core.store import atomic_file, digest_bytes
from loopline.data.checks import Inspection
from loopline.data.listing import Files

# A file changed twice within one tick of the file system's clock (2 s on FAT) would look unchanged: files as young as
# this are read again the next time.
_TOO_YOUNG_NS = 2_000_000_000
_COLUMNS = ("digests_N32", "num_bytes_N", "shapes_N3", "sums_N3", "squares_N3")
# Of what is stored; a change in how files are decoded or summed needs a new number.
_FORMAT = 1


@dataclass(frozen=True)
class StatIndex:
    """Known files by path, with their stats and what inspecting them gave."""

    paths: list[str]
    stats_N3: NDArray[np.int64]
    inspection: Inspection

    def recall(self, files: Files) -> tuple[Inspection, NDArray[np.int64]]:
        """What is known about the files, and the rows about which nothing is, in order."""
        if self.paths == files.paths:
            rows = np.arange(len(files), dtype=np.int64)
        else:
            places = {path: row for row, path in enumerate(self.paths)}
            rows = np.fromiter((places.get(path, -1) for path in files.paths), dtype=np.int64, count=len(files))
        known = rows >= 0
        known[known] = (self.stats_N3[rows[known]] == files.stats_N3[known]).all(axis=1)
        # Any row stands in for one that is not known: it will be overwritten.
        inspection = self.inspection.take(np.where(known, rows, 0)) if len(self.paths) else Inspection.empty(len(files))
        return inspection, np.flatnonzero(~known)


def index_path(cache: Path, root: Path) -> Path:
    """Where the index of a source folder lives."""
    return cache / "stat-index" / f"{digest_bytes(str(root).encode(errors='surrogateescape'))[:16]}.npz"


def read_index(path: Path) -> StatIndex:
    """The stored index; an empty one where there is none, or where it is of another format or damaged."""
    try:
        # Opened here: of a file that is no archive, `np.load` would leave its own handle open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if int(stored["format"]) != _FORMAT:
                return _empty()
            columns = {name: stored[name] for name in _COLUMNS}
            text = stored["paths"].tobytes().decode()
            return StatIndex(text.split("\0") if text else [], stored["stats_N3"], Inspection(**columns, reasons={}))
    # It is only a cache: whatever is wrong with it, reading the files again mends it.
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return _empty()


def write_index(path: Path, files: Files, inspection: Inspection) -> None:
    """Stores what is known about every usable file that was not changed just before it was listed."""
    usable = files.stats_N3[:, 1] < files.listed_at_ns - _TOO_YOUNG_NS
    usable[list(inspection.reasons)] = False
    rows = np.flatnonzero(usable)
    kept = inspection.take(rows)
    paths = files.paths if len(rows) == len(files) else [files.paths[row] for row in rows]
    blob = np.frombuffer("\0".join(paths).encode(), dtype=np.uint8)
    columns = {name: getattr(kept, name) for name in _COLUMNS}
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, format=np.int64(_FORMAT), paths=blob, stats_N3=files.stats_N3[rows], **columns)


def _empty() -> StatIndex:
    return StatIndex([], np.zeros((0, 3), dtype=np.int64), Inspection.empty(0))
