"""`loopline data`: get, simulate, snapshot, show, verify, diff, guard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from loopline.core.records import DatasetManifest, Split, Task
    from loopline.core.workspace import Workspace
    from loopline.data.options import Columns

# Ids printed per kind of difference; `--json` prints all.
_NUM_SHOWN_IDS = 20
_as_json = click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
_share = click.FloatRange(0, 1, max_open=True)


@click.group()
def data() -> None:
    """Datasets as snapshots: a manifest and a few large shards, addressed by content."""


@data.command()
@click.argument("name")
@_as_json
@click.pass_obj
def get(workspace: Workspace, *, name: str, as_json: bool) -> None:
    """Get a known dataset (fashion, nitrogen) and snapshot it; one that is there already is used as it is."""
    from loopline.data import get as get_dataset

    _print_manifest(get_dataset(name, workspace=workspace), as_json=as_json)


@data.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--plots", "num_plots", type=click.IntRange(1), default=200, show_default=True, help="How many plots.")
@click.option(
    "--fields", "num_fields", type=click.IntRange(1), default=20, show_default=True, help="In how many fields."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Equal seeds give equal files.")
@click.option(
    "--dtype",
    type=click.Choice(["uint16", "float32"]),
    default="uint16",
    show_default=True,
    help="Of the pixels: whole numbers as a camera writes them, or reflectance.",
)
@click.option("--multiband", is_flag=True, help="One file per plot instead of one per band.")
def simulate(
    *, folder: Path, num_plots: int, num_fields: int, seed: int, dtype: Literal["uint16", "float32"], multiband: bool
) -> None:
    """Write simulated four-band plots of maize at 0, 100, 200 and 300 kg of nitrogen per hectare into a new FOLDER."""
    from loopline.data import write_plots

    num_files = write_plots(folder, num_plots, num_fields=num_fields, seed=seed, dtype=dtype, multiband=multiband)
    click.echo(f"{num_plots:,} plots in {num_fields} fields: {num_files:,} files in '{folder}'.")
    options = r"--task regression --group-pattern 'field_\d+'"
    click.echo(f"next: loopline data snapshot plots:{folder} --name NAME {options}")


@data.command()
@click.argument("source")
@click.option("--name", required=True, help="The snapshot's name.")
@click.option(
    "--task",
    type=click.Choice(["classification", "regression", "translation"]),
    default="classification",
    show_default=True,
    help="What is to be learnt.",
)
@click.option("--licence", default="unknown", show_default=True, help="Licence of the data, kept in the manifest.")
@click.option("--confidential", is_flag=True, help="No sample leaves the snapshot: see the page Data.")
@click.option("--skip-broken", is_flag=True, help="Leave out files that cannot be used, listed in the manifest.")
@click.option(
    "--validation-share", type=_share, default=0.1, show_default=True, help="Part of train, if the source has none."
)
@click.option(
    "--test-share", type=_share, default=0.1, show_default=True, help="Part of train, if the source has none."
)
@click.option(
    "--column",
    "columns",
    metavar="ROLE=COLUMN",
    multiple=True,
    help="Column of a table for input, target, split, id or group; repeatable [input=path target=label].",
)
@click.option(
    "--group-pattern", metavar="REGEX", help=r"Finds an id's group, as in 'field_\d+'; a group stays in one split."
)
@_as_json
@click.pass_obj
def snapshot(
    workspace: Workspace,
    *,
    source: str,
    name: str,
    task: Task,
    licence: str,
    confidential: bool,
    skip_broken: bool,
    validation_share: float,
    test_share: float,
    columns: tuple[str, ...],
    group_pattern: str | None,
    as_json: bool,
) -> None:
    """Snapshot SOURCE: a folder of pictures, a .csv or .parquet file, plots:FOLDER (TIFF bands), hub:NAME."""
    from loopline.data import Options
    from loopline.data import snapshot as make_snapshot

    options = Options(
        licence=licence,
        confidential=confidential,
        skip_broken=skip_broken,
        validation_share=validation_share,
        test_share=test_share,
        columns=_columns(columns),
        group_pattern=group_pattern,
    )
    manifest = make_snapshot(source, name=name, task=task, options=options, workspace=workspace)
    _print_manifest(manifest, as_json=as_json)


@data.command()
@click.argument("reference", required=False)
@_as_json
@click.pass_obj
def show(workspace: Workspace, *, reference: str | None, as_json: bool) -> None:
    """Show the snapshot REFERENCE (name, name@version or a folder); without one, list all."""
    if reference is None:
        _print_list(workspace, as_json=as_json)
        return
    from loopline.data import show as show_snapshot

    _print_manifest(show_snapshot(reference, workspace=workspace), as_json=as_json)


@data.command()
@click.argument("reference")
@_as_json
@click.pass_obj
def verify(workspace: Workspace, *, reference: str, as_json: bool) -> None:
    """Read a snapshot whole and recompute every digest."""
    from loopline.cli.output import print_json
    from loopline.data import verify as verify_snapshot

    check = verify_snapshot(reference, workspace=workspace)
    if as_json:
        print_json(check)
        return
    click.echo(
        f"{check.name}@{check.version[:12]} is what was written: {check.num_examples:,} examples in "
        f"{check.num_shards} shards, {check.num_bytes / 1e6:,.1f} MB."
    )


@data.command()
@click.argument("before")
@click.argument("after")
@click.option(
    "--report", "folder", type=click.Path(path_type=Path), help="Write diff.md, and pictures of what changed, there."
)
@_as_json
@click.pass_obj
def diff(workspace: Workspace, *, before: str, after: str, folder: Path | None, as_json: bool) -> None:
    """Show what was added, removed, changed and relabelled from snapshot BEFORE to AFTER."""
    from loopline.cli.output import print_json, print_table
    from loopline.data import diff as diff_snapshots
    from loopline.data.changes import write_changes

    if folder is None:
        difference = diff_snapshots(before, after, workspace=workspace)
    else:
        difference = write_changes(before, after, folder, workspace=workspace)
    if as_json:
        print_json(difference)
        return
    for kind, labels in (("added", difference.labels_added), ("removed", difference.labels_removed)):
        if labels:
            click.echo(f"labels {kind}: {', '.join(labels)}")
    if not difference.splits:
        click.echo("every example is the same.")
        return
    rows = []
    for split, changes in difference.splits.items():
        for kind in type(changes).model_fields:
            ids: tuple[str, ...] = getattr(changes, kind)
            if ids:
                more = " …" if len(ids) > _NUM_SHOWN_IDS else ""
                rows.append((split, kind, len(ids), ", ".join(ids[:_NUM_SHOWN_IDS]) + more))
    print_table(("split", "change", "examples", "ids"), rows)


@data.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.pass_obj
def guard(workspace: Workspace, *, files: tuple[Path, ...]) -> None:
    """Refuse FILES that hold samples of confidential snapshots; without any, all that git tracks or has staged."""
    from loopline.data import guard as search

    num_files = search(files or None, workspace=workspace)
    click.echo(f"{num_files:,} files searched: none holds a sample of a confidential snapshot.")


def _columns(given: tuple[str, ...]) -> Columns:
    from dataclasses import fields

    from loopline.core.errors import ConfigError, UnknownName
    from loopline.data.options import Columns

    roles = [role.name for role in fields(Columns)]
    found: dict[str, str] = {}
    for text in given:
        role, equals, column = text.partition("=")
        if not equals or not column:
            raise ConfigError(f"--column {text} given; expected ROLE=COLUMN, as in target=label.")
        if role not in roles:
            raise UnknownName("column role", role, roles)
        found[role] = column
    return Columns(**found)


def _print_manifest(manifest: DatasetManifest, *, as_json: bool) -> None:
    from loopline.cli.output import print_json, print_table

    if as_json:
        print_json(manifest)
        return
    shape = "×".join(map(str, manifest.input_shape)) if manifest.input_shape else "various sizes"
    click.echo(f"{manifest.name}@{manifest.version[:12]}  {manifest.task}, {manifest.input_kind}, {shape}")
    click.echo(f"source   {manifest.source}")
    click.echo(f"licence  {manifest.licence}{'  CONFIDENTIAL' if manifest.confidential else ''}")
    if manifest.parent:
        click.echo(f"parent   {manifest.parent[:12]}")
    if manifest.statistics:
        mean = ", ".join(f"{value:.4f}" for value in manifest.statistics.mean)
        std = ", ".join(f"{value:.4f}" for value in manifest.statistics.std)
        what, scale = ("pixels", ", full scale 1") if manifest.input_kind == "image" else ("values", "")
        click.echo(f"{what}   mean {mean}  std {std}  (train, per channel{scale})")
    splits = _in_order(manifest)
    totals = [
        (name, split.num_examples, len(split.shards), f"{sum(shard.num_bytes for shard in split.shards) / 1e6:.1f}")
        for name, split in splits.items()
    ]
    print_table(("split", "examples", "shards", "MB"), totals)
    if manifest.label_names:
        counts = [
            (label, *(split.class_counts[index] for split in splits.values()))
            for index, label in enumerate(manifest.label_names)
        ]
        print_table(("label", *splits), counts)
    if manifest.skipped:
        print_table(("skipped", "reason"), [(file.path, file.reason) for file in manifest.skipped])
    if manifest.duplicates:
        click.echo(f"{len(manifest.duplicates)} inputs stand in more than one split:")
        print_table(("digest", "ids"), [(same.digest[:12], ", ".join(same.ids)) for same in manifest.duplicates])


def _in_order(manifest: DatasetManifest) -> dict[str, Split]:
    """The splits with train first; JSON keeps its keys in the order of the alphabet."""
    from loopline.data.splits import SPLITS

    return {name: manifest.splits[name] for name in SPLITS if name in manifest.splits}


def _print_list(workspace: Workspace, *, as_json: bool) -> None:
    from loopline.cli.output import print_json, print_table
    from loopline.snapshots import list_snapshots

    manifests = list_snapshots(workspace)
    if as_json:
        print_json(manifests)
        return
    rows = [
        (
            manifest.name,
            manifest.version[:12],
            manifest.task,
            ", ".join(f"{name} {split.num_examples}" for name, split in _in_order(manifest).items()),
            f"{manifest.created_at:%Y-%m-%d %H:%M} UTC",
        )
        for manifest in manifests
    ]
    print_table(("name", "version", "task", "examples", "made"), rows)
