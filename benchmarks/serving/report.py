"""What a run of the benchmark found, as tables with minimum, median and maximum, and the goals that it decides.

python benchmarks/serving/report.py [results/latest.json]
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

Figures = dict[str, dict[str, list[float]]]
# At which the overhead and the tail are judged; at one connection it is the latency.
_JUDGED = (8, 32, 128)


def report(found: dict[str, Any]) -> None:
    """Prints everything."""
    about, options, figures = found["about"], found["options"], found["figures"]
    print(f"\n{about['processor']}, {about['num_cores']} cores, Python {about['python']}")
    print("Loopline with", ", ".join(f"{name} {number}" for name, number in about["loopline"].items()))
    print("peers:", ", ".join(about["peers"]))
    print(f"JPEG of {options['num_bytes'] / 1000:.0f} kB on average, {options['seconds']} s per measurement\n")
    print_loops(figures, about["num_cores"])
    for subject in ("photos", "tiny"):
        print_servers(figures, subject)
    print_goals(figures, about["num_cores"], options["concurrency"])


def print_loops(figures: Figures, num_cores: int) -> None:
    """The bare loops."""
    print(f"{'no server':<28}{f'pictures/s, {num_cores} processes':>30}{'ms of one alone':>24}")
    for name, values in figures.items():
        if name.startswith("loop"):
            print(f"{name:<28}{spread(values[f'rate/{num_cores}']):>30}{spread(values['p50_ms/1'], 1):>24}")


def print_servers(figures: Figures, subject: str) -> None:
    """Rates, tails, start and memory of every server."""
    names = [name for name in figures if name.endswith(f"({subject})")]
    if not names:
        return
    columns = [key.removeprefix("rate/") for key in figures[names[0]] if key.startswith("rate/")]
    print(f"\n{subject + ', requests/s':<28}" + "".join(f"{'c = ' + column:>24}" for column in columns))
    for name in names:
        cells = "".join(f"{spread(figures[name][f'rate/{column}']):>24}" for column in columns)
        print(f"{name.removesuffix(f' ({subject})'):<28}{cells}")
    print(
        f"{'p50 / p99, ms':<28}"
        + "".join(f"{'c = ' + column:>24}" for column in columns)
        + f"{'start, s':>12}{'MB':>8}"
    )
    for name in names:
        values = figures[name]
        tails = [f"{median(values[f'p50_ms/{each}']):.0f} / {median(values[f'p99_ms/{each}']):.0f}" for each in columns]
        rest = f"{median(values['first_answer_s']):>12.2f}{median(values['memory_mb']):>8.0f}"
        print(f"{name.removesuffix(f' ({subject})'):<28}" + "".join(f"{tail:>24}" for tail in tails) + rest)


def print_goals(figures: Figures, num_cores: int, concurrency: list[int]) -> None:
    """What was to be reached, and what was."""
    print("\ngoal                                                                  found   wanted")
    judged = [each for each in _JUDGED if each in concurrency]
    for kind in ("float32", "optimized"):
        ours, loop = figures[f"Loopline, {kind} (photos)"], figures[f"loop, {kind}"]
        ceiling = median(loop[f"rate/{num_cores}"])
        for connections in judged:
            share = median(ours[f"rate/{connections}"]) / ceiling
            goal(f"1 rate at {connections}, of the loop's, {kind}", share, at_least=0.92)
        if 1 in concurrency:
            goal(
                f"1 latency of one, of the loop's, {kind}",
                median(ours["p50_ms/1"]) / median(loop["p50_ms/1"]),
                at_most=1.15,
            )
        for connections in judged:
            tail = median(ours[f"p99_ms/{connections}"]) / median(ours[f"p50_ms/{connections}"])
            goal(f"3 p99 of p50 at {connections}, {kind}", tail, at_most=2.0)
    fast = figures["Loopline, optimized (photos)"]
    best = max(median(fast[f"rate/{each}"]) for each in concurrency)
    goal(
        "2 rate, of the float32 loop with Pillow",
        best / median(figures["loop, Pillow"][f"rate/{num_cores}"]),
        at_least=2.0,
    )
    peers = {name: values for name, values in figures.items() if name.endswith("(photos)") and "Loopline" not in name}
    if peers:
        rates = {name: max(median(values[f"rate/{each}"]) for each in concurrency) for name, values in peers.items()}
        winner = max(rates, key=rates.__getitem__)
        goal(f"2 rate, of the best peer's, {winner.removesuffix(' (photos)')}", best / rates[winner], at_least=2.2)
    goal(
        "3 good answers at twice the load, of the peak",
        median(figures["Loopline, optimized (overload)"]["share_of_peak"]),
        at_least=0.9,
    )
    for kind in ("float32", "optimized"):
        ours = figures[f"Loopline, {kind} (photos)"]
        goal(f"4 seconds to the first answer, {kind}", median(ours["first_answer_s"]), at_most=1.0)
        goal(f"4 memory in MB, {kind}", median(ours["memory_mb"]), at_most=350)
    print_tiny_goals(figures)


def print_tiny_goals(figures: Figures) -> None:
    """Of the framework itself."""
    ours = figures["Loopline (tiny)"]
    plain, lit = figures.get("FastAPI, async (tiny)"), figures.get("LitServe (tiny)")
    if plain is not None:
        goal(
            "5 tiny, rate of one client, of plain FastAPI's",
            median(ours["rate/1"]) / median(plain["rate/1"]),
            at_least=1.0,
        )
    if lit is not None:
        goal("5 tiny, rate of sixteen, of LitServe's", median(ours["rate/16"]) / median(lit["rate/16"]), at_least=1.3)
    goal(
        "5 tiny, rate of one client after a burst, of before",
        median(ours["rate/1/again"]) / median(ours["rate/1"]),
        at_least=0.9,
    )


def goal(name: str, found: float, *, at_least: float | None = None, at_most: float | None = None) -> None:
    """One line."""
    reached = (at_least is None or found >= at_least) and (at_most is None or found <= at_most)
    wanted = f">= {at_least:g}" if at_least is not None else f"<= {at_most:g}"
    print(f"{name:<66}{found:>9.2f}   {wanted:<9} {'reached' if reached else 'NOT REACHED'}")


def spread(values: list[float], digits: int = 0) -> str:
    """Minimum / median / maximum."""
    return " / ".join(f"{value:.{digits}f}" for value in (min(values), median(values), max(values)))


def median(values: list[float]) -> float:
    return statistics.median(values)


if __name__ == "__main__":
    report(
        json.loads(
            Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "results/latest.json").read_text()
        )
    )
