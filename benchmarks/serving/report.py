"""What a run of the benchmark found, in Markdown: minimum, median and maximum of every figure, ratios, and the goals.

python benchmarks/serving/report.py [results/latest.json]
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Figures = dict[str, dict[str, list[float]]]
# At which the overhead and the tail are judged; at one connection it is the latency.
_JUDGED = (8, 32, 128)
_PHOTOS, _TINY = " (photos)", " (tiny)"


def report(found: dict[str, Any]) -> str:
    """Everything, as one text."""
    about, options, figures = found["about"], found["options"], found["figures"]
    num_cores = about["num_cores"]
    ours = ", ".join(f"{name} {number}" for name, number in about["loopline"].items())
    parts = [
        f"{about['processor']}, {num_cores} cores shared with the load generator, Python {about['python']}.",
        f"Loopline with {ours}. Peers: {', '.join(about['peers'])}.",
        f"JPEG files of {options['num_bytes'] / 1000:.0f} kB on average; optimized bundle: {options['optimized']}.",
        f"{options['seconds']} s per measurement, {options['repetitions']} in turns: minimum / median / maximum.",
        _table(_loops(figures, num_cores)),
        *(_table(_servers(figures, subject)) for subject in (_PHOTOS, _TINY)),
        *(_table(_tails(figures, subject)) for subject in (_PHOTOS, _TINY)),
        _table(_goals(figures, num_cores, options["concurrency"])),
        *(f"Failed: {name}: {reason}" for name, reason in found["failures"].items()),
    ]
    return "\n\n".join(parts) + "\n"


def _loops(figures: Figures, num_cores: int) -> Iterator[Sequence[str]]:
    yield "no server", f"pictures/s, {num_cores} processes", "ms of one alone"
    for name, values in figures.items():
        # Where no more than one client was asked for, no loop ran in several processes.
        if name.startswith("loop") and f"rate/{num_cores}" in values:
            yield name, _spread(values[f"rate/{num_cores}"]), _spread(values["p50_ms/1"], 1)


def _servers(figures: Figures, subject: str) -> Iterator[Sequence[str]]:
    names, columns = _shown(figures, subject)
    yield f"requests/s{subject}", *(f"c = {column}" for column in columns)
    for name in names:
        yield name.removesuffix(subject), *(_spread(figures[name][f"rate/{column}"]) for column in columns)


def _tails(figures: Figures, subject: str) -> Iterator[Sequence[str]]:
    names, columns = _shown(figures, subject)
    yield f"p50 / p99, ms{subject}", *(f"c = {each}" for each in columns), "first answer, s", "MB", "MB as ps counts"
    for name in names:
        values = figures[name]
        tails = [f"{_at(values, f'p50_ms/{each}'):.0f} / {_at(values, f'p99_ms/{each}'):.0f}" for each in columns]
        rest = f"{_at(values, 'first_answer_s'):.2f}", f"{_at(values, 'memory_mb'):.0f}"
        yield name.removesuffix(subject), *tails, *rest, f"{_at(values, 'memory_as_ps_mb'):.0f}"


def _shown(figures: Figures, subject: str) -> tuple[list[str], list[str]]:
    """The servers of a subject that were measured to the end, and at which numbers of connections."""
    names = [name for name, values in figures.items() if name.endswith(subject) and "memory_mb" in values]
    rates = figures[names[0]] if names else {}
    return names, [key.removeprefix("rate/") for key in rates if key.startswith("rate/")]


def _goals(figures: Figures, num_cores: int, concurrency: Sequence[int]) -> Iterator[Sequence[str]]:
    yield "goal", "found", "wanted", ""
    judged = [each for each in _JUDGED if each in concurrency]
    for kind in ("float32", "optimized"):
        yield from _overhead(figures, kind, judged, is_one_measured=1 in concurrency)
    yield from _speed(figures, num_cores, concurrency)
    overload = figures["Loopline, optimized (overload)"]
    yield _goal("3 good answers at twice the load, of the peak", _at(overload, "share_of_peak"), at_least=0.9)
    for kind in ("float32", "optimized"):
        ours = figures[f"Loopline, {kind}{_PHOTOS}"]
        yield _goal(f"4 seconds to the first answer, {kind}", _at(ours, "first_answer_s"), at_most=1.0)
        yield _goal(f"4 memory in MB, {kind}", _at(ours, "memory_mb"), at_most=350)
    yield from _tiny(figures)


def _overhead(figures: Figures, kind: str, judged: Sequence[int], *, is_one_measured: bool) -> Iterator[Sequence[str]]:
    """What the server costs on top of the loop with the same engine beside it, and how late the latest are."""
    ours = figures[f"Loopline, {kind}{_PHOTOS}"]
    for connections in judged:
        name = f"1 rate at {connections}, of the loop's, {kind}"
        yield _goal(name, _at(ours, f"rate_of_loop/{connections}"), at_least=0.92)
    if is_one_measured:
        yield _goal(f"1 latency of one, of the loop's, {kind}", _at(ours, "p50_ms_of_loop/1"), at_most=1.15)
    for connections in judged:
        share = _at(ours, f"p99_ms/{connections}") / _at(ours, f"p50_ms/{connections}")
        yield _goal(f"3 p99 of p50 at {connections}, {kind}", share, at_most=2.0)


def _speed(figures: Figures, num_cores: int, concurrency: Sequence[int]) -> Iterator[Sequence[str]]:
    """The optimized bundle over HTTP against a loop and against the best peer."""

    def best(name: str) -> float:
        return max(_at(figures[name], f"rate/{each}") for each in concurrency)

    fastest = best(f"Loopline, optimized{_PHOTOS}")
    share = fastest / _at(figures["loop, Pillow"], f"rate/{num_cores}")
    yield _goal("2 rate, of the float32 loop with Pillow", share, at_least=2.0)
    peers = [name for name in _shown(figures, _PHOTOS)[0] if not name.startswith("Loopline")]
    if peers:
        winner = max(peers, key=best)
        name = f"2 rate, of the best peer's, {winner.removesuffix(_PHOTOS)}"
        yield _goal(name, fastest / best(winner), at_least=2.2)


def _tiny(figures: Figures) -> Iterator[Sequence[str]]:
    """Of the framework itself."""
    ours = figures[f"Loopline{_TINY}"]
    plain, lit = figures.get(f"FastAPI, async{_TINY}", {}), figures.get(f"LitServe{_TINY}", {})
    if "memory_mb" in plain:
        share = _at(ours, "rate/1") / _at(plain, "rate/1")
        yield _goal("5 tiny, rate of one client, of plain FastAPI's", share, at_least=1.0)
    if "memory_mb" in lit:
        share = _at(ours, "rate/16") / _at(lit, "rate/16")
        yield _goal("5 tiny, rate of sixteen, of LitServe's", share, at_least=1.3)
    share = _at(ours, "rate/1/again") / _at(ours, "rate/1")
    yield _goal("5 tiny, rate of one client after a burst, of before", share, at_least=0.9)


def _goal(name: str, found: float, *, at_least: float | None = None, at_most: float | None = None) -> Sequence[str]:
    """One line."""
    reached = (at_least is None or found >= at_least) and (at_most is None or found <= at_most)
    wanted = f"≥ {at_least:g}" if at_least is not None else f"≤ {at_most:g}"
    return name, f"{found:.2f}", wanted, "reached" if reached else "NOT REACHED"


def _table(rows: Iterator[Sequence[str]]) -> str:
    """Rows, the first of them the head, as a table whose columns stand below each other."""
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(f"| {line} |" for line in lines)


def _spread(values: list[float], digits: int = 0) -> str:
    """Minimum / median / maximum."""
    return " / ".join(f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))


def _at(values: dict[str, list[float]], figure: str) -> float:
    """The median of a figure."""
    return statistics.median(values[figure])


if __name__ == "__main__":
    results = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "results" / "latest.json"
    print(report(json.loads(results.read_text())))
