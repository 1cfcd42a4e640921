"""From a source to a snapshot on disk: list, inspect, split, write shards, and last the manifest that names them.

Everything before the last step leaves the dataset as it was: a process that is killed leaves the old version or the
new one. N examples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from loopline.core.errors import InputError, StateError
from loopline.core.records import ChannelStatistics, DatasetManifest, Name, SkippedFile, Split, Task, utc_now
from loopline.core.store import lock, read_record, write_record
from loopline.core.workspace import Workspace
from loopline.data.arrays import array_statistics
from loopline.data.checks import Inspection, inspect
from loopline.data.confidential import hide
from loopline.data.examples import (
    Examples,
    channel_statistics,
    check_ids,
    count_channels,
    find_duplicates,
    gather,
    input_shape,
    odd_sizes,
    unusable_rows,
    with_groups,
)
from loopline.data.identity import rows_digest, version_digest
from loopline.data.index import index_path, read_index, write_index
from loopline.data.listing import Files, Inputs, Listing
from loopline.data.options import Options
from loopline.data.shards import Rows, ShardWriter
from loopline.data.sources import list_source
from loopline.data.splits import SPLITS, assign_splits
from loopline.snapshots.references import MANIFEST_FILE, VERSIONS_FOLDER

_NUM_SHOWN_PROBLEMS = 5


def snapshot(
    source: str | Path,
    *,
    name: str,
    task: Task = "classification",
    options: Options | None = None,
    workspace: Workspace | None = None,
) -> DatasetManifest:
    """Makes a snapshot of a source under a name; one that changes nothing returns the manifest that is there.

    `source` is a folder of pictures (a folder per class, with or without split folders), a CSV or Parquet file, or
    `hub:NAME` for a Hugging Face dataset. Writes `data/NAME` in the workspace. Raises `InputError` for a source that
    is empty, broken (see `Options.skip_broken`) or does not fit the task, `StateError` while another process writes
    the same dataset.
    """
    options = options or Options()
    listing = list_source(source, task=task, columns=options.columns)
    return write_snapshot(listing, name=name, task=task, options=options, workspace=workspace or Workspace.default())


def write_snapshot(
    listing: Listing, *, name: str, task: Task, options: Options, workspace: Workspace
) -> DatasetManifest:
    """Makes a snapshot of what a source listed; see `snapshot`."""
    _check_name(name)
    listing = with_groups(listing, options.group_pattern)
    folder = workspace.data / name
    # Beside the folder, not in it, so that DVC finds nothing in there but data.
    with lock(workspace.data / f".{name}.lock", holder=f"dataset '{name}'"):
        current = folder / MANIFEST_FILE
        parent = read_record(DatasetManifest, current) if current.exists() else None
        _keep_confidential(name, parent, options, workspace)
        inspection, inputs = _inspect(listing, workspace.cache)
        inspection.reasons.update(odd_sizes(listing, inspection) | unusable_rows(listing, task))
        skipped = _skip_or_refuse(listing, inspection, options)
        usable_N = np.setdiff1d(np.arange(len(listing)), list(inspection.reasons))
        examples = gather(listing, task, inspection, usable_N)
        rows = _split(examples, options)
        known = [shard for split in parent.splits.values() for shard in split.shards] if parent else []
        writer = ShardWriter(folder, inputs, task=task, known=known)
        splits = {split: _write_split(writer, split, part, examples) for split, part in rows.items()}
        shape = input_shape(examples.inspection)
        manifest = DatasetManifest(
            name=name,
            version=version_digest(
                task=task,
                input_kind=listing.input_kind,
                input_shape=shape,
                label_names=examples.label_names,
                split_digests={split: part.digest for split, part in splits.items()},
            ),
            task=task,
            input_kind=listing.input_kind,
            input_shape=shape,
            label_names=examples.label_names,
            splits=splits,
            statistics=_statistics(examples.inspection, rows["train"]),
            source=listing.source,
            licence=options.licence,
            confidential=options.confidential,
            skipped=tuple(skipped),
            duplicates=find_duplicates(rows),
            created_at=utc_now(),
        )
        return _publish(folder, manifest, parent)


def _keep_confidential(name: str, parent: DatasetManifest | None, options: Options, workspace: Workspace) -> None:
    """Hides a confidential dataset from git before its first sample is written; it never becomes public by omission."""
    if options.confidential:
        # Decoded samples will be cached too.
        hide(workspace.data / name)
        hide(workspace.cache)
    elif parent is not None and parent.confidential:
        raise StateError(
            f"dataset '{parent.name}' is confidential; expected a new version of it to be so too.",
            next_command="loopline data snapshot … --confidential",
        )


def _check_name(name: str) -> None:
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise InputError(
            f"name '{name}' given; expected letters, digits, '_', '.' or '-', not beginning with '.' or '-'."
        ) from None


def _inspect(listing: Listing, cache: Path) -> tuple[Inspection, Inputs]:
    """Inspects every example, files that the stat index knows from there; returns also what to read the bytes from."""
    files = listing.inputs
    if not isinstance(files, Files) or listing.decode is not None:
        inspection = Inspection.empty(len(listing))
        return inspection, inspect(listing, np.arange(len(listing), dtype=np.int64), inspection)
    path = index_path(cache, files.root)
    inspection, rows = read_index(path).recall(files)
    if not len(rows):
        return inspection, files
    inputs = inspect(listing, rows, inspection)
    write_index(path, files, inspection)
    return inspection, inputs


def _skip_or_refuse(listing: Listing, inspection: Inspection, options: Options) -> list[SkippedFile]:
    """The files that cannot be used; raises `InputError` unless they may be skipped and something is left."""
    names = listing.inputs.paths if isinstance(listing.inputs, Files) else listing.ids
    skipped = [SkippedFile(path=names[row], reason=reason) for row, reason in inspection.reasons.items()]
    skipped = sorted([*listing.problems, *skipped], key=lambda file: file.path)
    if len(listing) == len(inspection.reasons):
        why = f"; {skipped[0].path}: {skipped[0].reason}" if skipped else "."
        raise InputError(f"{listing.source} holds no usable example{why}")
    if skipped and not options.skip_broken:
        shown = "".join(f"\n  {file.path}: {file.reason}" for file in skipped[:_NUM_SHOWN_PROBLEMS])
        more = f"\n  … and {len(skipped) - _NUM_SHOWN_PROBLEMS} more" if len(skipped) > _NUM_SHOWN_PROBLEMS else ""
        raise InputError(
            f"{len(skipped)} of {len(listing) + len(listing.problems)} files of {listing.source} cannot be used:"
            f"{shown}{more}",
            next_command="mend or remove them, or leave them out by --skip-broken",
        )
    return skipped


def _split(examples: Examples, options: Options) -> dict[str, Rows]:
    codes_N = assign_splits(examples.given_splits, examples.inspection.digests_N32, options, examples.groups)
    shares = {"validation": options.validation_share, "test": options.test_share, "train": 1.0}
    rows = {}
    for code, split in enumerate(SPLITS):
        if (codes_N == code).any():
            rows[split] = examples.sorted_rows(codes_N == code)
        elif shares[split] > 0:
            raise InputError(
                f"no example falls into split '{split}': {len(codes_N)} examples are too few for its share of "
                f"{shares[split]:g}.",
                next_command="loopline data snapshot … --validation-share 0.3 --test-share 0.3 (0 leaves a split out)",
            )
    check_ids(rows)
    return rows


def _write_split(writer: ShardWriter, name: str, rows: Rows, examples: Examples) -> Split:
    num_bytes = int(examples.inspection.num_bytes_N[rows.examples_N].sum())
    counts = np.bincount(rows.targets_N, minlength=len(examples.label_names)) if examples.label_names else ()
    return Split(
        num_examples=len(rows.ids),
        digest=rows_digest(rows.triples),
        class_counts=tuple(int(count) for count in counts),
        shards=writer.write(rows, num_bytes=num_bytes, description=f"writing {name}"),
    )


def _statistics(inspection: Inspection, train: Rows) -> ChannelStatistics | None:
    """Of the train split alone: what a model may know; texts have none."""
    inspected = inspection.take(train.examples_N)
    if inspected.arrays:
        return array_statistics(list(inspected.arrays.values()))
    return channel_statistics(inspected, count_channels(inspection)) if inspected.shapes_N3.any() else None


def _publish(folder: Path, manifest: DatasetManifest, parent: DatasetManifest | None) -> DatasetManifest:
    """Makes `manifest` the current version, in one rename; the parent comes back where nothing but the time differs."""
    if parent is not None:
        same = parent.version == manifest.version
        manifest = manifest.model_copy(update={"parent": parent.parent if same else parent.version})
        if same and manifest == parent.model_copy(update={"created_at": manifest.created_at}):
            return parent
    write_record(folder / VERSIONS_FOLDER / f"{manifest.version}.json", manifest)
    write_record(folder / MANIFEST_FILE, manifest)
    # What killed predecessors left behind; nobody else writes here while the lock is held.
    for temporary in folder.glob("**/.*.tmp"):
        temporary.unlink()
    return manifest
