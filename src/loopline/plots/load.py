"""Throughput and latency of a server against how many ask at the same time."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import ScalarFormatter

from loopline.core.records import LoadTest
from loopline.plots.drawing import BLUE, GREEN, INK, PURPLE, QUIET, VERMILLION, drawing


def throughput_png(test: LoadTest) -> bytes:
    """Right answers and errors per second by users, with the knee."""
    with drawing(6.4, 3.4) as canvas:
        axes = canvas.figure.add_subplot()
        users = [step.users for step in test.steps]
        axes.plot(users, [step.rate_per_s for step in test.steps], color=BLUE, marker="o", label="right answers")
        errors = [sum(step.errors.values()) / step.seconds for step in test.steps]
        if any(errors):
            axes.plot(users, errors, color=VERMILLION, marker="x", label="errors")
        axes.axvline(test.knee_users, color=QUIET, linestyle="--", linewidth=1, label=f"knee at {test.knee_users}")
        axes.set_ylim(bottom=0)
        _users_axis(axes, users)
        axes.set_ylabel("per second")
        axes.legend()
        return canvas.png()


def latency_png(test: LoadTest) -> bytes:
    """The median, p95 and p99 of right answers by users, in milliseconds, on a logarithmic scale."""
    with drawing(6.4, 3.4) as canvas:
        axes = canvas.figure.add_subplot()
        users = [step.users for step in test.steps]
        for name, colour in (("p50", BLUE), ("p95", GREEN), ("p99", PURPLE)):
            # A step without a right answer has no latency.
            points = [(step.users, getattr(step, f"{name}_ms")) for step in test.steps if step.rate_per_s]
            axes.plot(*zip(*points, strict=True), color=colour, marker="o", label=name) if points else None
        for slo in test.slos:
            if slo.metric.startswith("p"):
                axes.axhline(slo.limit, color=INK, linestyle=":", linewidth=1, label=f"{slo.metric} ≤ {slo.limit:g} ms")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        _users_axis(axes, users)
        axes.set_ylabel("milliseconds")
        axes.legend()
        return canvas.png()


def _users_axis(axes: Axes, users: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(users, [str(count) for count in users])
    axes.minorticks_off()
    axes.set_xlabel("users at the same time")
    axes.grid(axis="y")
