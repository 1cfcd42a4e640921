"""Looking into snapshots: `show` one, `verify` that its bytes are those that were written, `diff` two."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from loopline.core.errors import IntegrityError
from loopline.core.progress import bar
from loopline.core.records import DatasetManifest, Shard, SnapshotCheck, SnapshotDiff, SplitDiff
from loopline.core.store import digest_bytes, digest_file
from loopline.core.workspace import Workspace
from loopline.data.identity import rows_digest, triple, version_digest
from loopline.snapshots import Snapshot, open_snapshot

# A shard's row: the input's digest, the id, the target as it is stored.
_Row = tuple[str, str, int | float | str]
# By id: the input's digest and the target, a label by its name.
_Content = dict[str, tuple[str, int | float | str]]


def show(reference: str, *, workspace: Workspace | None = None) -> DatasetManifest:
    """The manifest of a snapshot; raises `UnknownName` where there is none."""
    return open_snapshot(reference, workspace or Workspace.default()).manifest


def verify(reference: str, *, workspace: Workspace | None = None) -> SnapshotCheck:
    """Reads a snapshot whole and recomputes every digest: files, inputs, rows, splits, version.

    Raises `IntegrityError` naming the first part that is not what the manifest says.
    """
    snapshot = open_snapshot(reference, workspace or Workspace.default())
    manifest = snapshot.manifest
    shards = [shard for split in manifest.splits.values() for shard in split.shards]
    num_examples = sum(split.num_examples for split in manifest.splits.values())
    with bar("verifying", total=num_examples) as advance:
        for name, split in manifest.splits.items():
            triples: list[str] = []
            for shard in split.shards:
                triples += _verified_triples(snapshot.folder, shard)
                advance(shard.num_examples)
            _expect(f"the rows of split '{name}'", rows_digest(triples), split.digest)
    version = version_digest(
        task=manifest.task,
        input_kind=manifest.input_kind,
        input_shape=manifest.input_shape,
        label_names=manifest.label_names,
        split_digests={name: split.digest for name, split in manifest.splits.items()},
    )
    _expect(f"the content of '{manifest.name}'", version, manifest.version)
    return SnapshotCheck(
        name=manifest.name,
        version=manifest.version,
        num_shards=len(shards),
        num_examples=num_examples,
        num_bytes=sum(shard.num_bytes for shard in shards),
    )


def diff(before: str, after: str, *, workspace: Workspace | None = None) -> SnapshotDiff:
    """What was added, removed, changed and relabelled from one snapshot to another; shards they share are not read."""
    workspace = workspace or Workspace.default()
    old, new = open_snapshot(before, workspace), open_snapshot(after, workspace)
    old_labels, new_labels = old.manifest.label_names, new.manifest.label_names
    splits = {}
    for name in sorted({*old.manifest.splits, *new.manifest.splits}):
        split = _split_diff(_content(old, name, besides=new), _content(new, name, besides=old))
        if split != SplitDiff():
            splits[name] = split
    return SnapshotDiff(
        before=old.reference,
        after=new.reference,
        labels_added=tuple(label for label in new_labels if label not in old_labels),
        labels_removed=tuple(label for label in old_labels if label not in new_labels),
        splits=splits,
    )


def _verified_triples(folder: Path, shard: Shard) -> list[str]:
    _expect(f"shard '{folder / shard.path}'", digest_file(folder / shard.path), shard.digest)
    triples = [triple(*row) for row in _read_rows(folder / shard.path)]
    _expect(f"the rows of shard '{folder / shard.path}'", rows_digest(triples), shard.rows_digest)
    return triples


def _expect(what: str, given: str, expected: str) -> None:
    if given != expected:
        raise IntegrityError(
            f"{what} has digest {given[:12]}…; the manifest says {expected[:12]}….",
            next_command="take it from where it was pushed (dvc pull), or remove it and make the snapshot again",
        )


def _read_rows(path: Path) -> list[_Row]:
    import pyarrow.parquet as pq

    rows: list[_Row] = []
    with pq.ParquetFile(path, memory_map=True) as file:
        for batch in file.iter_batches(batch_size=256, use_threads=False):
            digests = [digest_bytes(raw) for raw in batch.column("input").cast("binary").to_pylist()]
            rows += zip(digests, batch.column("id").to_pylist(), batch.column("target").to_pylist(), strict=True)
    return rows


def _content(snapshot: Snapshot, name: str, *, besides: Snapshot) -> _Content:
    """The rows of a split by id, without the shards that the other snapshot has in the same split."""
    manifest = snapshot.manifest
    if name not in manifest.splits:
        return {}
    shared: set[str] = set()
    # Equal targets mean equal labels only where both number them alike.
    if manifest.label_names == besides.manifest.label_names and name in besides.manifest.splits:
        shared = {shard.rows_digest for shard in besides.manifest.splits[name].shards}
    content: _Content = {}
    for shard in manifest.splits[name].shards:
        if shard.rows_digest not in shared:
            for digest, example_id, target in _read_rows(snapshot.folder / shard.path):
                label = manifest.label_names[int(target)] if manifest.label_names else target
                content[example_id] = (digest, label)
    return content


def _split_diff(old: _Content, new: _Content) -> SplitDiff:
    both = old.keys() & new.keys()
    return SplitDiff(
        added=_sorted(new.keys() - old.keys()),
        removed=_sorted(old.keys() - new.keys()),
        changed=_sorted(example_id for example_id in both if old[example_id][0] != new[example_id][0]),
        relabelled=_sorted(
            example_id
            for example_id in both
            if old[example_id][0] == new[example_id][0] and old[example_id][1] != new[example_id][1]
        ),
    )


def _sorted(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(ids))
