"""Every input is read and really decoded once: what cannot be trained on is found here, with its reason.

Pictures are decoded by the very transform that training and serving use. N examples, H height, W width, C channels
(red, green, blue), P pixels.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InvalidExample
from loopline.core.progress import bar
from loopline.core.records import InputKind, TransformStep
from loopline.data.arrays import ArrayFacts, look_at_array
from loopline.data.listing import Files, Inputs, Kept, Listing, read_file
from loopline.data.plain_jpeg import decode_plain_jpeg
from loopline.snapshots.workers import map_chunks

if TYPE_CHECKING:
    from loopline.transforms.image import DecodeImage

_CHUNK = 400
# Fewer than this and starting processes takes longer than the work.
_MIN_PARALLEL = 1500
# Pixels that are summed at once: 8 MB of float64.
_BLOCK_P = 1 << 18


@dataclass(frozen=True)
class Inspection:
    """What is known about every input, in columns that can be stored, indexed and merged.

    `shapes_N3` is (H, W, C) of the decoded picture, C 1 where its channels are equal. `sums_N3` and `squares_N3` are
    sums over the pixels of each channel's values (0 to 255) and of their squares; whole numbers, so that adding them
    in any order gives the same statistics. Texts have zeros there. Rows in `reasons` are not usable.
    """

    digests_N32: NDArray[np.uint8]
    num_bytes_N: NDArray[np.int64]
    shapes_N3: NDArray[np.int64]
    sums_N3: NDArray[np.int64]
    squares_N3: NDArray[np.int64]
    reasons: dict[int, str]
    # Of inputs that a decoder of their own looked at.
    arrays: dict[int, ArrayFacts] = field(default_factory=dict)

    @classmethod
    def empty(cls, num_examples: int) -> Inspection:
        """All zeros, to be filled in."""
        return cls(
            digests_N32=np.zeros((num_examples, 32), dtype=np.uint8),
            num_bytes_N=np.zeros(num_examples, dtype=np.int64),
            shapes_N3=np.zeros((num_examples, 3), dtype=np.int64),
            sums_N3=np.zeros((num_examples, 3), dtype=np.int64),
            squares_N3=np.zeros((num_examples, 3), dtype=np.int64),
            reasons={},
        )

    def put(self, rows: NDArray[np.int64], other: Inspection) -> None:
        """Copies `other`, row by row, to the given rows of this one."""
        self.digests_N32[rows] = other.digests_N32
        self.num_bytes_N[rows] = other.num_bytes_N
        self.shapes_N3[rows] = other.shapes_N3
        self.sums_N3[rows] = other.sums_N3
        self.squares_N3[rows] = other.squares_N3
        self.reasons.update((int(rows[row]), reason) for row, reason in other.reasons.items())
        self.arrays.update((int(rows[row]), facts) for row, facts in other.arrays.items())

    def take(self, rows: NDArray[np.int64]) -> Inspection:
        """The given rows, which must not be among the reasons."""
        return Inspection(
            self.digests_N32[rows],
            self.num_bytes_N[rows],
            self.shapes_N3[rows],
            self.sums_N3[rows],
            self.squares_N3[rows],
            reasons={},
            arrays={place: self.arrays[row] for place, row in enumerate(rows.tolist()) if row in self.arrays},
        )


@dataclass(frozen=True)
class Chunk:
    """Inputs for one call of `inspect_chunk`: paths of files, or the bytes themselves.

    With `keep`, bytes that were read from files come back with the result.
    """

    input_kind: InputKind
    items: Sequence[str | bytes]
    keep: bool = False
    decode: TransformStep | None = None


def inspect(listing: Listing, rows: NDArray[np.int64], inspection: Inspection) -> Inputs:
    """Reads, digests and decodes the given rows and fills them into `inspection`; in all cores where it pays.

    Returns the listing's inputs, with what was read of them so far as memory allows.
    """
    num_workers = _num_cores() if len(rows) >= _MIN_PARALLEL else 0
    parts = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    kept = Kept(listing.inputs)
    chunks = _chunks(listing, parts, kept)
    results = map_chunks("loopline.data.checks:inspect_chunk", chunks, num_workers=num_workers)
    with bar("checking", total=len(rows)) as advance:
        for part, (result, raws) in zip(parts, results, strict=True):
            inspection.put(part, result)
            kept.put(part.tolist(), raws)
            advance(len(part))
    return kept


def inspect_chunk(chunk: Chunk) -> tuple[Inspection, list[bytes]]:
    """Digests and decodes some inputs; what is wrong with one is in the result's `reasons`."""
    inspection = Inspection.empty(len(chunk.items))
    sums_N44 = np.zeros((len(chunk.items), 4, 4))
    raws = []
    for row, item in enumerate(chunk.items):
        try:
            raw = item if isinstance(item, bytes) else read_file(item)
        except OSError as error:
            inspection.reasons[row] = f"the file cannot be read: {error.strerror or error}."
            raws.append(b"")
            continue
        raws.append(raw)
        inspection.digests_N32[row] = np.frombuffer(hashlib.sha256(raw).digest(), dtype=np.uint8)
        inspection.num_bytes_N[row] = len(raw)
        try:
            if chunk.input_kind == "image":
                inspection.shapes_N3[row] = _look_at_image(raw, sums_N44[row])
            elif chunk.decode is not None:
                inspection.arrays[row] = look_at_array(raw, chunk.decode)
            elif chunk.input_kind == "text":
                _look_at_text(raw)
        except InvalidExample as error:
            inspection.reasons[row] = error.message
    inspection.sums_N3[:] = sums_N44[:, 3, :3]
    inspection.squares_N3[:] = sums_N44.diagonal(axis1=1, axis2=2)[:, :3]
    # These are all equal exactly when red = green = blue in every pixel (Cauchy and Schwarz).
    grey_N = (sums_N44[:, :3, :3] == sums_N44[:, :1, :1]).all(axis=(1, 2))
    inspection.shapes_N3[grey_N & (inspection.shapes_N3[:, 2] == 3), 2] = 1
    return inspection, raws if chunk.keep else []


