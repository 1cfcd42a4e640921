"""What a source hands over: every example by id, target and given split, and a way to read its bytes.

N examples.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from loopline.core.records import InputKind, SkippedFile, TransformStep

# A buffer of this size comes from the heap; larger ones are mapped and cleared by the system, each time.
_SMALL_READ_BYTES = 1 << 16
_LARGE_READ_BYTES = 1 << 20
# What is held in memory between checking and writing.
_KEPT_BYTES = 256 << 20


class Inputs(Protocol):
    """The examples' bytes, read when they are needed: a source may be larger than memory."""

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int]) -> list[bytes]:
        """The bytes of some examples, in the order of `indices`; the same bytes each time."""
        ...


@dataclass(frozen=True)
class Files:
    """Inputs that are files: `paths` below `root`, with `/`; `stats_N3` int64 of size, mtime in ns and inode.

    `listed_at_ns` is when listing began: the stats are not older.
    """

    root: Path
    paths: list[str]
    stats_N3: NDArray[np.int64]
    listed_at_ns: int

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, indices: Sequence[int]) -> list[bytes]:
        return [read_file(f"{self.root}/{self.paths[index]}") for index in indices]


@dataclass(frozen=True)
class Computed:
    """Inputs that a function makes from an index: an encoded picture, a text, a row of a table."""

    num_examples: int
    make: Callable[[int], bytes]

    def __len__(self) -> int:
        return self.num_examples

    def read(self, indices: Sequence[int]) -> list[bytes]:
        return [self.make(index) for index in indices]


class Kept:
    """Inputs of which some were read already: a source of many small files is opened once, not twice."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._raws: dict[int, bytes] = {}
        self._num_bytes = 0

    def __len__(self) -> int:
        return len(self._inputs)

    @property
    def has_room(self) -> bool:
        """False once what is kept has reached its limit."""
        return self._num_bytes < _KEPT_BYTES

    def put(self, indices: Sequence[int], raws: Sequence[bytes]) -> None:
        """Keeps the bytes of some examples; no bytes at all may be given instead."""
        self._raws.update(zip(indices, raws, strict=False))
        self._num_bytes += sum(map(len, raws))

    def read(self, indices: Sequence[int]) -> list[bytes]:
        missing = [index for index in indices if index not in self._raws]
        read = dict(zip(missing, self._inputs.read(missing), strict=True))
        return [self._raws[index] if index in self._raws else read[index] for index in indices]


@dataclass(frozen=True)
class Listing:
    """Examples in columns, one entry each; `targets` are as the source writes them: a label, a number, a text."""

    inputs: Inputs
    ids: list[str]
    targets: list[str]
    # Names of splits as the source gives them; empty where it gives none.
    splits: list[str]
    source: str
    input_kind: InputKind = "image"
    # The labels' order where the source defines one; otherwise they are sorted.
    label_names: tuple[str, ...] | None = None
    # The decoder of inputs that are neither pictures nor texts, so that each can be looked at.
    decode: TransformStep | None = None
    # What belongs together and must not stand in two splits, as a field or a person; empty where nothing does.
    groups: list[str] = field(default_factory=list)
    # What the source could not even list, with the reason.
    problems: list[SkippedFile] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)


def read_file(path: str) -> bytes:
    """A whole file; three system calls and no large buffer, which matters for 60,000 small files."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        pieces = [os.read(descriptor, _SMALL_READ_BYTES)]
        # Less than asked for is the end of a regular file.
        if len(pieces[0]) == _SMALL_READ_BYTES:
            while piece := os.read(descriptor, _LARGE_READ_BYTES):
                pieces.append(piece)
    finally:
        os.close(descriptor)
    return b"".join(pieces)
