"""Datasets that Loopline can get by itself, by name."""

from __future__ import annotations

from dataclasses import dataclass

from loopline.core.errors import UnknownName
from loopline.core.records import DatasetManifest, Task
from loopline.core.tables import load
from loopline.core.workspace import Workspace
from loopline.data.options import Options
from loopline.data.writer import write_snapshot
from loopline.snapshots import open_snapshot


@dataclass(frozen=True)
class Known:
    """A dataset: the function that lists it (as an import string), what is to be learnt, and how it is snapshotted."""

    lists: str
    options: Options
    task: Task = "classification"


CATALOGUE = {
    "animals": Known("loopline.data.sources.kaggle:list_animals", Options(licence="see Kaggle")),
    # 5,500 of 60,000, in expectation.
    "fashion": Known(
        "loopline.data.sources.fashion:list_fashion", Options(licence="MIT", validation_share=5500 / 60_000)
    ),
    # Published without a licence: for research.
    "food101": Known("loopline.data.sources.food101:list_food101", Options(licence="research only")),
    "fruits": Known("loopline.data.sources.kaggle:list_fruits", Options(licence="CC-BY-SA-4.0")),
    # Four fields of 20 each, and twelve to train on.
    "nitrogen": Known(
        "loopline.data.simulation.plots:list_nitrogen",
        Options(licence="CC0-1.0", validation_share=0.2, test_share=0.2),
        task="regression",
    ),
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
    known = CATALOGUE[name]
    return write_snapshot(load(known.lists)(), name=name, task=known.task, options=known.options, workspace=workspace)
