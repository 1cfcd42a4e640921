"""The trials of a sweep: how it went on, which keys mattered, and where the good points lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.ticker import MaxNLocator

from loopline.core.records import Choice, Dimension, Sweep, Trial
from loopline.plots.drawing import BLUE, INK, LINE, QUIET, VERMILLION, Canvas, drawing

# Better is darker, on paper too.
_BETTER = LinearSegmentedColormap.from_list("better", ["#cfe3f3", "#4a9ad0", "#00446e"])
_SLICES_PER_ROW = 3


class _Scale(NamedTuple):
    """Where values of a key lie between 0 and 1, and what stands there."""

    dimension: Dimension
    ticks: tuple[float, ...]
    labels: tuple[str, ...]

    def place(self, text: str) -> float:
        return _place(self.dimension, text)


def history_png(sweep: Sweep) -> bytes:
    """The value of every trial in the order in which they began, and the best so far as a line."""
    completed = [trial for trial in sweep.trials if trial.status == "completed"]
    pruned = [trial for trial in sweep.trials if trial.status == "pruned" and trial.value is not None]
    with drawing(8.8, 3.1) as canvas:
        axes = canvas.figure.add_subplot()
        _dots(axes, completed, colour=BLUE, marker="o", label="completed")
        _dots(axes, pruned, colour=VERMILLION, marker="x", label="pruned, its best epoch")
        best = np.minimum if sweep.direction == "min" else np.maximum
        if completed:
            numbers = [*(trial.number for trial in completed), sweep.trials[-1].number]
            values = best.accumulate([_value(trial) for trial in completed])
            axes.step(numbers, [*values, values[-1]], where="post", color=INK, linewidth=1.2, label="best so far")
        axes.set(xlabel="trial", ylabel=sweep.metric)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        canvas.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
        return canvas.png()


def epochs_png(sweep: Sweep) -> bytes:
    """The metric of every trial epoch by epoch; pruned trials end where they were stopped."""
    best = sweep.best
    with drawing(8.8, 3.1) as canvas:
        axes = canvas.figure.add_subplot()
        for trial in sweep.trials:
            colour = VERMILLION if trial.status == "pruned" else BLUE
            width, alpha = (2.2, 1.0) if trial == best else (1.0, 0.55)
            epochs = range(1, len(trial.epochs) + 1)
            axes.plot(epochs, trial.epochs, color=colour, linewidth=width, alpha=alpha, marker="o", markersize=2.5)
        for colour, width, label in ((BLUE, 2.2, "best"), (BLUE, 1.0, "completed"), (VERMILLION, 1.0, "pruned")):
            axes.plot([], [], color=colour, linewidth=width, label=label)
        axes.set(xlabel="epoch", ylabel=sweep.metric)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        canvas.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
        return canvas.png()


def importance_png(sweep: Sweep) -> bytes:
    """How much of the metric's variation each key explains, the most important first."""
    rows = sorted(sweep.importance.items(), key=lambda row: -row[1])
    with drawing(5.2, 0.32 * len(rows) + 0.9) as canvas:
        axes = canvas.figure.add_subplot()
        places = np.arange(len(rows))
        axes.barh(places, [share for _, share in rows], height=0.6, color=BLUE)
        axes.set_yticks(places, [key for key, _ in rows])
        axes.set(ylim=(len(rows) - 0.4, -0.6), xlim=(0, 1), xlabel="share of the variation that the key explains")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        return canvas.png()


def parallel_png(sweep: Sweep) -> bytes:
    """Every trial with a value as a line through its parameters to that value; the better, the darker."""
    trials = _worst_first(sweep)
    scales = {key: _scale(dimension) for key, dimension in sweep.space.items()}
    values = [_value(trial) for trial in trials]
    norm = Normalize(min(values), max(values))
    low, high = norm.vmin or 0.0, norm.vmax or 0.0
    with drawing(max(2.2 * (len(scales) + 1), 5.2), 3.5) as canvas:
        axes = canvas.figure.add_subplot()
        for trial in trials:
            places = [scale.place(trial.params[key]) for key, scale in scales.items()]
            height = (_value(trial) - low) / (high - low) if high > low else 0.5
            colour = _colour(sweep, norm, trial)
            axes.plot([*places, height], color=colour, linewidth=1.5, alpha=0.9, solid_capstyle="round")
        for column, scale in enumerate(scales.values()):
            _write_scale(axes, column, scale)
        value_labels = tuple(f"{low + tick * (high - low):.4g}" for tick in (0, 0.5, 1))
        _write_scale(axes, len(scales), _Scale(Choice(values=("low", "high")), (0.0, 0.5, 1.0), value_labels))
        axes.set_xticks(range(len(scales) + 1), [*scales, sweep.metric])
        axes.set(ylim=(-0.05, 1.05), xlim=(-0.15, len(scales) + 0.35))
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        axes.tick_params(axis="x", length=0)
        return canvas.png()


