"""The server's look at its aliases: what a promotion points to is opened, proved, and takes over."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from loopline.bundle import read_record_only
from loopline.core.errors import LooplineError, StateError
from loopline.serving.batcher import sentence_of
from loopline.serving.lane import Bundles, Lane
from loopline.serving.telemetry import Telemetry

_LOGGER = logging.getLogger(__name__)


class AliasWatch:
    """Looks at what one lane's alias points to, again and again between `start` and `close`."""

    def __init__(self, lane: Lane, bundles: Bundles, telemetry: Telemetry, *, interval_s: float) -> None:
        self._lane = lane
        self._bundles = bundles
        self._telemetry = telemetry
        self._interval_s = interval_s
        self._refused: tuple[Path, str] | None = None
        self._has_warned = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to look; call it inside the running loop."""
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Ends the watch."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Looks once; switches where the alias points to another bundle that can be served."""
        lane, old = self._lane, self._lane.current.bundle.digest
        try:
            folder, digest = await asyncio.to_thread(self._find)
        except (LooplineError, OSError) as error:
            self._say_once("%s cannot be looked up, %s goes on answering: %s", lane.model, old[:12], error)
            return
        self._has_warned = False
        if digest == old:
            lane.refusal = self._refused = None
            return
        if (folder, digest) == self._refused:
            return
        try:
            await lane.switch(await asyncio.to_thread(self._bundles.open, folder))
        except Exception as error:  # noqa: BLE001 - whatever a new bundle does, the old one goes on answering
            # Bytes and proofs do not mend by themselves; what may (a full disk, a lock) is tried at the next look.
            self._refused = None if isinstance(error, StateError | OSError) else (folder, digest)
            lane.refusal = f"{lane.model} points to bundle {digest[:12]}, which was refused: {_reason(error)}"
            self._telemetry.switches.labels("refused").inc()
            _LOGGER.error("%s Bundle %s goes on answering.", lane.refusal, old[:12])
            return
        lane.refusal = self._refused = None
        self._telemetry.answers_with(lane.model, digest, instead_of=old)
        self._telemetry.switches.labels("switched").inc()
        _LOGGER.warning("%s is bundle %s now; it was %s.", lane.model, digest[:12], old[:12])

    def _find(self) -> tuple[Path, str]:
        folder = self._bundles.find(self._lane.model)
        return folder, read_record_only(folder).digest

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self.look()

    def _say_once(self, message: str, *values: object) -> None:
        """Once until the registry answers again."""
        if not self._has_warned:
            self._has_warned = True
            _LOGGER.warning(message, *values)


def is_alias(reference: str) -> bool:
    """True for a name that may come to mean another bundle: an alias, but no number, digest or folder."""
    _, separator, selector = reference.partition("@")
    return bool(separator) and not selector.isdecimal() and not Path(reference).exists()


def _reason(error: Exception) -> str:
    return sentence_of(error) if isinstance(error, LooplineError) else f"{type(error).__name__}: {error}."
