"""How often each key may ask, over all processes of a server.

The generic cell rate algorithm (ITU-T I.371): of each key only the time is kept at which it would have used up what it
was given, one number in memory that the workers share. A file lock guards it, which the system frees when its holder
is killed.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_NUMBER_BYTES = 8


class RateLimit:
    """`rate_per_s` requests of each of `num_keys` keys, as many as of one second at once."""

    def __init__(self, rate_per_s: float, num_keys: int, *, folder: Path | None = None) -> None:
        """`folder` is where the processes of one server meet; None for a process that is alone."""
        self._interval_s = 1 / rate_per_s
        # One at least may always come alone.
        self._tolerance_s = max(1.0, rate_per_s) * self._interval_s
        self._file = tempfile.TemporaryFile() if folder is None else (folder / "rates").open("a+b")  # noqa: SIM115 - open until `close`
        size = max(1, num_keys) * _NUMBER_BYTES
        if os.fstat(self._file.fileno()).st_size < size:
            # Every process would make it as long, and none shorter.
            self._file.truncate(size)
        self._map = mmap.mmap(self._file.fileno(), size)
        self._used_up_s = memoryview(self._map).cast("d")

    def wait_s(self, index: int, *, now_s: float | None = None) -> float:
        """0 where the key may ask now, which is counted; else how long until it may. `now_s` is of `time.monotonic`."""
        # Linux's monotonic clock is one for all processes.
        now_s = time.monotonic() if now_s is None else now_s
        with self._alone():
            used_up_s = max(self._used_up_s[index], now_s) + self._interval_s
            wait_s = used_up_s - now_s - self._tolerance_s
            if wait_s > 1e-9:
                return wait_s
            self._used_up_s[index] = used_up_s
        return 0.0

    def close(self) -> None:
        """Gives the shared memory back."""
        self._used_up_s.release()
        self._map.close()
        self._file.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Between the processes; within one, only the event loop asks."""
        if sys.platform == "win32":
            yield
            return
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