def slices_png(sweep: Sweep) -> bytes:
    """The value of every trial against each of its parameters, one panel a key; the later, the darker."""
    trials = [trial for trial in sweep.trials if trial.value is not None]
    num_rows = math.ceil(len(sweep.space) / _SLICES_PER_ROW)
    num_columns = min(len(sweep.space), _SLICES_PER_ROW)
    with drawing(3.3 * num_columns + 0.9, 2.7 * num_rows) as canvas:
        panels = canvas.figure.subplots(num_rows, num_columns, squeeze=False, sharey=True).ravel()
        norm = Normalize(0, max(len(sweep.trials) - 1, 1))
        for axes, (key, dimension) in zip(panels, sweep.space.items(), strict=False):
            scale = _scale(dimension)
            for status, marker in (("completed", "o"), ("pruned", "x")):
                shown = [trial for trial in trials if trial.status == status]
                places = [scale.place(trial.params[key]) for trial in shown]
                colours = _BETTER(norm([trial.number for trial in shown]))
                axes.scatter(places, [_value(trial) for trial in shown], s=26, c=colours, marker=marker, linewidths=1.2)
            axes.set_xticks(scale.ticks, scale.labels)
            axes.set(xlim=(-0.08, 1.08), xlabel=key)
            axes.grid(axis="y")
        for axes in panels[len(sweep.space) :]:
            axes.set_axis_off()
        for axes in panels[::num_columns]:
            axes.set_ylabel(sweep.metric)
        _colour_bar(canvas, list(panels), norm)
        return canvas.png()


def _dots(axes: Axes, trials: Sequence[Trial], *, colour: str, marker: str, label: str) -> None:
    if trials:
        numbers = [trial.number for trial in trials]
        axes.scatter(numbers, [_value(trial) for trial in trials], s=24, c=colour, marker=marker, label=label)


def _colour_bar(canvas: Canvas, panels: list[Axes], norm: Normalize) -> None:
    bar = canvas.figure.colorbar(ScalarMappable(norm, _BETTER), ax=panels, fraction=0.03, pad=0.015, aspect=32)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    bar.ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    bar.set_label("trial")


def _worst_first(sweep: Sweep) -> list[Trial]:
    sign = 1 if sweep.direction == "max" else -1
    return sorted((trial for trial in sweep.trials if trial.value is not None), key=lambda trial: sign * _value(trial))


def _colour(sweep: Sweep, norm: Normalize, trial: Trial) -> tuple[float, float, float, float]:
    goodness = float(norm(_value(trial)))
    shade: tuple[float, float, float, float] = _BETTER(goodness if sweep.direction == "max" else 1 - goodness)
    return shade


def _value(trial: Trial) -> float:
    return 0.0 if trial.value is None else trial.value


def _place(dimension: Dimension, text: str) -> float:
    if isinstance(dimension, Choice):
        return dimension.values.index(text) / (len(dimension.values) - 1)
    ends, value = (dimension.low, dimension.high), float(text)
    if dimension.log:
        return math.log(value / ends[0]) / math.log(ends[1] / ends[0])
    return (value - ends[0]) / (ends[1] - ends[0])


def _scale(dimension: Dimension) -> _Scale:
    if isinstance(dimension, Choice):
        labels = dimension.values
    elif dimension.log:
        first, last = math.ceil(math.log10(dimension.low)), math.floor(math.log10(dimension.high))
        decades = [10.0**exponent for exponent in range(first, last + 1, max(1, (last - first) // 4))]
        labels = tuple(f"{value:g}" for value in (decades if len(decades) > 1 else (dimension.low, dimension.high)))
    else:
        ticks = MaxNLocator(4, integer=dimension.kind == "int").tick_values(dimension.low, dimension.high)
        labels = tuple(f"{value:g}" for value in ticks if dimension.low <= value <= dimension.high)
    return _Scale(dimension, tuple(_place(dimension, label) for label in labels), labels)


def _write_scale(axes: Axes, column: int, scale: _Scale) -> None:
    axes.axvline(column, color=LINE, linewidth=1, zorder=0)
    for tick, label in zip(scale.ticks, scale.labels, strict=True):
        axes.annotate(
            label, (column, tick), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, color=QUIET,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
        )  # fmt: skip
