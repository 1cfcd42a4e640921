"""A sweep from its plan to its end: begins trials, hears them, stops the worst early, and survives being killed.

sweeps/NAME/
  sweep.json    the `Sweep` record, rewritten after every trial
  sweep.db      Optuna's study, which knows what was tried and decides what comes next
  sweep.lock    held while a process drives the sweep
  logs/         what the processes of the trials printed
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from loopline.core import store
from loopline.core.errors import ConfigError, StateError, UnknownName
from loopline.core.progress import bar
from loopline.core.records import Dimension, Sweep, SweepSettings, Trial, utc_now
from loopline.core.stopping import StopRequest, stop_signals
from loopline.core.workspace import Workspace
from loopline.sweep.launching import Describe, Launcher, LiveTrial, Objective
from loopline.sweep.page import sweep_page
from loopline.sweep.sampling import pruner, sampler
from loopline.sweep.space import grid_size, points_to_check, split_overrides
from loopline.sweep.study import TrialStudy

SWEEP_FILE = "sweep.json"
DEFAULT_NUM_TRIALS = 20
_POLL_S = 0.1
# So many failures in a row from the start, and no result: the space or the data are wrong, not the luck.
_HOPELESS = 3


def plan_sweep(
    overrides: Sequence[str],
    space: Sequence[str],
    settings: SweepSettings,
    *,
    describe: Describe,
    workspace: Workspace,
) -> Sweep:
    """The sweep that overrides, a space and settings make, checked as far as it can be; writes nothing.

    Every choice and both ends of every range are composed once. Raises `ConfigError` and `UnknownName` for what is
    wrong in any of them, `StateError` where the name is taken.
    """
    fixed, dimensions = split_overrides(overrides, space)
    if not dimensions:
        raise ConfigError(
            "no space given; expected a key with several values.",
            next_command="loopline sweep recipe=fashion --space optimizer.lr=1e-4..1e-1:log",
        )
    sampler(settings.sampler, settings.seed, 0)
    points = [[f"{key}={text}" for key, text in point.items()] for point in points_to_check(dimensions)]
    objectives = [describe((*fixed, *point)) for point in points]
    first = objectives[0]
    if {(each.metric, each.direction) for each in objectives} != {(first.metric, first.direction)}:
        raise ConfigError(f"the space changes what is measured ({first.metric}); expected one metric for all trials.")
    if settings.goal not in (None, first.direction):
        raise ConfigError(f"goal '{settings.goal}' given; {first.metric} is better at its {first.direction}.")
    sweep = Sweep(
        name=_name(settings, first, workspace),
        overrides=fixed,
        space=dimensions,
        settings=settings,
        num_trials=_num_trials(settings, dimensions),
        metric=first.metric,
        direction=first.direction,
        max_epochs=max(each.max_epochs for each in objectives),
        created_at=utc_now(),
    )
    pruner(settings.pruning, max_epochs=sweep.max_epochs)
    return sweep


def first_trial(sweep: Sweep) -> Trial:
    """The trial that the sweep would begin with; keeps nothing."""
    return TrialStudy(sweep, None).ask()


def run_sweep(
    sweep: Sweep,
    *,
    launch: Launcher,
    workspace: Workspace,
    on_trial: Callable[[Trial, Sweep], None] | None = None,
    poll_s: float = _POLL_S,
) -> Sweep:
    """Begins the trials that a sweep still lacks, and goes on with those that were interrupted, until all have ended.

    Writes `sweeps/NAME/sweep.json` after every trial; `on_trial` hears of every trial that ended. Raises
    `KeyboardInterrupt` after Ctrl-C or SIGTERM, with the trials asked to save themselves; `StateError` where another
    process drives the sweep, and where the first three trials fail.
    """
    folder = workspace.sweeps / sweep.name
    with store.lock(folder / "sweep.lock", holder=f"sweep '{sweep.name}'"), stop_signals() as stop:
        study = TrialStudy(sweep, folder / "sweep.db")
        # From here on, Ctrl-C waits for the database and for the trials.
        stop.deferred = True
        search = _Search(sweep, study, launch, folder / SWEEP_FILE, on_trial)
        with bar(f"sweep {sweep.name}", total=sweep.num_trials) as advance:
            advance(search.record().num_finished)
            search.run(stop, advance, poll_s)
        return search.record()


def continued(name: str, overrides: Sequence[str], changes: SweepSettings, workspace: Workspace) -> Sweep:
    """A sweep as it stands, to go on with; the number of trials and of workers may change, nothing else.

    Raises `UnknownName`, and `ConfigError` for overrides and for another setting that differs.
    """
    sweep = find_sweep(name, workspace)
    given = {**changes.model_dump(exclude_unset=True), **({"overrides": overrides} if overrides else {})}
    free = {key: given.pop(key) for key in ("num_trials", "num_workers") if key in given}
    before: dict[str, Any] = sweep.settings.model_dump()
    if changed := [key for key, value in given.items() if value != before.get(key)]:
        raise ConfigError(
            f"sweep '{sweep.name}' goes on as it began; {', '.join(changed)} given, expected at most another number of "
            "trials or workers.",
            next_command=f"loopline sweep --resume {sweep.name}",
        )
    settings = SweepSettings.model_validate({**before, **free})
    num_trials = sweep.num_trials if settings.num_trials is None else _num_trials(settings, sweep.space)
    return Sweep.model_validate({**sweep.model_dump(), "settings": settings, "num_trials": num_trials})


def find_sweep(name: str, workspace: Workspace) -> Sweep:
    """The sweep of a name, or of `latest`; raises `UnknownName`."""
    found = {path.parent.name: path for path in workspace.sweeps.glob(f"*/{SWEEP_FILE}")}
    if name == "latest" and found:
        return list_sweeps(workspace)[0]
    if name not in found:
        raise UnknownName("sweep", name, found, next_command="loopline sweeps" if found else None)
    return store.read_record(Sweep, found[name])


def list_sweeps(workspace: Workspace) -> list[Sweep]:
    """All sweeps of a workspace, newest first."""
    found = [store.read_record(Sweep, path) for path in workspace.sweeps.glob(f"*/{SWEEP_FILE}")]
    return sorted(found, key=lambda sweep: sweep.created_at, reverse=True)


def write_page(sweep: Sweep, workspace: Workspace) -> Path:
    """Writes the page of a sweep, of one that goes on too; where it is."""
    path = page_path(sweep.name, workspace)
    store.write_text(path, sweep_page(sweep))
    return path


def page_path(name: str, workspace: Workspace) -> Path:
    """Where the page of a sweep is."""
    return workspace.reports / f"sweep-{name}" / "sweep.html"


class _Search:
    """The trials that live now, and what is done with what they say."""

    def __init__(
        self,
        sweep: Sweep,
        study: TrialStudy,
        launch: Launcher,
        file: Path,
        on_trial: Callable[[Trial, Sweep], None] | None,
    ) -> None:
        self._sweep = sweep
        self._study = study
        self._launch = launch
        self._file = file
        self._on_trial = on_trial
        self._live: dict[int, LiveTrial] = {}
        # Epochs of each that the study knows.
        self._heard: dict[int, int] = {}
        # Asked to end, because others are better.
        self._outdone: set[int] = set()
        self._num_failed = 0

    def record(self) -> Sweep:
        """The sweep as it stands, which goes to its file."""
        now = {"trials": self._study.trials(), "importance": self._study.importance()}
        record = Sweep.model_validate({**self._sweep.model_dump(), **now})
        store.write_record(self._file, record)
        return record

    def run(self, stop: StopRequest, advance: Callable[[int], None], poll_s: float) -> None:
        """Begins, hears and ends trials until there is none left."""
        interrupted = self._study.take_up()
        try:
            while True:
                if stop.requested:
                    raise KeyboardInterrupt
                self._fill(interrupted)
                if not self._live:
                    return
                for number in list(self._live):
                    if self._hear(number):
                        advance(1)
                time.sleep(poll_s)
        finally:
            self._stop_all(poll_s)

    def _fill(self, interrupted: list[Trial]) -> None:
        """Gives every idle worker a trial: those that were interrupted first."""
        while len(self._live) < self._sweep.settings.num_workers:
            if interrupted:
                trial = interrupted.pop(0)
            elif len(self._study.trials()) < self._sweep.num_trials:
                trial = self._study.ask()
            else:
                return
            self._live[trial.number] = self._launch(trial)
            self.record()

    def _hear(self, number: int) -> bool:
        """Hears how a trial stands and draws the consequences; true where it ended."""
        live = self._live[number]
        progress = live.progress()
        if len(progress.epochs) > self._heard.get(number, 0):
            self._heard[number] = len(progress.epochs)
            if self._study.report(number, progress.epochs) and number not in self._outdone:
                self._outdone.add(number)
                live.stop()
        if progress.status == "running":
            return False
        del self._live[number]
        if progress.status == "completed" and progress.epochs:
            self._study.complete(number)
        elif progress.status == "interrupted" and number in self._outdone:
            self._study.prune(number)
        else:
            self._study.fail(number, progress.error or "it ended without one epoch.")
        record = self.record()
        if self._on_trial is not None:
            self._on_trial(record.trials[number], record)
        self._give_up_where_hopeless(record, number)
        return True

    def _give_up_where_hopeless(self, record: Sweep, number: int) -> None:
        self._num_failed += record.trials[number].status == "failed"
        if self._num_failed >= _HOPELESS and not any(trial.value is not None for trial in record.trials):
            raise StateError(
                f"{self._num_failed} trials of sweep '{record.name}' failed and none has a result; the last: "
                f"{record.trials[number].error}",
                next_command=record.command(record.trials[number]),
            )

    def _stop_all(self, poll_s: float) -> None:
        """Asks what still lives to save itself and waits for that; a second Ctrl-C does not wait."""
        if not self._live:
            return
        try:
            for live in self._live.values():
                live.stop()
            while any(live.progress().status == "running" for live in self._live.values()):
                time.sleep(poll_s)
        except KeyboardInterrupt:
            for live in self._live.values():
                live.kill()
            raise
        finally:
            self.record()


def _name(settings: SweepSettings, objective: Objective, workspace: Workspace) -> str:
    if settings.name is None:
        return f"{objective.name[:80]}-{secrets.token_hex(2)}"
    if (workspace.sweeps / settings.name).exists():
        raise StateError(
            f"sweep '{settings.name}' exists already; expected a new name.",
            next_command=f"loopline sweep --resume {settings.name}",
        )
    return settings.name


def _num_trials(settings: SweepSettings, space: Mapping[str, Dimension]) -> int:
    if settings.sampler == "grid":
        size = grid_size(space)
        return min(settings.num_trials or size, size)
    return settings.num_trials or DEFAULT_NUM_TRIALS
