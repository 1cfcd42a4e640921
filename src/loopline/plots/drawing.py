"""The style of the house, and a figure that is drawn in it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#7B4FA3"
INK, QUIET, LINE = "#1c1f23", "#5b636d", "#d9dde2"
SERIES = (BLUE, VERMILLION, GREEN, PURPLE)
_DPI = 192
# Any: newer stubs of Matplotlib want one literal type of all its settings, older ones a dictionary.
_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": LINE,
    "axes.grid": False,
    "axes.labelcolor": QUIET,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "text.color": INK,
    "xtick.color": LINE,
    "xtick.labelcolor": QUIET,
    "xtick.labelsize": 8.5,
    "ytick.color": LINE,
    "ytick.labelcolor": QUIET,
    "ytick.labelsize": 8.5,
}


class Canvas:
    """A figure while it is drawn, and its bytes afterwards."""

    def __init__(self, width_in: float, height_in: float) -> None:
        self.figure = Figure(figsize=(width_in, height_in), dpi=_DPI, facecolor="white", layout="constrained")
        FigureCanvasAgg(self.figure)

    def png(self) -> bytes:
        """The picture as it is now."""
        buffer = io.BytesIO()
        # `tight`: an axes of fixed aspect leaves the layout's estimate, and its labels would be cut off. Without the
        # version of Matplotlib in it, equal plots are equal bytes.
        self.figure.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.08, metadata={"Software": None})
        return buffer.getvalue()


@contextmanager
def drawing(width_in: float, height_in: float) -> Iterator[Canvas]:
    """A figure of that size, in inches, in the style of the house."""
    with matplotlib.rc_context(_STYLE):
        yield Canvas(width_in, height_in)


def evenly(num_points: int, most: int) -> NDArray[np.int64]:
    """The indices of at most `most` of so many points, from the first to the last."""
    return np.unique(np.linspace(0, num_points - 1, min(num_points, most)).astype(np.int64))
