"""Plots as PNG bytes: one restrained style, colours that colour-blind readers can tell apart, no global state.

Every function draws on a `Figure` of its own, so that threads and other users of Matplotlib are left alone. Colours are
those of Okabe and Ito, Color Universal Design, 2008. N points, K classes, H height, W width, C channels.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from loopline.core.records import CalibrationBin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6b7280"
SERIES = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9")
_DPI = 144
# Above this many classes numbers in the cells cannot be read.
_MAX_NUMBERED = 20
_MAX_NAMED = 60


def confusion_plot(counts_KK: NDArray[Any], label_names: Sequence[str]) -> bytes:
    """A confusion matrix: row true, column predicted, shade the share of the row, number the count."""
    num_classes = len(label_names)
    share_KK = counts_KK / np.maximum(counts_KK.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(1.8 + 0.52 * num_classes, 3.6, 12))
    figure = _figure(side + 0.8, side)
    axes = figure.add_subplot()
    image = axes.imshow(share_KK, cmap="Blues", vmin=0, vmax=1)
    if num_classes <= _MAX_NUMBERED:
        for row, column in np.ndindex(num_classes, num_classes):
            if counts_KK[row, column]:
                colour = "white" if share_KK[row, column] > 0.55 else "#1b1f24"
                axes.text(
                    column,
                    row,
                    f"{int(counts_KK[row, column]):,}",
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color=colour,
                )
    named = num_classes <= _MAX_NAMED
    positions = range(num_classes) if named else []
    axes.set_xticks(positions, label_names if named else [], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(positions, label_names if named else [])
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.03)
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    return _png(figure)


def calibration_plot(bins: Sequence[CalibrationBin]) -> bytes:
    """A reliability diagram: confidence against accuracy per bin, with the number of predictions below it."""
    filled = [bin_ for bin_ in bins if bin_.num_examples]
    figure = _figure(5.6, 5.0)
    top, bottom = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3.2, 1]})
    top.plot([0, 1], [0, 1], color=GREY, linestyle=(0, (4, 4)), linewidth=1, label="perfect")
    top.plot(
        [b.confidence for b in filled],
        [b.accuracy for b in filled],
        color=BLUE,
        marker="o",
        markersize=5,
        label="model",
    )
    top.set_ylabel("accuracy")
    top.set_ylim(0, 1.02)
    top.legend(frameon=False, loc="upper left")
    bottom.bar([(b.low + b.high) / 2 for b in bins], [b.num_examples for b in bins], width=0.9 / len(bins), color=BLUE)
    bottom.set_xlabel("confidence")
    bottom.set_ylabel("predictions")
    bottom.set_xlim(0, 1)
    for axes in (top, bottom):
        _soften(axes)
    return _png(figure)


def curves_plot(series: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, x_label: str, y_label: str) -> bytes:
    """Lines over a common axis, each with its name at its end in the legend; (x values, y values) per name."""
    figure = _figure(6.4, 3.6)
    axes = figure.add_subplot()
    for index, (name, (xs, ys)) in enumerate(series.items()):
        few = len(xs) <= 30
        axes.plot(
            xs,
            ys,
            color=SERIES[index % len(SERIES)],
            linewidth=1.8,
            marker="o" if few else None,
            markersize=4,
            label=name,
        )
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.legend(frameon=False)
    _soften(axes)
    return _png(figure)


def shares_plot(shares: Mapping[str, Sequence[float]], label_names: Sequence[str], *, x_label: str) -> bytes:
    """Horizontal bars per label, one per named group side by side, in per cent."""
    num_labels, num_groups = len(label_names), len(shares)
    figure = _figure(6.4, float(np.clip(1.3 + 0.36 * num_labels, 2.4, 14)))
    axes = figure.add_subplot()
    height = 0.8 / num_groups
    for index, (name, values) in enumerate(shares.items()):
        positions = np.arange(num_labels) + (index - (num_groups - 1) / 2) * height
        axes.barh(positions, [value * 100 for value in values], height=height * 0.92, color=SERIES[index], label=name)
    axes.set_yticks(range(num_labels), label_names)
    axes.invert_yaxis()
    axes.set_xlabel(x_label)
    if num_groups > 1:
        axes.legend(frameon=False)
    _soften(axes, grid="x")
    return _png(figure)


def scatter_plot(groups: Mapping[str, NDArray[Any]], *, x_label: str, y_label: str) -> bytes:
    """Points (N, 2) of named groups; the first lies below the others and is paler."""
    figure = _figure(5.6, 4.4)
    axes = figure.add_subplot()
    for index, (name, points_N2) in enumerate(groups.items()):
        colour, alpha = (GREY, 0.35) if index == 0 else (SERIES[index], 0.6)
        axes.scatter(points_N2[:, 0], points_N2[:, 1], s=9, color=colour, alpha=alpha, linewidths=0, label=name)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.legend(frameon=False, markerscale=2)
    _soften(axes, grid="both")
    return _png(figure)


def evidence_plot(p_by_feature: Mapping[str, float], *, level: float) -> bytes:
    """How strongly each feature speaks against 'nothing changed': −log10 of its corrected p, with the alarm level."""
    names = list(p_by_feature)
    # Below the smallest double a p has no logarithm; nobody reads beyond 1e-16.
    strengths = [-np.log10(max(p, 1e-16)) for p in p_by_feature.values()]
    figure = _figure(6.4, float(np.clip(1.2 + 0.36 * len(names), 2.2, 14)))
    axes = figure.add_subplot()
    colours = [RED if p <= level else BLUE for p in p_by_feature.values()]
    axes.barh(range(len(names)), strengths, height=0.7, color=colours)
    axes.axvline(-np.log10(level), color=GREY, linestyle=(0, (4, 4)), linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("−log₁₀ of the corrected p (dashed: alarm)")
    axes.set_xlim(0, max(-np.log10(level) * 1.3, max(strengths) * 1.05))
    _soften(axes, grid="x")
    return _png(figure)


def picture_grid(images: Sequence[NDArray[np.uint8]], titles: Sequence[str], *, num_columns: int = 8) -> bytes:
    """Pictures x_HWC with a title each, in rows."""
    num_rows = -(-len(images) // num_columns)
    figure = _figure(1.15 * num_columns, 1.45 * num_rows)
    cells = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes in cells:
        axes.axis("off")
    for axes, image, title in zip(cells, images, titles, strict=False):
        grey = image.shape[2] == 1
        axes.imshow(image[:, :, 0] if grey else image, cmap="gray" if grey else None, vmin=0, vmax=255)
        axes.set_title(title, fontsize=7, pad=3)
    return _png(figure)


def _figure(width: float, height: float) -> Figure:
    """A figure of `width` × `height` inches with a canvas of its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _soften(axes: Axes, *, grid: str = "y") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#c3c9d1")
    axes.tick_params(colors="#4b5563", length=3, labelsize=8.5)
    axes.grid(axis=grid, color="#e5e8ec", linewidth=0.8)  # type: ignore[arg-type] # one of Matplotlib's three words
    axes.set_axisbelow(True)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without the version of Matplotlib in it, equal plots are equal bytes.
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()
