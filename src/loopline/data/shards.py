"""A split's rows in a few Parquet files, each holding the inputs whose digests begin alike.

A changed file changes the shard it leaves and the shard it enters; all others keep their rows, are recognised by the
digest of those, and are not written again. N examples.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.core.progress import track
from loopline.core.records import Shard, Task
from loopline.core.store import digest_bytes, write_bytes
from loopline.data.identity import rows_digest, triple
from loopline.data.listing import Inputs
from loopline.snapshots.references import SHARDS_FOLDER

# Small datasets get shards of 4 MiB, so that one change writes little; from 16 shards on they grow to 64 MiB, so that
# there are tens of files and not thousands; then their number grows.
_SMALL_BYTES = 4 << 20
_LARGE_BYTES = 64 << 20
_NUM_SMALL = 16
_MAX_SHARDS = 4096
# What a reader decodes to get at one example.
_ROW_GROUP_BYTES = 2 << 20


# A SHA-256 in hexadecimal digits.
_HEX = 64


@dataclass(frozen=True)
class Rows:
    """The examples of one split in columns, sorted by input digest, then id, then target.

    `examples_N` are their places among the usable examples, `sources_N` in the source; `triples` are their canonical
    texts, of which digests are taken.
    """

    examples_N: NDArray[np.int64]
    sources_N: NDArray[np.int64]
    hex_digests: list[str]
    ids: list[str]
    targets_N: NDArray[Any]
    triples: list[str]

    def part(self, start: int, stop: int) -> Rows:
        """The rows from `start` to `stop`."""
        return Rows(
            self.examples_N[start:stop],
            self.sources_N[start:stop],
            self.hex_digests[start:stop],
            self.ids[start:stop],
            self.targets_N[start:stop],
            self.triples[start:stop],
        )


def sort_rows(
    examples_N: NDArray[np.int64],
    *,
    sources: NDArray[np.int64],
    digests: NDArray[np.uint8],
    ids: Sequence[str],
    targets: NDArray[Any],
) -> Rows:
    """Sorts the given examples of the columns; ids and targets hold no NUL, so triples cannot be confused."""
    text = digests[examples_N].tobytes().hex()
    hex_digests = [text[start : start + _HEX] for start in range(0, len(text), _HEX)]
    own_ids = [ids[example] for example in examples_N.tolist()]
    triples = [
        triple(digest, example_id, target)
        for digest, example_id, target in zip(hex_digests, own_ids, targets[examples_N].tolist(), strict=True)
    ]
    order = sorted(range(len(triples)), key=triples.__getitem__)
    ordered_N = examples_N[order]
    return Rows(
        ordered_N,
        sources[ordered_N],
        [hex_digests[place] for place in order],
        [own_ids[place] for place in order],
        targets[ordered_N],
        [triples[place] for place in order],
    )


class ShardWriter:
    """Writes shards below a dataset's folder, reusing those in `known` that hold the same rows."""

    def __init__(self, folder: Path, inputs: Inputs, *, task: Task, known: Iterable[Shard]) -> None:
        self._folder = folder
        self._inputs = inputs
        self._task = task
        self._known = {shard.rows_digest: shard for shard in known}

    def write(self, rows: Rows, *, num_bytes: int, description: str) -> tuple[Shard, ...]:
        """The shards of one split whose inputs have `num_bytes` in all; every file is on the disk on return.

        Raises `InputError` where an input is no longer what was inspected.
        """
        parts = _bucket(rows, num_shards(num_bytes))
        # Hashing, writing and flushing release the interpreter, so two threads keep disk and core busy.
        with ThreadPoolExecutor(2) as threads:
            return tuple(track(threads.map(self._shard, parts), description, total=len(parts)))

    def _shard(self, rows: Rows) -> Shard:
        digest_of_rows = rows_digest(rows.triples)
        known = self._known.get(digest_of_rows)
        if known is not None and self._is_whole(known.path, known.num_bytes):
            return known
        raws = self._inputs.read(rows.sources_N.tolist())
        for raw, expected, example_id in zip(raws, rows.hex_digests, rows.ids, strict=True):
            if digest_bytes(raw) != expected:
                raise InputError(f"'{example_id}' changed while the snapshot was made; run the command again.")
        data = parquet_bytes(rows.ids, raws, rows.targets_N, task=self._task)
        digest = digest_bytes(data)
        path = f"{SHARDS_FOLDER}/{digest}.parquet"
        if not self._is_whole(path, len(data)):
            write_bytes(self._folder / path, data)
        return Shard(
            path=path, digest=digest, rows_digest=digest_of_rows, num_bytes=len(data), num_examples=len(rows.ids)
        )

    def _is_whole(self, path: str, num_bytes: int) -> bool:
        # A shard that was cut off is written again; one with a flipped bit is found by `verify`, which reads it.
        file = self._folder / path
        return file.is_file() and file.stat().st_size == num_bytes


def num_shards(num_bytes: int) -> int:
    """How many shards a split of so many bytes has: a power of two, for buckets are leading bits of digests."""
    wanted = max(min(num_bytes / _SMALL_BYTES, _NUM_SMALL), num_bytes / _LARGE_BYTES)
    number = 1
    while number < wanted and number < _MAX_SHARDS:
        number *= 2
    return number


def parquet_bytes(ids: list[str], raws: list[bytes], targets: NDArray[Any], *, task: Task) -> bytes:
    """A Parquet file of the columns `id`, `input`, `target`, uncompressed: pictures are compressed already."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = task == "translation"
    columns = {
        "id": _variable_length([value.encode() for value in ids], pa.string()),
        "input": _variable_length(raws, pa.string() if text else pa.binary()),
        "target": _variable_length([str(value).encode() for value in targets], pa.string())
        if text
        else pa.Array.from_buffers(_number_type(task), len(targets), [None, pa.py_buffer(targets)]),
    }
    mean_bytes = max(1, sum(map(len, raws)) // len(raws))
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.table(columns),
        sink,
        row_group_size=max(1, _ROW_GROUP_BYTES // mean_bytes),
        compression="none",
        use_dictionary=False,
        write_statistics=False,
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _number_type(task: Task) -> Any:
    import pyarrow as pa

    return pa.int64() if task == "classification" else pa.float32()


def _variable_length(values: list[bytes], kind: Any) -> Any:
    # From buffers, because `pyarrow.array` imports pandas (0.4 s) to see whether it was given something of pandas.
    import pyarrow as pa

    offsets = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    if offsets[-1] > np.iinfo(np.int32).max:
        raise InputError(f"one shard would hold {offsets[-1]:,} bytes; expected less than 2 GiB: split the dataset.")
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def _bucket(rows: Rows, number: int) -> list[Rows]:
    """The non-empty parts of sorted rows whose digests share their first bits."""
    shift = 16 - (number.bit_length() - 1)
    starts = (f"{bucket << shift:04x}" for bucket in range(1, number))
    edges = sorted({0, len(rows.ids), *(bisect_left(rows.hex_digests, start) for start in starts)})
    return [rows.part(start, stop) for start, stop in itertools.pairwise(edges)]
