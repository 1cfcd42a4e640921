"""Ctrl-C and SIGTERM end long work between two steps, with everything saved; a second one ends it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether somebody asked the work to end. Until `deferred`, asking raises `KeyboardInterrupt` on the spot."""

    def __init__(self) -> None:
        self.requested = False
        self.deferred = False

    def receive(self, _signal: int, _frame: FrameType | None) -> None:
        """Handles a signal."""
        if self.requested or not self.deferred:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Sends SIGINT and SIGTERM to a `StopRequest`, and gives them back to whoever had them.

    Only the main thread hears signals; in another, the request stays as it is.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
