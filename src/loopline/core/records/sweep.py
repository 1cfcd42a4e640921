"""`Sweep`: a space of configurations, how it is searched, and every trial of the search."""

from __future__ import annotations

import shlex
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from loopline.core.records.record import Name, Record, Time

# Shorter than a `Name`: the ids of its runs are this and a number.
SweepName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,89}$")]
TrialStatus = Literal["running", "completed", "pruned", "failed"]


class FloatRange(Record):
    """Every number from `low` to `high`, or those that lie `step` apart; `log` draws magnitudes evenly."""

    kind: Literal["float"] = "float"
    low: float
    high: float
    log: bool = False
    step: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        _check_range(self.low, self.high, log=self.log, step=self.step)
        return self


class IntRange(Record):
    """Every whole number from `low` to `high`, both included, or those that lie `step` apart."""

    kind: Literal["int"] = "int"
    low: int
    high: int
    log: bool = False
    step: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        _check_range(self.low, self.high, log=self.log, step=self.step)
        return self


class Choice(Record):
    """One of several values, each as the text that stands after `key=`; in no order."""

    kind: Literal["choice"] = "choice"
    values: tuple[str, ...]

    @model_validator(mode="after")
    def _is_a_choice(self) -> Self:
        if len(set(self.values)) < 2:
            raise ValueError("expected at least two different values")
        if len(set(self.values)) < len(self.values):
            raise ValueError("expected every value once")
        return self


def _check_range(low: float, high: float, *, log: bool, step: float | None) -> None:
    if low >= high:
        raise ValueError(f"expected a low end below the high one, not {low:g} and {high:g}")
    if log and low <= 0:
        raise ValueError(f"expected a low end above 0 on a logarithmic scale, not {low:g}")
    if log and step is not None:
        raise ValueError("expected `log` or `step`, not both")
    if step is not None and step > high - low:
        raise ValueError(f"expected a step of at most {high - low:g}, the width of the range, not {step:g}")


Dimension = Annotated[FloatRange | IntRange | Choice, Field(discriminator="kind")]


class Pruning(Record):
    """Which trials end early: after which epoch a trial is judged first, and which share of them goes on."""

    name: str = "median"
    # No trial ends before so many epochs.
    warmup_epochs: int = Field(default=1, ge=1)
    # Halving (`asha`, `hyperband`) lets one in so many go on at each rung.
    factor: int = Field(default=3, ge=2)


class SweepSettings(Record):
    """How a space is searched."""

    # None: all points of a grid, 20 otherwise.
    num_trials: int | None = Field(default=None, ge=1)
    sampler: str = "tpe"
    pruning: Pruning = Pruning()
    # Trials at a time, each in a process of its own.
    num_workers: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    # Which direction the caller takes for better; None takes the metric's own, and another than that is an error.
    goal: Literal["min", "max"] | None = None
    # None makes one up.
    name: SweepName | None = None
    # A folder of the user's own groups, as `loopline train --config-dir`.
    config_dir: str | None = None


class Trial(Record):
    """One point of the space: what was sampled, what came out, and the run that holds the rest."""

    number: int = Field(ge=0)
    status: TrialStatus
    # The text after `key=`, by key.
    params: dict[str, str]
    # The metric after each epoch; the best of them is the trial's value.
    epochs: tuple[float, ...] = ()
    value: float | None = None
    run_id: Name
    started_at: Time
    ended_at: Time | None = None
    error: str | None = None

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if (self.status == "running") != (self.ended_at is None):
            raise ValueError("a trial has an end exactly when it no longer runs")
        if (self.status == "failed") != (self.error is not None):
            raise ValueError("a trial has an error exactly when it failed")
        if self.status == "completed" and self.value is None:
            raise ValueError("a completed trial has a value")
        if self.value is not None and self.value not in self.epochs:
            raise ValueError("a trial's value is that of one of its epochs")
        return self

    @property
    def overrides(self) -> tuple[str, ...]:
        """The sampled point as overrides."""
        return tuple(f"{key}={text}" for key, text in self.params.items())

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end, waiting between two sittings included; None while it runs."""
        return None if self.ended_at is None else (self.ended_at - self.started_at).total_seconds()


class Sweep(Record):
    """A search over configurations; `trials` in the order in which they began."""

    schema_version: Literal[1] = 1
    name: SweepName
    # What all trials share, and what differs.
    overrides: tuple[str, ...]
    space: dict[str, Dimension] = Field(min_length=1)
    settings: SweepSettings
    num_trials: int = Field(ge=1)
    metric: str
    direction: Literal["min", "max"]
    # The longest that a trial may train.
    max_epochs: int = Field(ge=1)
    created_at: Time
    trials: tuple[Trial, ...] = ()
    # How much of the metric's variation each key explains, the sum being 1; empty while too few trials are completed.
    importance: dict[str, float] = {}

    @model_validator(mode="after")
    def _trials_agree(self) -> Self:
        if [trial.number for trial in self.trials] != list(range(len(self.trials))):
            raise ValueError("the trials' numbers are not 0, 1, 2 …")
        for trial in self.trials:
            if not set(trial.params) <= set(self.space):
                raise ValueError(f"trial {trial.number} has parameters that the space has not")
        if not set(self.importance) <= set(self.space):
            raise ValueError("importance of keys that the space has not")
        return self

    @property
    def num_finished(self) -> int:
        """Trials that ended: completed, pruned or failed."""
        return sum(trial.status != "running" for trial in self.trials)

    @property
    def best(self) -> Trial | None:
        """The completed trial with the best value, the first of equals."""
        completed = [trial for trial in self.trials if trial.status == "completed" and trial.value is not None]
        sign = 1 if self.direction == "min" else -1
        return min(completed, key=lambda trial: sign * (trial.value or 0.0), default=None)

    def command(self, trial: Trial) -> str:
        """The command that trains a trial again, on its own."""
        own = ("--config-dir", self.settings.config_dir) if self.settings.config_dir is not None else ()
        return shlex.join(("loopline", "train", *own, *self.overrides, *trial.overrides))
