"""`optimization.json` and `optimization.html`: every candidate, what it costs and gains, and which one was taken."""

from __future__ import annotations

from pathlib import Path

from loopline.core.records import Candidate, Optimization
from loopline.core.store import replace_folder, write_bytes, write_record, write_text
from loopline.page import Figure, Figures, KeyFigure, KeyFigures, Section, Table, Text, Verdict, render_page
from loopline.plots.tradeoff import TradeOff, tradeoff_png

RECORD_FILE = "optimization.json"
PAGE_FILE = "optimization.html"
PLOT_FILE = "tradeoff.png"
COLUMNS = (
    "recipe",
    "engine",
    "score",
    "loses",
    "95% interval",
    "speed-up",
    "per second",
    "latency",
    "graph",
    "size",
    "verdict",
)
_HOW_TO_READ = (
    "Every candidate predicted the whole split as a bundle, through the predictor that serves; what it loses is "
    "against the parent on the same examples. Speeds are from raw bytes to answers, one example at a time, decoding "
    "included; candidates took turns in every round, and a speed-up is the middle of the rounds' ratios. The gate "
    "looks at the loss itself: the interval of some hundred examples is wider than any gate."
)


def write_optimization(optimization: Optimization, output: Path) -> None:
    """Writes the record, the plot and the page to the folder `output`, which is replaced as a whole."""
    plot = _plot(optimization)
    page = optimization_page(optimization, plot)
    with replace_folder(output) as folder:
        write_record(folder / RECORD_FILE, optimization)
        write_bytes(folder / PLOT_FILE, plot)
        write_text(folder / PAGE_FILE, page)


def optimization_page(optimization: Optimization, plot: bytes) -> str:
    """The whole trial as one HTML page."""
    table = Table("Candidates, in the order in which they were tried", COLUMNS, tuple(rows(optimization)))
    figure = Figure(plot, alt="Every candidate by speed-up and by what it gains or loses.", caption=_caption())
    left_out = tuple((each.recipe, each.status, each.note) for each in optimization.candidates if each.speed is None)
    sections = [
        Section("", (_verdict(optimization), *_key_figures(optimization))),
        Section("What speed costs", (Figures((figure,)), table, Text(_HOW_TO_READ))),
        Section("What was done", (Table("Recipes", ("recipe", "took", "what"), _done(optimization)),)),
    ]
    if left_out:
        sections.append(
            Section("Left out", (Table("Recipes that gave nothing", ("recipe", "status", "why"), left_out),))
        )
    facts = (
        ("parent", optimization.parent),
        ("bundle", optimization.bundle or "none"),
        ("data", f"{optimization.dataset.name}@{optimization.dataset.version[:12]}, split {optimization.split}"),
        ("machine", f"{optimization.machine}, {optimization.num_threads} at a time"),
    )
    lead = (
        f"{len(optimization.candidates)} candidates on {optimization.num_examples:,} examples, paired with the parent."
    )
    return render_page(
        f"Optimization of {optimization.name}", sections, lead=lead, facts=facts, created_at=optimization.created_at
    )


def rows(optimization: Optimization) -> list[tuple[str, ...]]:
    """The measured candidates as cells, by `COLUMNS`."""
    return [_row(each, optimization) for each in optimization.candidates if each.status == "measured"]


def _row(candidate: Candidate, optimization: Optimization) -> tuple[str, ...]:
    comparison, speed = candidate.comparison, candidate.speed
    if comparison is None or speed is None or candidate.num_bytes is None or candidate.score is None:
        raise AssertionError("a measured candidate is complete")
    low, high = (-comparison.in_points(end) for end in (comparison.high, comparison.low))
    return (
        candidate.recipe,
        candidate.engine or "–",
        f"{candidate.score:.4g}",
        f"{candidate.drop + 0.0:.2f}",
        f"{low:.2f} – {high:.2f}",
        f"{speed.speedup:.2f}",
        f"{speed.rate_per_s:.1f}",
        f"{speed.latency_ms:.2f} ms",
        "–" if speed.graph_ms is None else f"{speed.graph_ms:.2f} ms",
        f"{candidate.num_bytes / 1e6:.1f} MB",
        verdict(candidate, optimization),
    )


def verdict(candidate: Candidate, optimization: Optimization) -> str:
    """A candidate's place in words."""
    words = ["taken"] if candidate.recipe == optimization.chosen else []
    words += [] if candidate.is_allowed else ["outside the gate"]
    words += ["on the front"] if candidate.is_pareto else []
    words += [] if candidate.fits_bundle else ["fits no bundle"]
    return ", ".join(words)


def _verdict(optimization: Optimization) -> Verdict:
    taken = next((each for each in optimization.candidates if each.recipe == optimization.chosen), None)
    if taken is None or taken.speed is None:
        return Verdict("bad", f"No candidate is faster and loses at most {optimization.max_drop:g}.")
    words = f"'{taken.recipe}' answers {taken.speed.speedup:.2f} times as fast; {_unit(optimization)} lost"
    return Verdict("good", f"{words}: {taken.drop:.2f}.")


def _key_figures(optimization: Optimization) -> tuple[KeyFigures, ...]:
    taken = next((each for each in optimization.candidates if each.recipe == optimization.chosen), None)
    parent = optimization.candidates[0]
    if taken is None or taken.speed is None or parent.speed is None or not taken.num_bytes or not parent.num_bytes:
        return ()
    speed = taken.speed
    figures = (
        KeyFigure("speed-up", f"{speed.speedup:.2f}", f"{speed.speedup_low:.2f} to {speed.speedup_high:.2f} by round"),
        KeyFigure("latency", f"{speed.latency_ms:.1f} ms", f"before {parent.speed.latency_ms:.1f} ms"),
        KeyFigure("size", f"{taken.num_bytes / 1e6:.1f} MB", f"before {parent.num_bytes / 1e6:.1f} MB"),
    )
    return (KeyFigures(figures),)


def _plot(optimization: Optimization) -> bytes:
    points = []
    for each in optimization.candidates:
        if each.comparison is None or each.speed is None:
            continue
        low, high = (-each.comparison.in_points(end) for end in (each.comparison.high, each.comparison.low))
        points.append(TradeOff(each.recipe, each.drop, low, high, each.speed.speedup, each.is_allowed, each.is_pareto))
    return tradeoff_png(points, max_drop=optimization.max_drop, unit=_unit(optimization))


def _done(optimization: Optimization) -> tuple[tuple[str, ...], ...]:
    measured = [each for each in optimization.candidates if each.status == "measured"]
    return tuple((each.recipe, f"{each.prepare_s:.1f} s", each.note or "–") for each in measured)


def _unit(optimization: Optimization) -> str:
    comparison = optimization.candidates[0].comparison
    return "points" if comparison is None else comparison.unit


def _caption() -> str:
    return (
        "Up is better, right is faster. The grey line joins those that no other beats in both; bars are 95% intervals."
    )
