"""The ceiling: a loop that decodes and predicts in processes without any server, one thread each.

    python benchmarks/serving/loop.py BUNDLE PICTURES SECONDS PROCESSES [ENGINE]

Prints JSON: pictures per second of all processes together, and the median milliseconds of one picture. With the
environment variable MODEL it is the peers' model that computes, Pillow and float32, and BUNDLE is not read.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    bundle, pictures, seconds, num_processes, *engine = sys.argv[1:]
    raws = [path.read_bytes() for path in sorted(Path(pictures).iterdir())]
    context = multiprocessing.get_context("fork")
    barrier, found = context.Barrier(int(num_processes)), context.SimpleQueue()
    arguments = (bundle, raws, float(seconds), engine[0] if engine else None, barrier, found)
    processes = [context.Process(target=work, args=arguments) for _ in range(int(num_processes))]
    for process in processes:
        process.start()
    results = [found.get() for _ in processes]
    for process in processes:
        process.join()
    print(json.dumps({"rate": sum(rate for rate, _ in results), "p50_ms": statistics.mean(ms for _, ms in results)}))


def work(bundle: str, raws: list[bytes], seconds: float, engine: str | None, barrier: Any, found: Any) -> None:
    """One process: warms up, waits for the others, counts."""
    predict = opened(bundle, engine)
    for raw in raws[:4]:
        predict(raw)
    barrier.wait()
    times_s: list[float] = []
    before_s = started_s = time.perf_counter()
    while before_s < started_s + seconds:
        predict(raws[len(times_s) % len(raws)])
        now_s = time.perf_counter()
        times_s.append(now_s - before_s)
        before_s = now_s
    found.put((len(times_s) / (before_s - started_s), 1000 * statistics.median(times_s)))


def opened(bundle: str, engine: str | None) -> Callable[[bytes], object]:
    """What predicts one file."""
    if "MODEL" in os.environ:
        sys.path.insert(0, str(Path(__file__).parent / "peers"))
        from model import Model  # type: ignore[import-not-found] # of the peers' environment

        predict: Callable[[bytes], object] = Model().predict_raw
        return predict
    from loopline.predictor import open_predictor

    predictor = open_predictor(Path(bundle), num_threads=1, engine=engine)
    return lambda raw: predictor.predict_raw([raw])


if __name__ == "__main__":
    main()
