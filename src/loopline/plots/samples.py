"""Plots of two samples: reference and window. R examples of the reference, C current ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from loopline.core.records import DriftTest
from loopline.plots.drawing import BLUE, INK, VERMILLION, drawing, evenly


def embedding_png(reference_R2: NDArray[Any], current_C2: NDArray[Any]) -> bytes:
    """Reference and current examples on the first two principal components, with the marginal distributions."""
    with drawing(5.2, 4.9) as canvas:
        grid = canvas.figure.add_gridspec(2, 2, width_ratios=(5, 1), height_ratios=(1, 5))
        axes = canvas.figure.add_subplot(grid[1, 0])
        above = canvas.figure.add_subplot(grid[0, 0], sharex=axes)
        beside = canvas.figure.add_subplot(grid[1, 1], sharey=axes)
        both = np.concatenate([reference_R2, current_C2])
        samples = (("reference", reference_R2, BLUE, "o"), ("current", current_C2, VERMILLION, "^"))
        for name, points, colour, marker in samples:
            shown = points[evenly(len(points), 3000)]
            # The later sample is drawn over the earlier one: smaller and more transparent where there are many.
            alpha = float(np.clip(220 / max(len(shown), 1), 0.18, 0.75))
            axes.scatter(shown[:, 0], shown[:, 1], s=11, c=colour, alpha=alpha, linewidths=0, marker=marker)
            axes.scatter([], [], s=22, c=colour, marker=marker, label=f"{name} ({len(points):,})")
            for component, margin in ((0, above), (1, beside)):
                edges = np.linspace(both[:, component].min(), both[:, component].max(), 31)
                margin.hist(
                    points[:, component], bins=list(edges), density=True, histtype="stepfilled", linewidth=1.3,
                    facecolor=(*to_rgb(colour), 0.16), edgecolor=colour,
                    orientation="vertical" if component == 0 else "horizontal",
                )  # fmt: skip
        for margin in (above, beside):
            margin.set_axis_off()
        axes.grid()
        axes.set(xlabel="principal component 1", ylabel="principal component 2")
        canvas.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)
        return canvas.png()


def distributions_png(reference_R: NDArray[Any], current_C: NDArray[Any], *, xlabel: str) -> bytes:
    """One feature in reference and window: the share of the examples in each of 30 equal bins."""
    both = np.concatenate([reference_R, current_C]).astype(np.float64)
    low, high = float(both.min()), float(both.max())
    edges = np.linspace(low, high, 31) if high > low else np.array([low - 0.5, low + 0.5])
    with drawing(5.2, 2.9) as canvas:
        axes = canvas.figure.add_subplot()
        for name, values, colour in (("reference", reference_R, BLUE), ("current", current_C, VERMILLION)):
            axes.hist(
                values, bins=list(edges), weights=np.full(len(values), 1 / len(values)), histtype="stepfilled",
                linewidth=1.3, facecolor=(*to_rgb(colour), 0.16), edgecolor=colour, label=f"{name} ({len(values):,})",
            )  # fmt: skip
        axes.set(xlabel=xlabel, ylabel="share")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.grid(axis="y")
        canvas.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)
        return canvas.png()


def drift_tests_png(tests: Sequence[DriftTest], false_alarm_rate: float) -> bytes:
    """Corrected p of every test on a logarithmic scale, the line at which a test speaks, and its effect."""
    smallest = min(1e-4, false_alarm_rate / 10, *(max(test.corrected_p, 1e-12) for test in tests)) / 2
    evidence = np.array([np.log10(max(test.corrected_p, smallest)) for test in tests])
    rows = np.arange(len(tests))
    with drawing(5.2, 0.32 * len(tests) + 1.0) as canvas:
        axes = canvas.figure.add_subplot()
        colours = [VERMILLION if test.drifted else BLUE for test in tests]
        axes.barh(rows, -evidence, height=0.6, color=colours)
        axes.axvline(-np.log10(false_alarm_rate), color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            f"alarm at {false_alarm_rate:g}", (-np.log10(false_alarm_rate), 1), xycoords=("data", "axes fraction"),
            xytext=(0, 4), textcoords="offset points", ha="center", va="bottom", fontsize=8.5, color=INK,
        )  # fmt: skip
        axes.set_yticks(rows, [test.feature for test in tests])
        axes.set_ylim(len(tests) - 0.35, -0.6)
        axes.set_xlim(0, -np.log10(smallest))
        decades = np.arange(0, int(-np.log10(smallest)) + 1, max(1, int(-np.log10(smallest)) // 6))
        axes.set_xticks(decades, ["1" if decade == 0 else f"$10^{{-{decade}}}$" for decade in decades])
        axes.set_xlabel("corrected p: the further right, the less like the reference")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        return canvas.png()
