"""Curves over the steps of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.ticker import FuncFormatter, MaxNLocator

from loopline.plots.drawing import SERIES, drawing


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
                colour = SERIES[splits.index(split) % len(SERIES)]
                axes.plot(steps, values, color=colour, linewidth=1.7, marker=marker, markersize=3.5, label=split)
            axes.set_title(metric)
            axes.set_xlabel("step")
            axes.grid(axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            axes.legend()
        return canvas.png()
