"""Plots of labels and probabilities. K classes, B bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from loopline.core.records import CalibrationBin
from loopline.plots.drawing import BLUE, INK, QUIET, SERIES, VERMILLION, drawing

# Above this many classes a bar per class is no longer read: the largest differences are shown.
_MAX_BARS = 24


def confusion_png(confusion_KK: NDArray[Any], label_names: Sequence[str]) -> bytes:
    """The confusion matrix: colour is the share of the true label's row, cells show count and share up to 20 classes.

    The colour scale is bent so that a confusion of two percent is seen beside a diagonal of ninety.
    """
    confusion_KK = np.asarray(confusion_KK, dtype=np.float64)
    num_classes = len(label_names)
    share_KK = confusion_KK / np.maximum(confusion_KK.sum(axis=1, keepdims=True), 1)
    cell_in = 0.44 if num_classes <= 20 else max(8 / num_classes, 0.115)
    side_in = max(cell_in * num_classes, 2.6)
    label_in = 0.075 * max(len(name) for name in label_names) + 0.5
    font_size = float(np.clip(cell_in * 72 * 0.62, 5.5, 8.5))
    with drawing(side_in + label_in + 0.9, side_in + label_in * 0.75 + 0.4) as canvas:
        axes = canvas.figure.add_subplot()
        image = axes.imshow(share_KK, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
        ticks = np.arange(num_classes)
        axes.set_xticks(ticks, label_names, rotation=90 if num_classes > 20 else 40, fontsize=font_size)
        if num_classes <= 20:
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
        axes.set_yticks(ticks, label_names, fontsize=font_size)
        axes.set(xlabel="predicted", ylabel="true")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xticks(ticks[1:] - 0.5, minor=True)
        axes.set_yticks(ticks[1:] - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5 if num_classes <= 20 else 0.4)
        axes.tick_params(which="minor", length=0)
        if num_classes <= 20:
            _write_cells(axes, confusion_KK, share_KK, font_size=7)
        bar = canvas.figure.colorbar(image, ax=axes, fraction=0.03, pad=0.015, aspect=32, ticks=[0, 0.02, 0.1, 0.3, 1])
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
        bar.set_label("share of the true label")
        return canvas.png()


def reliability_png(bins: Sequence[CalibrationBin]) -> bytes:
    """The reliability diagram: accuracy per bin of confidence against the diagonal, and below it how many are there."""
    filled = [item for item in bins if item.num_examples]
    left = np.array([item.low for item in filled])
    width = np.array([item.high - item.low for item in filled])
    accuracy = np.array([item.accuracy for item in filled])
    confidence = np.array([item.confidence for item in filled])
    with drawing(3.9, 4.7) as canvas:
        upper, lower = canvas.figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
        bar = {"align": "edge", "edgecolor": "white", "linewidth": 1.2}
        upper.bar(left, accuracy, width=width, color=BLUE, alpha=0.85, label="accuracy", **bar)
        gap = confidence - accuracy
        upper.bar(
            left, gap, bottom=accuracy, width=width, color="none", hatch="////", align="edge",
            edgecolor=VERMILLION, linewidth=0.9, label="gap to the mean confidence",
        )  # fmt: skip
        upper.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (4, 3)), label="perfect calibration")
        upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
        upper.legend(loc="upper left")
        lower.bar(left, [item.num_examples for item in filled], width=width, color=QUIET, **bar)
        lower.set(xlabel="confidence", ylabel="examples", yscale="log")
        for axes, percent in ((upper, True), (lower, False)):
            axes.grid(axis="y")
            if percent:
                axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        lower.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        lower.tick_params(axis="y", which="minor", length=0)
        lower.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        return canvas.png()


def class_counts_png(counts: Mapping[str, Sequence[int]], label_names: Sequence[str]) -> bytes:
    """Examples per class: split name to counts (K,), as horizontal bars."""
    shares = {split: np.asarray(values, dtype=np.float64) for split, values in counts.items()}
    return _class_bars_png(shares, label_names, xlabel="examples", percent=False)


def label_shares_png(reference_K: NDArray[Any], current_K: NDArray[Any], label_names: Sequence[str]) -> bytes:
    """Shares of the predicted labels in reference and window; above 24 classes those that differ most."""
    shares = {"reference": np.asarray(reference_K), "current": np.asarray(current_K)}
    names = np.asarray(label_names)
    if len(names) > _MAX_BARS:
        largest = np.sort(np.argsort(-np.abs(shares["reference"] - shares["current"]), kind="stable")[:_MAX_BARS])
        shares, names = {split: values[largest] for split, values in shares.items()}, names[largest]
    return _class_bars_png(shares, list(names), xlabel="share of the predictions", percent=True)


def _class_bars_png(
    values: Mapping[str, NDArray[Any]], label_names: Sequence[str], *, xlabel: str, percent: bool
) -> bytes:
    num_series = len(values)
    with drawing(5.2, (0.13 * num_series + 0.12) * len(label_names) + 1.1) as canvas:
        axes = canvas.figure.add_subplot()
        rows, height = np.arange(len(label_names)), 0.78 / num_series
        for index, (name, values_K) in enumerate(values.items()):
            offset = (index - (num_series - 1) / 2) * height
            axes.barh(rows + offset, values_K, height=height * 0.9, color=SERIES[index % len(SERIES)], label=name)
        axes.set_yticks(rows, label_names)
        axes.set_ylim(len(label_names) - 0.4, -0.6)
        axes.set_xlabel(xlabel)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        # Steps of 2.5 would be rounded to uneven labels.
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(
            PercentFormatter(1, decimals=0) if percent else FuncFormatter(lambda value, _: f"{value:,.0f}")
        )
        canvas.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=num_series)
        return canvas.png()


def _write_cells(axes: Axes, confusion_KK: NDArray[Any], share_KK: NDArray[Any], *, font_size: float) -> None:
    for row, column in np.argwhere(confusion_KK > 0):
        share = share_KK[row, column]
        count = f"{confusion_KK[row, column]:.0f}"
        text = f"{count}\n{100 * share:.0f}%" if share > 0.005 else count
        colour = "white" if share > 0.3 else INK
        axes.text(column, row, text, ha="center", va="center", fontsize=font_size, color=colour, linespacing=1.15)
