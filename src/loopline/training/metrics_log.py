"""The figures of a run, step by step: metrics.jsonl in its folder, run.json, and the tracker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from loopline.core.store import write_text
from loopline.runs import METRICS_FILE, RunFolder
from loopline.tracking import GuardedTracker


class MetricsLog:
    """Appends one JSON object per line, `{"step": 50, "train/batch_loss": 0.61, …}`, in the order of steps."""

    def __init__(self, run: RunFolder, tracker: GuardedTracker) -> None:
        self.path = run.path / METRICS_FILE
        self._run = run
        self._tracker = tracker

    def record(self, metrics: Mapping[str, float], step: int) -> None:
        """Keeps figures by `split/name` after `step` optimizer steps."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **metrics}, allow_nan=False) + "\n")
        self._run.update({"num_steps": step, "metrics": {**self._run.record.metrics, **metrics}})
        self._tracker.log_metrics(metrics, step)

    def rewind(self, step: int) -> None:
        """Forgets what was kept after `step`: the resumed run will come there again."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        kept = [line for line in lines if _step(line) <= step]
        write_text(self.path, "".join(f"{line}\n" for line in kept))


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except json.JSONDecodeError:
        # The line that the process was killed in.
        return float("inf")


class NoLog(MetricsLog):
    """Of a rank that is not the first: knows where the figures stand, and keeps none."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / METRICS_FILE

    def record(self, metrics: Mapping[str, float], step: int) -> None:
        """Rank 0 keeps them."""

    def rewind(self, step: int) -> None:
        """Rank 0 does."""
