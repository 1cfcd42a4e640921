"""Embeddings laid out in the plane, coloured by what is true of the examples. N points, K classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from loopline.plots.drawing import INK, drawing

# Beyond this many classes names would cover the points.
_MOST_NAMES = 30


def class_map_png(points_N2: NDArray[Any], labels_N: NDArray[Any], label_names: Sequence[str]) -> bytes:
    """Points coloured by their true class, whose name stands where most of its points are (up to 30 classes)."""
    num_classes = len(label_names)
    colours = matplotlib.colormaps["tab10" if num_classes <= 10 else "tab20" if num_classes <= 20 else "turbo"]
    with drawing(5.4, 5.0) as canvas:
        axes = canvas.figure.add_subplot()
        # The first two maps are lists of colours, taken by number; the last is a scale from 0 to 1.
        places_N = labels_N / (num_classes - 1) if num_classes > 20 else labels_N
        axes.scatter(points_N2[:, 0], points_N2[:, 1], c=colours(places_N), **_MARKS)
        for label in np.unique(labels_N) if num_classes <= _MOST_NAMES else ():
            x, y = _most_central(points_N2[labels_N == label])
            axes.text(
                x, y, label_names[label], ha="center", va="center", fontsize=8.5, weight="bold", color=INK,
                path_effects=[withStroke(linewidth=3, foreground="white")],
            )  # fmt: skip
        _bare(axes)
        return canvas.png()


def value_map_png(points_N2: NDArray[Any], values_N: NDArray[Any], *, label: str) -> bytes:
    """Points coloured by a number, with its scale."""
    with drawing(5.8, 5.0) as canvas:
        axes = canvas.figure.add_subplot()
        marks = axes.scatter(points_N2[:, 0], points_N2[:, 1], c=values_N, cmap="viridis", **_MARKS)
        bar = canvas.figure.colorbar(marks, ax=axes, fraction=0.04, pad=0.02, aspect=32, alpha=1)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
        bar.set_label(label)
        _bare(axes)
        return canvas.png()


_MARKS: Any = {"s": 12, "alpha": 0.75, "linewidths": 0}


def _most_central(points_M2: NDArray[Any]) -> NDArray[Any]:
    """The point that half of the others are nearest to: a middle that is never between two groups."""
    apart_MM = np.linalg.norm(points_M2[:, np.newaxis] - points_M2, axis=2)
    middle: NDArray[Any] = points_M2[np.median(apart_MM, axis=1).argmin()]
    return middle


def _bare(axes: Axes) -> None:
    # Neither axis of such a map has a unit or a direction.
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
