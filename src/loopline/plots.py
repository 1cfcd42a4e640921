"""Layer 2: plots as PNG bytes, in one restrained style, legible to colour-blind readers and on paper.

Drawn with Matplotlib's object interface: no pyplot, no global figure, no setting that outlives a call. Pictures have
twice the pixels of the page they stand on (`page.Figure`). Colours are of Okabe and Ito's palette (Color Universal
Design, 2008). Shapes: K classes, B bins, R reference and C current examples.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from loopline.core.records import CalibrationBin, DriftTest

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#7B4FA3"
INK, QUIET, LINE = "#1c1f23", "#5b636d", "#d9dde2"
_SERIES = (BLUE, VERMILLION, GREEN, PURPLE)
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
# Above this many classes a bar per class is no longer read: the largest differences are shown.
_MAX_BARS = 24


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


def learning_curves_png(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> bytes:
    """Curves over steps: `split/metric` to (steps, values); one panel per metric, one line per split."""
    panels: dict[str, dict[str, tuple[Sequence[float], Sequence[float]]]] = {}
    for name, points in curves.items():
        split, _, metric = name.partition("/")
        panels.setdefault(metric or split, {})[split] = points
    splits = list(dict.fromkeys(split for lines in panels.values() for split in lines))
    with drawing(4.4 * max(len(panels), 1) + 0.4, 3.3) as canvas:
        axes_row = canvas.figure.subplots(1, max(len(panels), 1), squeeze=False)[0]
        for axes, (metric, lines) in zip(axes_row, panels.items(), strict=False):
            for split, (steps, values) in lines.items():
                # Few points (one per epoch) are marked, many (one per step) are a line.
                marker = "o" if len(steps) <= 40 else None
                colour = _SERIES[splits.index(split) % len(_SERIES)]
                axes.plot(steps, values, color=colour, linewidth=1.7, marker=marker, markersize=3.5, label=split)
            axes.set_title(metric)
            axes.set_xlabel("step")
            axes.grid(axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            axes.legend()
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
            shown = points[_evenly(len(points), 3000)]
            # The later sample is drawn over the earlier one: smaller and more transparent where there are many.
            alpha = float(np.clip(220 / max(len(shown), 1), 0.18, 0.75))
            axes.scatter(shown[:, 0], shown[:, 1], s=11, c=colour, alpha=alpha, linewidths=0, marker=marker)
            axes.scatter([], [], s=22, c=colour, marker=marker, label=f"{name} ({len(points):,})")
            for component, margin in ((0, above), (1, beside)):
                edges = np.linspace(both[:, component].min(), both[:, component].max(), 31)
                margin.hist(
                    points[:, component], bins=list(edges), density=True, histtype="stepfilled", linewidth=1.3,
                    facecolor=(*matplotlib.colors.to_rgb(colour), 0.16), edgecolor=colour,
                    orientation="vertical" if component == 0 else "horizontal",
                )  # fmt: skip
        for margin in (above, beside):
            margin.set_axis_off()
        axes.grid()
        axes.set(xlabel="principal component 1", ylabel="principal component 2")
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


def _class_bars_png(
    values: Mapping[str, NDArray[Any]], label_names: Sequence[str], *, xlabel: str, percent: bool
) -> bytes:
    num_series = len(values)
    with drawing(5.2, (0.13 * num_series + 0.12) * len(label_names) + 1.1) as canvas:
        axes = canvas.figure.add_subplot()
        rows, height = np.arange(len(label_names)), 0.78 / num_series
        for index, (name, values_K) in enumerate(values.items()):
            offset = (index - (num_series - 1) / 2) * height
            axes.barh(rows + offset, values_K, height=height * 0.9, color=_SERIES[index % len(_SERIES)], label=name)
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


def _evenly(num_points: int, most: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, num_points - 1, min(num_points, most)).astype(np.int64))
