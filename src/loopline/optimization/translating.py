"""Recipe `ctranslate2-int8`: a translator whose weights are whole numbers of eight bits, one scale per row."""

from __future__ import annotations

from pathlib import Path

from loopline.optimization.workbench import Workbench


def requantize(bench: Workbench, folder: Path) -> Path:
    """Writes the translator as a bundle into `folder`; its int8 graph is the parent's own where that has one.

    Raises `StateError` where the parent has none and its run is not here to make one of.
    """
    return bench.requantize(folder)
