"""How fast are several predictors, compared on one machine whose speed drifts? Round by round, side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from loopline.core.progress import track
from loopline.core.records import Speed
from loopline.predictor import Predictor, PredictorLike

T = TypeVar("T")
_NUM_GRAPH_CALLS = 15


def measure_speeds(
    predictors: Mapping[str, PredictorLike],
    raws: Sequence[bytes],
    *,
    rounds: int,
    round_s: float,
    num_threads: int = 1,
) -> dict[str, Speed]:
    """Predicts raw examples one at a time; in every round each predictor has its turn of `round_s` seconds.

    Speed-ups are ratios within a round to the first predictor, so that a machine that is slower for a while slows both.
    """
    parent = next(iter(predictors))
    for predictor in predictors.values():
        predictor.predict_raw(raws[:1])
    rates: dict[str, list[float]] = {name: [] for name in predictors}
    latencies: dict[str, list[float]] = {name: [] for name in predictors}
    for _ in track(range(rounds), "Measuring speed"):
        for name, predictor in predictors.items():
            seconds, elapsed_s = _turn(predictor, raws, round_s, num_threads)
            rates[name].append(len(seconds) / elapsed_s)
            latencies[name].extend(seconds if num_threads == 1 else _turn(predictor, raws, round_s / 4, 1)[0])
    return {
        name: _speed(latencies[name], rates[name], rates[parent], _graph_ms(predictor, raws))
        for name, predictor in predictors.items()
    }


def _turn(
    predictor: PredictorLike, raws: Sequence[bytes], round_s: float, num_threads: int
) -> tuple[list[float], float]:
    """The seconds of each answer, and those of the whole turn; at least one answer per thread."""
    start = time.perf_counter()

    def work(first: int) -> list[float]:
        seconds: list[float] = []
        index = first
        while not seconds or time.perf_counter() - start < round_s:
            seconds.append(_timed(predictor.predict_raw, [raws[index % len(raws)]]))
            index += num_threads
        return seconds

    if num_threads == 1:
        found = [work(0)]
    else:
        with ThreadPoolExecutor(num_threads) as pool:
            found = list(pool.map(work, range(num_threads)))
    return [each for part in found for each in part], time.perf_counter() - start


def _graph_ms(predictor: PredictorLike, raws: Sequence[bytes]) -> float | None:
    """The median of the graph alone on one decoded example."""
    if not isinstance(predictor, Predictor):
        return None
    sample = predictor.decode(raws[0])
    return 1000 * statistics.median(_timed(predictor.outputs, [sample]) for _ in range(_NUM_GRAPH_CALLS))


def _timed(answer: Callable[[Sequence[T]], object], examples: Sequence[T]) -> float:
    start = time.perf_counter()
    answer(examples)
    return time.perf_counter() - start


def _speed(
    latencies: Sequence[float], rates: Sequence[float], parent_rates: Sequence[float], graph_ms: float | None
) -> Speed:
    speedups = [rate / parent for rate, parent in zip(rates, parent_rates, strict=True)]
    return Speed(
        latency_ms=1000 * statistics.median(latencies),
        graph_ms=graph_ms,
        rate_per_s=statistics.median(rates),
        rate_low=min(rates),
        rate_high=max(rates),
        speedup=statistics.median(speedups),
        speedup_low=min(speedups),
        speedup_high=max(speedups),
    )
