"""`Snapshot` and `SplitReader`: a version's splits, read through memory maps."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import UnknownName
from loopline.core.records import DatasetManifest, Split, Task

# Of a few MiB each (see `loopline.data.shards`); neighbours are often asked for next.
_NUM_CACHED_GROUPS = 8


@dataclass(frozen=True)
class Snapshot:
    """One version of a dataset: its manifest and the folder that holds its shards."""

    manifest: DatasetManifest
    folder: Path

    @property
    def reference(self) -> str:
        """`name@version`, which names this very version wherever the folder is known."""
        return f"{self.manifest.name}@{self.manifest.version}"

    def split(self, name: str) -> SplitReader:
        """The reader of a split; raises `UnknownName` with the splits there are."""
        if name not in self.manifest.splits:
            raise UnknownName(
                f"split of snapshot '{self.manifest.name}'",
                name,
                self.manifest.splits,
                next_command=f"loopline data show {self.manifest.name}",
            )
        return SplitReader(self.folder, name, self.manifest.splits[name], self.manifest.task)


class SplitReader:
    """The examples of one split, in the shards' order: by content, which is as good as shuffled and never changes.

    Cheap to make and to pickle: shards are mapped when something of them is first read. Safe in threads.
    """

    def __init__(self, folder: Path, name: str, split: Split, task: Task) -> None:
        self.folder = folder
        self.name = name
        self.digest = split.digest
        self.num_examples = split.num_examples
        self._split = split
        self._task = task
        self._lock = threading.Lock()
        self._groups: OrderedDict[int, list[bytes]] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return (SplitReader, (self.folder, self.name, self._split, self._task))

    def __len__(self) -> int:
        return self.num_examples

    def __repr__(self) -> str:
        return f"SplitReader({self.name!r}, {self.num_examples} examples, {self.folder})"

    @cached_property
    def ids(self) -> list[str]:
        """The examples' ids: unique within the split."""
        return [str(value) for value in self._column("id").to_pylist()]

    @cached_property
    def targets(self) -> NDArray[Any]:
        """(N,): label indices int64 (classification), values float32 (regression), or texts (translation)."""
        column = self._column("target")
        if self._task == "translation":
            return np.array(column.to_pylist(), dtype=object)
        return np.asarray(column.to_numpy(), dtype=np.int64 if self._task == "classification" else np.float32)

    def raw(self, index: int) -> bytes:
        """The bytes of one input as they stood in the source; raises IndexError out of range."""
        return self.raw_many([index])[0]

    def raw_many(self, indices: Sequence[int]) -> list[bytes]:
        """The bytes of several inputs, in the order of `indices`; each row group that they touch is read once."""
        wanted = np.asarray(indices, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= self.num_examples):
            raise IndexError(f"split '{self.name}' has examples 0 to {self.num_examples - 1}, not all of those given")
        starts = self._group_starts
        groups = np.searchsorted(starts, wanted, side="right") - 1
        found: list[bytes] = [b""] * len(wanted)
        for position in np.argsort(groups, kind="stable"):
            group = int(groups[position])
            found[position] = self._group(group)[int(wanted[position] - starts[group])]
        return found

    def _column(self, name: str) -> Any:
        import pyarrow as pa

        tables = [file.read(columns=[name], use_threads=False) for file in self._files]
        return pa.concat_tables(tables).column(name)

    @cached_property
    def _files(self) -> list[Any]:
        import pyarrow.parquet as pq

        return [pq.ParquetFile(self.folder / shard.path, memory_map=True) for shard in self._split.shards]

    @cached_property
    def _group_places(self) -> list[tuple[int, int]]:
        return [(shard, group) for shard, file in enumerate(self._files) for group in range(file.num_row_groups)]

    @cached_property
    def _group_starts(self) -> NDArray[np.int64]:
        lengths = [self._files[shard].metadata.row_group(group).num_rows for shard, group in self._group_places]
        return np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)

    def _group(self, group: int) -> list[bytes]:
        with self._lock:
            if group not in self._groups:
                shard, place = self._group_places[group]
                table = self._files[shard].read_row_group(place, columns=["input"], use_threads=False)
                self._groups[group] = table.column("input").cast("binary").to_pylist()
                if len(self._groups) > _NUM_CACHED_GROUPS:
                    self._groups.popitem(last=False)
            self._groups.move_to_end(group)
            return self._groups[group]
