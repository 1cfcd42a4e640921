"""Folders of pictures from Kaggle, by `kagglehub`, which keeps them in a cache of its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from loopline.core.errors import InputError, missing_extra
from loopline.core.records import Task
from loopline.data.listing import Listing
from loopline.data.options import Columns
from loopline.data.sources.folder import list_folder

ANIMALS = "antobenedetti/animals"
FRUITS = "moltean/fruits#fruits-360_100x100/fruits-360"


def list_animals() -> Listing:
    """Cats, dogs, elephants, horses and lions."""
    return list_kaggle(ANIMALS, task="classification", columns=Columns())


def list_fruits() -> Listing:
    """Fruits-360: fruits and vegetables on white, turned around their axis, 100×100 (Mureşan and Oltean, 2018)."""
    return list_kaggle(FRUITS, task="classification", columns=Columns())


def list_kaggle(source: str, *, task: Task, columns: Columns) -> Listing:
    """Gets a dataset `OWNER/NAME`, or `OWNER/NAME#FOLDER` for a folder in it, and lists it as a folder of pictures.

    A folder that holds nothing but one folder is passed through. Raises `InputError` where it cannot be had.
    """
    handle, _, inner = source.partition("#")
    folder = _download(handle) / inner
    if not folder.is_dir():
        raise InputError(f"Kaggle dataset '{handle}' has no folder '{inner}'.")
    while [path.is_dir() for path in folder.iterdir()] == [True]:
        folder = next(folder.iterdir())
    listing = list_folder(str(folder), task=task, columns=columns)
    return dataclasses.replace(listing, source=f"Kaggle dataset '{source}' (https://www.kaggle.com/datasets/{handle})")


def _download(handle: str) -> Path:
    try:
        import kagglehub
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from error
    try:
        return Path(kagglehub.dataset_download(handle))
    # A wrong handle, no network, no such dataset; the library has no common class for them.
    except (OSError, ValueError, kagglehub.exceptions.DataCorruptionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"Kaggle dataset '{handle}' cannot be had: {reason}",
            next_command="connect to the network, or: loopline data snapshot FOLDER --name NAME",
        ) from error
