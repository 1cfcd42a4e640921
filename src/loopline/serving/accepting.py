"""Who takes the next connection: of workers that share a listening socket, one that has no more than the others.

Left to the system, whichever process wakes first takes a whole burst, and the cores next to it stay idle for as long as
those connections stay open. Where one has too many nevertheless, because others' have ended or it was alone for a
while, it closes some with their next answer, and their clients come back to whoever has fewer.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import math
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable

from loopline.serving.workers import Worker

_LOGGER = logging.getLogger(__name__)
# How long, for each connection that it has more than another, a worker leaves the next one to its siblings before it
# takes it after all: they may hang. A process that wants a busy core waits some milliseconds for it.
_DEFER_S = 0.005
# Out of file descriptors: others must end first.
_EXHAUSTED_S = 0.1
# Clients come back to a worker that was alive so shortly ago.
_ALIVE_S = 1.0

# Linux's option, which Python does not name, and a program for it in its classic packet filter language: byte 13 of a
# TCP header; with the bit SYN the packet goes, without it all of it stays. Source: Linux, networking/filter.
_SO_ATTACH_FILTER = 26
_NO_SYN = (0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF)

Connect = Callable[[socket.socket], Awaitable[object]]


def turn_away(listener: socket.socket) -> None:
    """Lets no connection begin at a listening socket any more, in any process; those that have begun come in.

    The system would go on to take connections between the last one that is accepted and the closed socket, and reset
    them. So a client that comes now hears nothing; it asks again after a second, and finds the socket closed. Does
    nothing where the system has no such filter.
    """
    if sys.platform != "linux":
        return
    program = b"".join(struct.pack("=HBBI", *line) for line in _NO_SYN)
    memory = ctypes.create_string_buffer(program, len(program))
    place = struct.pack("@HP", len(_NO_SYN), ctypes.addressof(memory))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, place)
    except OSError as error:
        # Some containers' systems are not Linux's own: whoever comes at the last moment is reset there.
        _LOGGER.debug("connections cannot be turned away: %s", error)


class Acceptor:
    """Takes connections off a listening socket, one at a time, between `start` and `close`."""

    def __init__(
        self, listener: socket.socket, connect: Connect, *, num_open: Callable[[], int], worker: Worker
    ) -> None:
        """`connect` makes a connection of an accepted socket; `num_open` says how many there are."""
        self._listener = listener
        self._connect = connect
        self._num_open = num_open
        self._counts = [0] if worker.connections is None else worker.connections
        self._index = worker.index
        self._tasks: set[asyncio.Future[object]] = set()
        self._timer: asyncio.TimerHandle | None = None
        listener.setblocking(False)

    def start(self) -> None:
        """Begins to accept; call it inside the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._listener.fileno(), self._take_turn)

    def publish(self) -> int:
        """Tells the other workers how many connections this one has, and returns it."""
        count = self._counts[self._index] = self._num_open() + len(self._tasks)
        return count

    def close(self) -> None:
        """Takes what waits already, which would be reset with the socket, and closes it; a second call does nothing."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener.fileno())
        while self._take():
            pass
        if self._timer is not None:
            self._timer.cancel()
        self._listener.close()

    def _take_turn(self) -> None:
        surplus = self.publish() - min(self._counts)
        if surplus <= 0:
            # All that is its share: the loop may be busy for a while before it comes back.
            while self._take() and self.publish() <= min(self._counts):
                pass
            return
        # Not by waiting for the socket again, which stays readable until somebody takes what waits there.
        self._loop.remove_reader(self._listener.fileno())
        self._timer = self._loop.call_later(_DEFER_S * surplus, self._take_after_all)

    def _take_after_all(self) -> None:
        self._timer = None
        self._loop.add_reader(self._listener.fileno(), self._take_turn)
        self._take()

    def _take(self) -> bool:
        """Accepts one connection; False where a sibling was quicker or none can be had."""
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            _LOGGER.error("a connection cannot be accepted: %s", error)
            self._loop.remove_reader(self._listener.fileno())
            self._timer = self._loop.call_later(_EXHAUSTED_S, self._take_after_all)
            return False
        accepted.setblocking(False)
        task = asyncio.ensure_future(self._connect(accepted))
        self._tasks.add(task)
        task.add_done_callback(self._connected)
        self.publish()
        return True

    def _connected(self, task: asyncio.Future[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _LOGGER.warning("a connection was lost before its first byte: %s", task.exception())


class Surplus:
    """How many of its connections a worker shall let go, so that all have about as many."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._last = 0
        self._num_left = 0

    def look(self) -> None:
        """Compares; call it a few times a second. What is seen twice counts: a burst is shared out in less."""
        counts, heartbeats = self._worker.connections, self._worker.heartbeats
        if counts is None or heartbeats is None:
            return
        since_s, own = time.monotonic() - _ALIVE_S, counts[self._worker.index]
        every = [count for count, alive_s in zip(counts, heartbeats, strict=True) if alive_s > since_s] or [own]
        # One at least, where all have a few and somebody has none.
        surplus = max(1, own - math.ceil(sum(every) / len(every))) if own - min(every) >= 2 else 0
        self._num_left, self._last = min(surplus, self._last), surplus

    def takes(self) -> bool:
        """Whether the connection that is answered now is one too many; asked once for each answer."""
        if not self._num_left:
            return False
        self._num_left -= 1
        return True
