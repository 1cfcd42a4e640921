"""What speed costs: every candidate by what it loses and how fast it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from loopline.plots.drawing import BLUE, INK, LINE, QUIET, VERMILLION, drawing


class TradeOff(NamedTuple):
    """One candidate: what it loses in points (below 0: gains) with the ends of its interval, and its speed-up."""

    name: str
    drop: float
    drop_low: float
    drop_high: float
    speedup: float
    is_allowed: bool
    is_pareto: bool


def tradeoff_png(points: Sequence[TradeOff], *, max_drop: float, unit: str) -> bytes:
    """Speed-up against loss; the line of the gate, the front of those that nobody beats, and intervals of 95%."""
    with drawing(8.8, 4.2) as canvas:
        axes = canvas.figure.add_subplot()
        axes.axhline(-max_drop, color=VERMILLION, linewidth=1.2, linestyle="--", label=f"gate: {max_drop:g} lost")
        front = sorted((point for point in points if point.is_pareto), key=lambda point: point.speedup)
        axes.plot([point.speedup for point in front], [-point.drop for point in front], color=LINE, linewidth=2)
        for is_allowed, colour, label in ((True, BLUE, "inside the gate"), (False, QUIET, "outside")):
            chosen = [point for point in points if point.is_allowed == is_allowed]
            if chosen:
                axes.errorbar(
                    [point.speedup for point in chosen],
                    [-point.drop for point in chosen],
                    yerr=[
                        [max(0.0, point.drop_high - point.drop) for point in chosen],
                        [max(0.0, point.drop - point.drop_low) for point in chosen],
                    ],
                    fmt="o" if is_allowed else "x",
                    color=colour,
                    ecolor=LINE,
                    elinewidth=1,
                    markersize=6,
                    label=label,
                )
        for point in points:
            axes.annotate(
                point.name,
                (point.speedup, -point.drop),
                xytext=(5, 5),
                textcoords="offset points",
                fontsize=7.5,
                color=INK,
            )
        axes.set(xlabel="speed-up", ylabel=f"gain in {unit}")
        axes.margins(x=0.14)
        axes.grid(axis="both")
        canvas.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
        return canvas.png()
