"""One name that a server answers for, and the bundle behind it now; bundles are exchanged while requests come.

lane "fashion@champion" ── current ──> open bundle: predictor, queue, proof
                              └─ switch: the new one starts beside it, takes over between two batches,
                                 and the old one answers what it had accepted
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopline.core.errors import ConfigError, SkewError
from loopline.core.records import ModelBundle
from loopline.predictor.answer import PredictorLike
from loopline.serving.batcher import Batcher
from loopline.serving.readiness import Readiness
from loopline.serving.settings import ServeSettings
from loopline.serving.tasks import TASKS


@dataclass(frozen=True)
class Bundles:
    """How a server gets at bundles; both block."""

    # From a reference (`fashion@champion`) to the folder that it stands for now.
    find: Callable[[str], Path]
    # From a folder to a predictor that reproduced its reference predictions.
    open: Callable[[Path], PredictorLike]


@dataclass(frozen=True)
class LaneEvents:
    """Whom a lane tells what happens."""

    # The size of a batch, in the engine's thread.
    on_batch: Callable[[int], None]
    on_failure: Callable[[], None]
    # Whether the bundle that answers now predicts its reference inputs.
    on_ready: Callable[[bool], None]


class OpenBundle:
    """A predictor with its task, queue and proof; between `start` and `close` it answers."""

    def __init__(
        self,
        predictor: PredictorLike,
        settings: ServeSettings,
        events: LaneEvents,
        *,
        on_ready: Callable[[OpenBundle, bool], None],
    ) -> None:
        self.predictor = predictor
        self.bundle: ModelBundle = predictor.bundle
        self.task = TASKS[self.bundle.task](predictor, num_probabilities=settings.num_probabilities)
        self.readiness = Readiness(
            predictor.verify,
            interval_s=settings.verify_interval_s,
            on_change=lambda is_ready: on_ready(self, is_ready),
            is_verified=predictor.is_verified,
        )
        self._settings = settings
        self._events = events

    async def start(self) -> None:
        """Starts the threads and predicts the reference inputs; call it inside the running loop."""
        self.batcher = Batcher(
            self.predictor.predict, self._settings, on_batch=self._events.on_batch, on_failure=self._failed
        )
        self.batcher.start()
        await self.readiness.start()

    async def close(self) -> None:
        """Answers what was accepted, then ends the threads."""
        await self.batcher.close()
        await self.readiness.close()

    def _failed(self, error: Exception) -> None:
        self._events.on_failure()
        self.readiness.broke(error)


class Lane:
    """One alias with the bundle that it points to; `current` is whole at any moment."""

    def __init__(self, model: str, predictor: PredictorLike, settings: ServeSettings, events: LaneEvents) -> None:
        """Raises `ConfigError` where inputs shall be kept that may not leave."""
        check_may_keep(predictor.bundle, settings, model)
        self.model = model
        # Why the bundle that the alias points to does not answer here; None where it does.
        self.refusal: str | None = None
        self._settings = settings
        self._events = events
        self.current = OpenBundle(predictor, settings, events, on_ready=self._heard)
        # Those that answer only what they had accepted.
        self._leaving: dict[asyncio.Task[None], OpenBundle] = {}

    @property
    def num_admitted(self) -> int:
        """Examples that are accepted and not answered yet, by whichever bundle."""
        return sum(bundle.batcher.num_admitted for bundle in (self.current, *self._leaving.values()))

    async def start(self) -> None:
        """Starts what answers first."""
        await self.current.start()

    async def close(self) -> None:
        """Answers everything that was accepted, by whichever bundle."""
        await self.current.close()
        await asyncio.gather(*self._leaving)

    async def switch(self, predictor: PredictorLike) -> None:
        """Lets another bundle answer from the next request on.

        Raises `ConfigError` where it answers another question or may not be served so, `SkewError` where it does not
        predict its reference inputs here; then the old one goes on.
        """
        check_same_question(self.current.bundle, predictor.bundle, self.model)
        check_may_keep(predictor.bundle, self._settings, self.model)
        new = OpenBundle(predictor, self._settings, self._events, on_ready=self._heard)
        await new.start()
        if not new.readiness.is_ready:
            await new.close()
            raise SkewError(new.readiness.reason)
        old, self.current = self.current, new
        self._events.on_ready(True)
        leaving = asyncio.create_task(old.close())
        self._leaving[leaving] = old
        leaving.add_done_callback(self._leaving.pop)

    def _heard(self, bundle: OpenBundle, is_ready: bool) -> None:
        # One that is not yet, or no longer, asked says nothing about the answers of this server.
        if bundle is self.current:
            self._events.on_ready(is_ready)


def check_may_keep(bundle: ModelBundle, settings: ServeSettings, model: str) -> None:
    """Raises `ConfigError` where the server would keep inputs of a kind that is confidential."""
    if settings.log_inputs and bundle.reference.is_simulated:
        raise ConfigError(
            f"log_inputs given; bundle '{bundle.name}' was made of confidential data, whose like is not kept.",
            next_command=f"loopline serve {model} --no-log-inputs",
        )


def check_same_question(served: ModelBundle, given: ModelBundle, model: str) -> None:
    """Raises `ConfigError` where a caller of one bundle could not ask the other one."""
    expected, found = _question(served), _question(given)
    if expected != found:
        words = [f"{name} {found[name]}" for name in expected if expected[name] != found[name]]
        same = [f"{name} {expected[name]}" for name in expected if expected[name] != found[name]]
        raise ConfigError(
            f"bundle {given.digest[:12]} of {model} has {', '.join(words)}; this server has {', '.join(same)}.",
            next_command=f"loopline serve {model}",
        )


def _question(bundle: ModelBundle) -> dict[str, Any]:
    return {"task": bundle.task, "input_kind": bundle.input_kind, "unit": bundle.unit}
