"""Plots of predicted quantities against the true ones. N examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopline.core.records import LevelBand
from loopline.plots.drawing import BLUE, INK, QUIET, VERMILLION, drawing, evenly

# More points than this are no darker on paper, and every one costs a mark.
_MOST_POINTS = 5000


def predicted_true_png(
    targets_N: NDArray[Any], values_N: NDArray[Any], *, unit: str, levels: Sequence[LevelBand] = ()
) -> bytes:
    """Predicted against true values with the diagonal of perfect predictions.

    Where the targets are a few levels, the median of each level's predictions and their middle 90% stand beside it.
    """
    shown = evenly(len(values_N), _MOST_POINTS)
    both = np.concatenate([targets_N, values_N]).astype(np.float64)
    margin = 0.04 * (float(np.ptp(both)) or 1.0)
    limits = float(both.min()) - margin, float(both.max()) + margin
    # Points of one level would lie on each other: they are spread sideways, the same way each time.
    reach = 0.4 * margin if levels else 0.0
    x_N = targets_N + np.random.default_rng(0).uniform(-reach, reach, len(values_N))
    with drawing(4.9, 4.9) as canvas:
        axes = canvas.figure.add_subplot()
        axes.plot(limits, limits, color=QUIET, linewidth=1, linestyle=(0, (4, 3)), label="as it should be")
        axes.scatter(x_N[shown], values_N[shown], s=13, c=BLUE, alpha=_alpha(len(shown)), linewidths=0)
        if levels:
            x, median = [band.level for band in levels], np.array([band.median for band in levels])
            ends = np.array([[band.median - band.low, band.high - band.median] for band in levels]).T
            axes.errorbar(
                x, median, yerr=np.maximum(ends, 0), fmt="D", color=VERMILLION, markersize=5, capsize=5, linewidth=1.6,
                label="median and middle 90%",
            )  # fmt: skip
            axes.set_xticks(x)
        axes.set(xlabel=_with_unit("true", unit), ylabel=_with_unit("predicted", unit), xlim=limits, ylim=limits)
        axes.set_aspect("equal")
        axes.grid()
        axes.legend(loc="upper left")
        return canvas.png()


def residuals_png(targets_N: NDArray[Any], values_N: NDArray[Any], *, unit: str) -> bytes:
    """Predicted minus true, over the predicted value and as a histogram."""
    errors_N = np.asarray(values_N, dtype=np.float64) - targets_N
    shown = evenly(len(values_N), _MOST_POINTS)
    with drawing(5.6, 3.4) as canvas:
        axes, beside = canvas.figure.subplots(1, 2, sharey=True, width_ratios=(4, 1))
        axes.scatter(values_N[shown], errors_N[shown], s=13, c=BLUE, alpha=_alpha(len(shown)), linewidths=0)
        axes.axhline(0, color=INK, linewidth=1)
        axes.set(xlabel=_with_unit("predicted", unit), ylabel=_with_unit("predicted minus true", unit))
        axes.grid(axis="y")
        num_bins = int(np.clip(len(errors_N) // 4, 8, 30))
        beside.hist(errors_N, bins=num_bins, orientation="horizontal", color=BLUE, alpha=0.85)
        beside.axhline(0, color=INK, linewidth=1)
        beside.set_xlabel("examples")
        beside.tick_params(axis="y", length=0)
        return canvas.png()


def _alpha(num_points: int) -> float:
    return float(np.clip(300 / max(num_points, 1), 0.15, 0.75))


def _with_unit(words: str, unit: str) -> str:
    return f"{words}, {unit}" if unit else words
