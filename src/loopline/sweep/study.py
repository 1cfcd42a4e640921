"""The database of a sweep: which trials there are, which comes next, which should end. Optuna on SQLite.

One process drives the study by ask and tell, so the database has one writer, and what is drawn for trial n depends on
the seed, on n and on the trials before it, never on how often the sweep was interrupted.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from loopline.core.errors import StateError
from loopline.core.records import Choice, Dimension, FloatRange, Sweep, Trial, TrialStatus
from loopline.runs import trial_run_id
from loopline.sweep.sampling import distribution, pruner, sampler
from loopline.sweep.space import grid, text_of

# Below so many completed trials, importance would say more about chance than about keys.
_ENOUGH_FOR_IMPORTANCE = 4
_ERROR = "error"
_STATUS: dict[TrialState, TrialStatus] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class TrialStudy:
    """The trials of a sweep: `ask` begins one, `report` hears its epochs, `complete`, `prune` and `fail` end it."""

    def __init__(self, sweep: Sweep, database: Path | None) -> None:
        """Opens the sweep's database, or makes it; None keeps nothing."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._sweep = sweep
        self._distributions = {key: distribution(dimension) for key, dimension in sweep.space.items()}
        self._study = optuna.create_study(
            study_name=sweep.name,
            storage=None if database is None else f"sqlite:///{database.resolve().as_posix()}",
            load_if_exists=True,
            direction="minimize" if sweep.direction == "min" else "maximize",
            sampler=optuna.samplers.RandomSampler(),
            pruner=pruner(sweep.settings.pruning, max_epochs=sweep.max_epochs),
        )

    def ask(self) -> Trial:
        """Begins the next trial."""
        number = len(self.trials())
        settings = self._sweep.settings
        # A point that waits was listed by a process that was killed before it could begin the trial.
        if settings.sampler == "grid" and len(self._frozen()) == number:
            self._study.enqueue_trial(next(itertools.islice(grid(self._sweep.space), number, None)))
        self._study.sampler = sampler(settings.sampler, settings.seed, number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._study.ask(self._distributions)
        return self.trial(number)

    def report(self, number: int, epochs: Sequence[float]) -> bool:
        """Tells the metric after each epoch so far; true where a new one is so bad that the trial should end early."""
        trial = self._live(number)
        known = len(self._frozen()[number].intermediate_values)
        outdone = False
        for epoch, value in enumerate(epochs[known:], start=known + 1):
            trial.report(value, epoch)
            outdone = trial.should_prune() or outdone
        # After its last epoch there is nothing left to save: a trial that ran to its end counts.
        return outdone and len(epochs) < self._sweep.max_epochs

    def complete(self, number: int) -> None:
        """Ends a trial with the value of its best epoch."""
        self._study.tell(number, self.trial(number).value)

    def prune(self, number: int) -> None:
        """Ends a trial that was stopped for being worse than others."""
        self._study.tell(number, state=TrialState.PRUNED)

    def fail(self, number: int, error: str) -> None:
        """Ends a trial that came to nothing, with the reason in a sentence."""
        self._live(number).set_user_attr(_ERROR, error)
        self._study.tell(number, state=TrialState.FAIL)

    def trial(self, number: int) -> Trial:
        """What is known of a trial."""
        return self.trials()[number]

    def trials(self) -> tuple[Trial, ...]:
        """What is known of all trials that began."""
        return tuple(self._record(trial) for trial in self._frozen() if trial.state != TrialState.WAITING)

    def importance(self) -> dict[str, float]:
        """How much of the metric's variation each key explains, the sum being 1; empty below four completed trials.

        PED-ANOVA of the completed trials (Watanabe, Bansal and Hutter, IJCAI 2023).
        """
        if sum(trial.status == "completed" for trial in self.trials()) < _ENOUGH_FOR_IMPORTANCE:
            return {}
        return dict(optuna.importance.get_param_importances(self._study))

    def take_up(self) -> list[Trial]:
        """The trials that began and did not end: after an interruption, those to go on with."""
        numbers = [trial.number for trial in self.trials() if trial.status == "running"]
        for number in numbers:
            live = self._live(number)
            # All is drawn already, unless the process was killed in between.
            for key, dimension in self._sweep.space.items():
                _draw(live, key, dimension)
        return [self.trial(number) for number in numbers]

    def _frozen(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _live(self, number: int) -> optuna.Trial:
        # Optuna shows no way back from a number to a live trial; this is the one that its own `ask` takes.
        return optuna.Trial(self._study, self._frozen()[number]._trial_id)

    def _record(self, frozen: FrozenTrial) -> Trial:
        epochs = tuple(value for _, value in sorted(frozen.intermediate_values.items()))
        status = _STATUS[frozen.state]
        best = min if self._sweep.direction == "min" else max
        if frozen.datetime_start is None:
            raise StateError(f"trial {frozen.number} of sweep '{self._sweep.name}' has no start.")
        return Trial(
            number=frozen.number,
            status=status,
            params={key: text_of(frozen.params[key]) for key in self._sweep.space if key in frozen.params},
            epochs=epochs,
            value=best(epochs) if epochs and status != "failed" else None,
            run_id=trial_run_id(self._sweep.name, frozen.number),
            started_at=_in_utc(frozen.datetime_start),
            ended_at=None if frozen.datetime_complete is None else _in_utc(frozen.datetime_complete),
            error=frozen.user_attrs.get(_ERROR, "unknown") if status == "failed" else None,
        )


def _draw(live: optuna.Trial, key: str, dimension: Dimension) -> None:
    """Draws a value, or keeps the one that was drawn."""
    if isinstance(dimension, Choice):
        live.suggest_categorical(key, dimension.values)
    elif isinstance(dimension, FloatRange):
        live.suggest_float(key, dimension.low, dimension.high, log=dimension.log, step=dimension.step)
    else:
        live.suggest_int(key, dimension.low, dimension.high, log=dimension.log, step=dimension.step or 1)


def _in_utc(local: datetime) -> datetime:
    # Optuna keeps the local time without its zone.
    return local.astimezone(UTC)
