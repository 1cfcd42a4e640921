"""Which requests a challenger sees: a share that it answers (split), and a share that it only watches (shadow).

Both are drawn from the request's id, not by chance: a request that is sent again goes the same way, in every process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import NamedTuple

from loopline.core.errors import ConfigError, InvalidExample
from loopline.serving.lane import Lane
from loopline.serving.refusals import Refusal
from loopline.serving.telemetry import Telemetry

_LOGGER = logging.getLogger(__name__)
# Examples that wait for a challenger with nobody waiting for them, each with the body that it came in.
_MOST_SHADOWS = 16


class Split(NamedTuple):
    """A challenger and the share of the requests that it answers."""

    reference: str
    share: float


def parse_split(text: str) -> Split:
    """`fashion@challenger=0.05`; raises `ConfigError` for anything else."""
    reference, separator, share = text.rpartition("=")
    try:
        value = float(share)
    except ValueError:
        value = -1.0
    if not reference or not separator or not 0 < value <= 1:
        raise ConfigError(f"split '{text}' given; expected MODEL=SHARE with a share up to 1, as in m@challenger=0.05.")
    return Split(reference, value)


class Traffic:
    """Chooses the lane of a request."""

    def __init__(self, champion: Lane, challenger: Lane | None = None, share: float = 0.0) -> None:
        self._champion = champion
        self._challenger = challenger
        self._share = share

    def lane_of(self, request_id: str) -> Lane:
        """The lane that answers; a challenger that does not work gets no requests."""
        challenger = self._challenger
        if challenger is not None and is_drawn(request_id, self._share, by="split"):
            return challenger if challenger.current.readiness.is_ready else self._champion
        return self._champion


class Shadow:
    """Shows a challenger a share of the requests; nobody waits for it, and nothing that it does reaches a caller."""

    def __init__(self, lane: Lane, telemetry: Telemetry, *, rate: float) -> None:
        self.lane = lane
        self._telemetry = telemetry
        self._rate = rate
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_warned = False

    def show(self, request_id: str, ask: Callable[[Lane], Awaitable[object]]) -> None:
        """Has `ask` put the request to the challenger, if it is drawn and not too many wait already."""
        if not is_drawn(request_id, self._rate, by="shadow"):
            return
        if len(self._tasks) >= _MOST_SHADOWS or not self.lane.current.readiness.is_ready:
            self._count("dropped")
            return
        task = asyncio.create_task(self._ask(ask))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Waits for what was shown."""
        await asyncio.gather(*self._tasks)

    async def _ask(self, ask: Callable[[Lane], Awaitable[object]]) -> None:
        try:
            await ask(self.lane)
        except (Refusal, InvalidExample) as error:
            self._count("dropped" if isinstance(error, Refusal) and error.status == 429 else "failed")
        except Exception:
            # A defect, of a challenger that nobody waits for: told once, counted always.
            self._count("failed")
            if not self._has_warned:
                self._has_warned = True
                _LOGGER.exception("%s failed on a request that it was shown", self.lane.model)
        else:
            self._count("answered")

    def _count(self, outcome: str) -> None:
        self._telemetry.shadowed.labels(outcome).inc()


def is_drawn(request_id: str, share: float, *, by: str) -> bool:
    """True for `share` of all ids; `by` makes draws for several ends independent of each other."""
    drawn = int.from_bytes(blake2b(request_id.encode(errors="replace"), digest_size=8, person=by.encode()).digest())
    return drawn < share * 2**64
