"""Every input is read and really decoded once: what cannot be trained on is found here, with its reason.

Pictures are decoded by the very transform that training and serving use. N examples, H height, W width, C channels
(red, green, blue), P pixels.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InvalidExample
from loopline.core.progress import bar
from loopline.core.records import InputKind
from loopline.data.listing import Files, Listing, read_file
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

    def take(self, rows: NDArray[np.int64]) -> Inspection:
        """The given rows, which must not be among the reasons."""
        return Inspection(
            self.digests_N32[rows],
            self.num_bytes_N[rows],
            self.shapes_N3[rows],
            self.sums_N3[rows],
            self.squares_N3[rows],
            reasons={},
        )


@dataclass(frozen=True)
class Chunk:
    """Inputs for one call of `inspect_chunk`: paths of files or, where there are none, the bytes themselves."""

    input_kind: InputKind
    items: Sequence[str | bytes]


def inspect(listing: Listing, rows: NDArray[np.int64], inspection: Inspection) -> None:
    """Reads, digests and decodes the given rows and fills them into `inspection`; in all cores where it pays."""
    num_workers = _num_cores() if len(rows) >= _MIN_PARALLEL else 0
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    results = map_chunks("loopline.data.checks:inspect_chunk", _chunks(listing, chunks), num_workers=num_workers)
    with bar("checking", total=len(rows)) as advance:
        for chunk, result in zip(chunks, results, strict=True):
            inspection.put(chunk, result)
            advance(len(chunk))


def inspect_chunk(chunk: Chunk) -> Inspection:
    """Digests and decodes some inputs; what is wrong with one is in the result's `reasons`."""
    inspection = Inspection.empty(len(chunk.items))
    look = _LOOKS[chunk.input_kind]
    for row, item in enumerate(chunk.items):
        try:
            raw = item if isinstance(item, bytes) else read_file(item)
            inspection.digests_N32[row] = np.frombuffer(hashlib.sha256(raw).digest(), dtype=np.uint8)
            inspection.num_bytes_N[row] = len(raw)
            look(raw, inspection, row)
        except InvalidExample as error:
            inspection.reasons[row] = error.message
        except OSError as error:
            inspection.reasons[row] = f"the file cannot be read: {error.strerror or error}."
    return inspection


def _look_at_image(raw: bytes, inspection: Inspection, row: int) -> None:
    decoder = _decoder()
    x_HWC = decode_plain_jpeg(raw, max_pixels=decoder.max_pixels)
    if x_HWC is None:
        x_HWC = decoder(raw)
    inspection.shapes_N3[row] = x_HWC.shape
    x_PC = x_HWC.reshape(-1, 3)
    # The channels and a row of ones, multiplied by themselves: the sums of squares, of products, and of values.
    sums_44 = np.zeros((4, 4))
    for start in range(0, len(x_PC), _BLOCK_P):
        block_PC = x_PC[start : start + _BLOCK_P]
        # float64 holds these sums exactly: 255² × 50 million pixels is less than 2^53.
        rows_4P = np.ones((4, len(block_PC)))
        rows_4P[:3] = block_PC.T
        sums_44 += rows_4P @ rows_4P.T
    inspection.sums_N3[row] = sums_44[3, :3]
    inspection.squares_N3[row] = sums_44.diagonal()[:3]
    # These are all equal exactly when red = green = blue in every pixel (Cauchy and Schwarz).
    inspection.shapes_N3[row, 2] = 1 if (sums_44[:3, :3] == sums_44[0, 0]).all() else 3


@cache
def _decoder() -> DecodeImage:
    from loopline.transforms.image import DecodeImage

    return DecodeImage(mode="RGB")


def _look_at_text(raw: bytes, inspection: Inspection, row: int) -> None:  # noqa: ARG001 - as every look
    if not raw.strip():
        raise InvalidExample("the text is empty.")
    if b"\0" in raw:
        raise InvalidExample("the text holds a NUL character.")


_LOOKS = {"image": _look_at_image, "text": _look_at_text}


def _chunks(listing: Listing, chunks: list[NDArray[np.int64]]) -> Iterator[Chunk]:
    inputs = listing.inputs
    for rows in chunks:
        if isinstance(inputs, Files):
            yield Chunk(listing.input_kind, [f"{inputs.root}/{inputs.paths[row]}" for row in rows])
        else:
            yield Chunk(listing.input_kind, inputs.read(rows.tolist()))


def _num_cores() -> int:
    # The cores that this process may use, which in a container are fewer than the machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
