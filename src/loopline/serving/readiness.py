"""Ready means that the raw reference inputs were predicted as they should be, with this bundle, engine and machine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from loopline.serving.batcher import sentence_of

_LOGGER = logging.getLogger(__name__)


class Readiness:
    """Verifies at the start and whenever predicting broke, again and again until it works."""

    def __init__(
        self,
        verify: Callable[[], None],
        *,
        interval_s: float,
        on_change: Callable[[bool], None] = lambda _ready: None,
        is_verified: bool = False,
    ) -> None:
        self._verify = verify
        self._interval_s = interval_s
        self._on_change = on_change
        self._is_verified = is_verified
        self._broken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.is_ready = False
        self.reason = "the reference inputs are not predicted yet."

    async def start(self) -> None:
        """Verifies once, unless that was done already, then keeps watch in the background."""
        if self._is_verified:
            self._set(True, "")
        else:
            await self._check()
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Ends the watch."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def broke(self, error: Exception) -> None:
        """Predicting failed: not ready until the reference inputs are predicted again."""
        self._set(False, sentence_of(error))
        self._broken.set()

    async def _watch(self) -> None:
        while True:
            await self._broken.wait()
            self._broken.clear()
            await self._check()
            while not self.is_ready:
                await asyncio.sleep(self._interval_s)
                await self._check()

    async def _check(self) -> None:
        try:
            await asyncio.to_thread(self._verify)
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the answer is that the server is not ready
            self._set(False, sentence_of(error))
        else:
            self._set(True, "")

    def _set(self, is_ready: bool, reason: str) -> None:
        if self.is_ready and not is_ready:
            _LOGGER.warning("the model does not predict any more: %s", reason)
        elif is_ready and self._task is not None and not self.is_ready:
            _LOGGER.warning("the model predicts again.")
        self.is_ready, self.reason = is_ready, reason
        self._on_change(is_ready)
