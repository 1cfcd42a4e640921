"""Datasets that Loopline can get by itself, by name."""

from __future__ import annotations

from loopline.core.errors import UnknownName
from loopline.core.records import DatasetManifest
from loopline.core.tables import load
from loopline.core.workspace import Workspace
from loopline.data.options import Options
from loopline.data.writer import write_snapshot
from loopline.snapshots import open_snapshot

# Name to the function that lists it, its licence, and the share of train that becomes validation.
CATALOGUE = {
    # 5,500 of 60,000, in expectation.
    "fashion": ("loopline.data.sources.fashion:list_fashion", "MIT", 5500 / 60_000),
}


def get(name: str, *, workspace: Workspace | None = None) -> DatasetManifest:
    """Gets a dataset of the catalogue as a snapshot of the same name; one that is there already is used as it is.

    The manifest's `source` says where it came from. Raises `UnknownName` for a dataset that is not in the catalogue,
    `InputError` where it cannot be had, `IntegrityError` where it is not the published one.
    """
    workspace = workspace or Workspace.default()
    if name not in CATALOGUE:
        raise UnknownName(
            "dataset", name, CATALOGUE, next_command=f"loopline data snapshot FOLDER --name {name or 'NAME'}"
        )
    if (workspace.data / name / "manifest.json").exists():
        return open_snapshot(name, workspace).manifest
    target, licence, validation_share = CATALOGUE[name]
    options = Options(licence=licence, validation_share=validation_share)
    return write_snapshot(load(target)(), name=name, task="classification", options=options, workspace=workspace)
