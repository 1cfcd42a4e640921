"""The seam between a sweep and what it tries: something that launches a trial, and a trial that goes on by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from loopline.core.records import RunStatus, Trial


class Objective(NamedTuple):
    """What a configuration is called, the metric that judges it, and how many epochs it trains at most."""

    name: str
    metric: str
    direction: Literal["min", "max"]
    max_epochs: int


class Progress(NamedTuple):
    """How a trial stands: the metric after each epoch so far, and the reason where it failed."""

    status: RunStatus
    epochs: Sequence[float]
    error: str | None = None


class LiveTrial(Protocol):
    """A trial that was launched and goes on by itself, in a process or a thread of its own."""

    def progress(self) -> Progress:
        """How it stands now; returns at once."""

    def stop(self) -> None:
        """Asks it to save what it has and end, which `progress` then shows as `interrupted`; returns at once."""

    def kill(self) -> None:
        """Ends it on the spot; returns at once."""


# Starts a trial; or goes on with it, or finds it done, where an earlier process of the same sweep launched it.
Launcher = Callable[[Trial], LiveTrial]
# Checks overrides, without computing anything, and says what they are judged by; raises `ConfigError`, `UnknownName`.
Describe = Callable[[Sequence[str]], Objective]
