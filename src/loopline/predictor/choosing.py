"""`choose_engine`: which engine is the fastest for this bundle on this machine, by trying each that is here."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from pathlib import Path

from loopline.bundle import read_bundle, read_reference
from loopline.core.errors import LooplineError, StateError
from loopline.predictor.answer import PredictorLike
from loopline.predictor.engine import allowed_engines
from loopline.predictor.opening import open_predictor


@dataclass(frozen=True)
class Trial:
    """What one engine did: a rate, or a sentence why it has none."""

    engine: str
    examples_per_s: float | None = None
    reason: str = ""

    def __str__(self) -> str:
        said = self.reason.rstrip(".") if self.examples_per_s is None else f"{self.examples_per_s:.1f}/s"
        return f"{self.engine}: {said}"


@dataclass(frozen=True)
class EngineChoice:
    """The engine that was chosen, and all that were tried, quickest first."""

    engine: str
    trials: tuple[Trial, ...]

    def __str__(self) -> str:
        return f"engine {self.engine}: the quickest on the reference inputs ({'; '.join(map(str, self.trials))})"


def choose_engine(folder: Path, *, num_threads: int = 0, seconds: float = 1.0) -> EngineChoice:
    """Tries every engine that reads the bundle in `folder` for so long, one example at a time.

    An engine counts where it reproduces the reference predictions. Raises `StateError` where none does.
    """
    bundle = read_bundle(folder)
    raws, _ = read_reference(folder, bundle)
    trials = []
    for engine in allowed_engines(bundle):
        try:
            predictor = open_predictor(folder, num_threads=num_threads, engine=engine)
        except LooplineError as error:
            trials.append(Trial(engine, reason=error.message))
        else:
            trials.append(Trial(engine, _rate(predictor, raws, seconds)))
    trials.sort(key=lambda trial: -(trial.examples_per_s or 0.0))
    if trials[0].examples_per_s is None:
        raise StateError(f"no engine opens '{folder}': {'; '.join(map(str, trials))}")
    return EngineChoice(trials[0].engine, tuple(trials))


def _rate(predictor: PredictorLike, raws: list[bytes], seconds: float) -> float:
    """Examples per second at the median time of one, which a pause of the machine does not move."""
    samples = [predictor.decode(raw) for raw in raws]
    times_s: list[float] = []
    deadline_s = time.perf_counter() + seconds
    for sample in itertools.cycle(samples):
        started_s = time.perf_counter()
        predictor.predict([sample])
        ended_s = time.perf_counter()
        times_s.append(ended_s - started_s)
        if ended_s >= deadline_s:
            return 1 / sorted(times_s)[len(times_s) // 2]
    return 0.0
