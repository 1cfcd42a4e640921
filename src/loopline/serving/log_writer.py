"""The way to the prediction log: a thread that commits what has gathered, so that no answer waits for a disk."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from loopline.core.errors import LooplineError
from loopline.prediction_log import LogRow, PredictionLog

_LOGGER = logging.getLogger(__name__)
# What gathers in this time becomes one commit; also the most that a killed process loses.
COMMIT_INTERVAL_S = 0.05
# A disk that is full now may not be later.
_RETRY_INTERVAL_S = 1.0


class LogWriter:
    """Appends rows in the background; at most `max_rows` wait, and what comes on top is dropped and counted.

    While the log cannot be written, rows stay and are tried again; predictions go on.
    """

    def __init__(
        self,
        log: PredictionLog,
        *,
        max_rows: int,
        on_written: Callable[[int], None] = lambda _count: None,
        on_dropped: Callable[[int], None] = lambda _count: None,
    ) -> None:
        self._log = log
        self._max_rows = max_rows
        self._on_written = on_written
        self._on_dropped = on_dropped
        self._rows: list[LogRow] = []
        self._changed = threading.Condition()
        self._closing = threading.Event()
        # One at a time takes rows to the disk: the thread, or whoever flushes.
        self._writing = threading.Lock()
        self._has_warned = False
        self._num_refused = 0
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def put(self, row: LogRow) -> None:
        """Takes a row, or drops it where too many wait."""
        with self._changed:
            is_full = len(self._rows) >= self._max_rows
            if not is_full:
                self._rows.append(row)
                self._changed.notify()
        if is_full:
            self._drop(1, f"{self._max_rows} rows wait for the disk already")

    def flush(self) -> bool:
        """Writes what waits now; False where the log refused it."""
        with self._writing:
            with self._changed:
                rows, self._rows = self._rows, []
            if not rows:
                return True
            try:
                self._log.append_rows(rows)
            except LooplineError as error:
                with self._changed:
                    self._rows[:0] = rows
                self._warn(f"{error.message} {len(rows)} rows wait.")
                return False
        self._on_written(len(rows))
        self._has_warned = False
        self._count_refused()
        return True

    def close(self) -> None:
        """Writes what waits and ends; what cannot be written is dropped and counted. The log itself stays open."""
        self._closing.set()
        with self._changed:
            self._changed.notify()
        self._thread.join()
        if not self.flush():
            self._drop(len(self._rows), "the log cannot be written")

    def _run(self) -> None:
        while not self._closing.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._rows or self._closing.is_set())
            self._closing.wait(COMMIT_INTERVAL_S)
            if not self.flush():
                self._closing.wait(_RETRY_INTERVAL_S)

    def _count_refused(self) -> None:
        """What a database refused long after it was taken here; the log has said why."""
        num_refused = self._log.num_refused
        if num_refused > self._num_refused:
            self._on_dropped(num_refused - self._num_refused)
            self._num_refused = num_refused

    def _drop(self, num_rows: int, reason: str) -> None:
        self._on_dropped(num_rows)
        self._warn(f"{num_rows} predictions are not in the prediction log: {reason}.")

    def _warn(self, sentence: str) -> None:
        """Once until the log can be written again: a full disk is not helped by more lines."""
        if not self._has_warned:
            self._has_warned = True
            _LOGGER.warning("%s The metric loopline_log_rows_dropped_total counts on.", sentence)
