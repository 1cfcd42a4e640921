"""Small folders of real pictures, and a snapshot of the handwritten digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loopline.core.records import DatasetManifest
from loopline.core.workspace import Workspace
from loopline.data import snapshot

MakePicture = Callable[..., Path]


@pytest.fixture
def make_picture() -> MakePicture:
    """Writes a picture of random pixels, the same for the same seed; the suffix chooses the format."""

    def make(path: Path, *, seed: int = 0, mode: str = "RGB", size: tuple[int, int] = (8, 6)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        channels = (3,) if mode == "RGB" else ()
        pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], *channels), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return make


@pytest.fixture
def pictures(tmp_path: Path, make_picture: MakePicture) -> Path:
    """A folder `pets` with 20 cats and 20 dogs, 8×6 pixels, in colour, as PNG."""
    for label, first in (("cat", 0), ("dog", 100)):
        for index in range(20):
            make_picture(tmp_path / "pets" / label / f"{index:02d}.png", seed=first + index)
    return tmp_path / "pets"


@pytest.fixture
def digits(digits_folder: Path, workspace: Workspace) -> DatasetManifest:
    """The snapshot `digits` of the 400 handwritten digits."""
    return snapshot(digits_folder, name="digits", workspace=workspace)
