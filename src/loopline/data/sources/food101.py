"""Food-101: 101,000 photographs of 101 dishes (Bossard, Guillaumin and Van Gool, 2014), from the official archive.

Got and checked by torchvision's loader, 5 GB; unpacked once and kept, for it is too much for memory.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

from loopline.core.errors import InputError, IntegrityError, missing_extra
from loopline.data.listing import Listing
from loopline.data.options import Columns
from loopline.data.sources.folder import list_folder

_SPLITS = ("train", "test")


def list_food101(*, root: Path | None = None) -> Listing:
    """Lists the photographs with the published split; `root` keeps the archive (default: the user's cache folder).

    Raises `InputError` where the archive cannot be had, `IntegrityError` where its lists name other photographs.
    """
    root = root or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "loopline" / "food101"
    folder = root / "food-101"
    if not (folder / "meta" / "test.json").is_file():
        _download(root)
    listing = list_folder(str(folder / "images"), task="classification", columns=Columns())
    split_of = {
        f"{picture}.jpg": split
        for split in _SPLITS
        for pictures in json.loads((folder / "meta" / f"{split}.json").read_text(encoding="utf-8")).values()
        for picture in pictures
    }
    if set(listing.ids) != set(split_of):
        raise IntegrityError(
            f"'{folder}' holds {len(listing.ids):,} photographs, its lists name {len(split_of):,} others.",
            next_command=f"remove '{folder}', then: loopline data get food101",
        )
    return dataclasses.replace(
        listing,
        splits=[split_of[place] for place in listing.ids],
        source="Food-101 (https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101)",
    )


def _download(root: Path) -> None:
    try:
        from loopline.networks.torchvision_guard import let_torchvision_import

        let_torchvision_import()
        from torchvision.datasets import Food101
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from error
    root.mkdir(parents=True, exist_ok=True)
    try:
        Food101(root, download=True)
    # RuntimeError: the archive is not the published one.
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"Food-101 cannot be had: {str(error).splitlines()[0]}",
            next_command="connect to the network, then: loopline data get food101; or: "
            "loopline data snapshot hub:ethz/food101 --name food101",
        ) from error