def _look_at_image(raw: bytes, sums_44: NDArray[np.float64]) -> tuple[int, ...]:
    """Decodes one picture, adds up its pixels in `sums_44` and returns its (H, W, C)."""
    decoder = _decoder()
    x_HWC = decode_plain_jpeg(raw, max_pixels=decoder.max_pixels)
    if x_HWC is None:
        x_HWC = decoder(raw)
    x_PC = x_HWC.reshape(-1, 3)
    # The channels and a row of ones, multiplied by themselves: the sums of squares, of products, and of values.
    for start in range(0, len(x_PC), _BLOCK_P):
        block_PC = x_PC[start : start + _BLOCK_P]
        # float64 holds these sums exactly: 255² × 50 million pixels is less than 2^53.
        rows_4P = np.ones((4, len(block_PC)))
        rows_4P[:3] = block_PC.T
        sums_44 += rows_4P @ rows_4P.T
    return x_HWC.shape


def _look_at_text(raw: bytes) -> None:
    if not raw.strip():
        raise InvalidExample("the text is empty.")
    if b"\0" in raw:
        raise InvalidExample("the text holds a NUL character.")


@cache
def _decoder() -> DecodeImage:
    from loopline.transforms.image import DecodeImage

    return DecodeImage(mode="RGB")


def _chunks(listing: Listing, parts: list[NDArray[np.int64]], kept: Kept) -> Iterator[Chunk]:
    inputs = listing.inputs
    for part in parts:
        if isinstance(inputs, Files):
            paths = [f"{inputs.root}/{inputs.paths[row]}" for row in part]
            yield Chunk(listing.input_kind, paths, keep=kept.has_room, decode=listing.decode)
        else:
            yield Chunk(listing.input_kind, inputs.read(part.tolist()), decode=listing.decode)


def _num_cores() -> int:
    # The cores that this process may use, which in a container are fewer than the machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
