"""The seam, the closed table, and the guard that keeps a tracker's trouble away from the run."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from loopline.core.errors import LooplineError
from loopline.core.records import Component, RunStatus
from loopline.core.workspace import Workspace
from loopline.runs import RunFolder, flat

TRACKERS = {
    "mlflow": "loopline.tracking.mlflow:MlflowConfig",
    "wandb": "loopline.tracking.wandb:WandbConfig",
    "none": "loopline.tracking.nobody:NobodyConfig",
}


class TrackingWarning(UserWarning):
    """A tracker failed; the run goes on without it."""


class Tracker(Protocol):
    """Where a run's figures also go; any method may fail, and none is called after `finish`."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """The configuration by dotted key; called once, and again with the same when a run is resumed."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Figures by `split/name` after `step` optimizer steps; a resumed run may repeat a step, with equal figures."""

    def log_artifact(self, path: Path) -> None:
        """Keeps a copy of a file."""

    def finish(self, status: RunStatus) -> None:
        """Ends the record of the run; it may be opened again when the run is resumed."""


class TrackerConfig(Component, ABC):
    """A tracker's parameters; they open it."""

    @abstractmethod
    def open(self, run: RunFolder, workspace: Workspace) -> tuple[Tracker, str | None]:
        """The tracker and its own id of the run; goes on with `run.record.tracker_run_id` where there is one."""


class GuardedTracker:
    """A tracker that cannot fail: after its first error it warns once and stays silent, as without one (None)."""

    def __init__(self, name: str, tracker: Tracker | None) -> None:
        self.name = name
        self._tracker = tracker

    def log_params(self, params: Mapping[str, Any]) -> None:
        self._attempt(lambda tracker: tracker.log_params(params))

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self._attempt(lambda tracker: tracker.log_metrics(metrics, step))

    def log_artifact(self, path: Path) -> None:
        self._attempt(lambda tracker: tracker.log_artifact(path))

    def finish(self, status: RunStatus) -> None:
        self._attempt(lambda tracker: tracker.finish(status))

    def _attempt(self, call: Callable[[Tracker], None]) -> None:
        if self._tracker is None:
            return
        try:
            call(self._tracker)
        except Exception as error:  # noqa: BLE001 - a tracker may raise anything; the run is worth more
            # Not tried again: a server that is away costs its time-out at every call.
            self._tracker = None
            warnings.warn(_sentence(self.name, error), TrackingWarning, stacklevel=3)


def open_tracker(config: TrackerConfig, run: RunFolder, workspace: Workspace) -> GuardedTracker:
    """Opens the tracker, notes its run id in run.json and logs the configuration; what fails is a warning.

    Raises `LooplineError` (a missing package, for one) only: that the user can mend before anything was computed.
    """
    try:
        tracker, tracker_run_id = config.open(run, workspace)
    except (LooplineError, ModuleNotFoundError):
        raise
    except Exception as error:  # noqa: BLE001 - as above
        warnings.warn(_sentence(config.name, error), TrackingWarning, stacklevel=2)
        return GuardedTracker("none", None)
    run.update({"tracker": config.name, "tracker_run_id": tracker_run_id})
    guarded = GuardedTracker(config.name, tracker)
    guarded.log_params(flat(run.record.config))
    return guarded


def _sentence(name: str, error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0]
    return (
        f"tracking with {name} stopped: {type(error).__name__}: {first}. The run goes on; run.json and metrics.jsonl "
        "keep everything."
    )
