"""Trials that compute a small function instead of training; also a program, so that a sweep of them can be killed.

Epoch e of a trial with learning rate lr has the value 1 - |log10(lr) + 2| / 4 + e / 100: best at 0.01. As a training
run does, a trial keeps its epochs in a file, and goes on after them when it is launched again.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from loopline.core.records import Sweep, SweepSettings, Trial
from loopline.core.workspace import Workspace
from loopline.sweep import Objective, Progress, plan_sweep, run_sweep

NUM_EPOCHS = 4


def describe(overrides: Sequence[str]) -> Objective:
    """Every configuration is judged alike."""
    return Objective("computed", "validation/accuracy", "max", NUM_EPOCHS)


class Computed:
    """A trial that computes one more epoch whenever somebody looks."""

    def __init__(self, trial: Trial, file: Path, launches: list[int]) -> None:
        self.lr = float(trial.params["lr"])
        self.file = file
        self.stopped = False
        self.launches = launches

    @property
    def epochs(self) -> list[float]:
        """What was computed so far, by this launch and by those before it."""
        return json.loads(self.file.read_text()) if self.file.exists() else []

    def progress(self) -> Progress:
        """Computes an epoch."""
        epochs = self.epochs
        if self.stopped:
            return Progress("interrupted", epochs)
        if self.lr < 0:
            return Progress("failed", epochs, f"learning rate {self.lr:g} given; expected one above 0.")
        if len(epochs) < NUM_EPOCHS:
            epochs.append(1 - abs(math.log10(self.lr) + 2) / 4 + (len(epochs) + 1) / 100)
            self.file.write_text(json.dumps(epochs))
        return Progress("completed" if len(epochs) == NUM_EPOCHS else "running", epochs)

    def stop(self) -> None:
        """Ends with what there is."""
        self.stopped = True

    def kill(self) -> None:
        """Ends on the spot."""
        self.stopped = True


class Launches:
    """Launches computed trials, remembers which, and how many lived at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers: list[int] = []
        self.trials: list[Computed] = []
        self.most_at_a_time = 0

    def __call__(self, trial: Trial) -> Computed:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "launches.txt").open("a") as file:
            file.write(f"{trial.number}\n")
        self.numbers.append(trial.number)
        self.trials.append(Computed(trial, self.folder / f"{trial.number}.json", self.numbers))
        alive = [one for one in self.trials if not one.stopped and len(one.epochs) < NUM_EPOCHS]
        self.most_at_a_time = max(self.most_at_a_time, len(alive))
        return self.trials[-1]


def plan(workspace: Workspace, *assignments: str, settings: SweepSettings | None = None) -> Sweep:
    """The sweep of a space, by default of one learning rate."""
    space = assignments or ("lr=1e-4..1:log",)
    return plan_sweep((), space, settings or SweepSettings(), describe=describe, workspace=workspace)


if __name__ == "__main__":
    # Slow enough to be killed in the middle of a trial.
    place = Workspace(Path(sys.argv[1]))
    settings = SweepSettings(name="killed", num_trials=6, num_workers=2, pruning={"name": "none"})
    run_sweep(plan(place, settings=settings), launch=Launches(place.cache), workspace=place, poll_s=0.05)
    time.sleep(600)
