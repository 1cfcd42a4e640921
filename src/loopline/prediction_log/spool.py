"""A database's log behind a file of this machine: rows are safe once they are in the file, and travel from there.

    server ── append ──> file ── thread, whenever the database answers ──> database
                          └── at most `max_rows`; what a killed server leaves, the next one sends

There is one way, whether the database is there or not, so that what happens in a failure is what happens every day.
Several processes may share the file; one of them sends at a time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from loopline.core.errors import InputError, LooplineError, StateError, UnknownName
from loopline.core.records import Prediction
from loopline.core.store import is_locked, lock
from loopline.prediction_log.log import PredictionLog, Rating, Session, output_names
from loopline.prediction_log.postgres import PostgresLog
from loopline.prediction_log.rows import READ, LogRow
from loopline.prediction_log.sqlite import SqliteLog

_LOGGER = logging.getLogger(__name__)
# Rows that travel at once.
_BATCH_ROWS = 1000
# How often the file is looked into where nobody says that it has something, and how long a database that is away is
# left alone.
_INTERVAL_S = 1.0
# How long a process that ends waits for another one that is sending.
_LAST_PATIENCE_S = 5.0
_DELETE = "DELETE FROM predictions WHERE id = ? AND coalesce(labelled_us, 0) = coalesce(?, 0)"


class SpooledLog(PredictionLog):
    """A log that is written here and kept there."""

    def __init__(self, file: SqliteLog, database: PostgresLog, *, max_rows: int) -> None:
        """Takes over both, and starts the thread that sends."""
        super().__init__()
        self._file = file
        self._database = database
        self._max_rows = max_rows
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._has_warned = False
        self._num_refused = 0
        self._thread = threading.Thread(target=self._run, name="prediction-log-spool", daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        """How many rows wait for the database."""
        with self._file.reading() as session:
            # Rows leave from the front, so that their numbers are without gaps, nearly; counting would read them all.
            return int(session.execute("SELECT coalesce(max(id) - min(id) + 1, 0) FROM predictions")[0][0])

    @property
    def num_refused(self) -> int:
        """How many rows the database would not take for what they hold."""
        return self._num_refused

    def append_rows(self, rows: Sequence[LogRow]) -> None:
        """Writes the rows to the file; raises `StateError` where it is full or cannot be written."""
        if self.num_waiting + len(rows) > self._max_rows:
            raise StateError(
                f"{self._max_rows:,} rows, which is the limit, wait in '{self._file.path}' for "
                f"'{self._database.address}'."
            )
        self._file.append_rows(rows)
        self._wake.set()

    def label(
        self, request_id: str, label: str | None, *, rating: Rating | None = None, model: str | None = None
    ) -> Prediction:
        """As for every log; where the row is still here, here.

        Raises `StateError` where it is not and the database, which may have it, is away.
        """
        try:
            return self._file.label(request_id, label, rating=rating, model=model)
        except UnknownName:
            return self._database.label(request_id, label, rating=rating, model=model)

    def send(self, *, is_last: bool = False) -> bool:
        """Sends what waits; False where the database is away or another process is sending already.

        A process that ends (`is_last`) waits for the other, which may have looked before its last rows came.
        """
        lock_path = self._file.path.with_suffix(".lock")
        if not is_last and is_locked(lock_path):
            return False
        try:
            with lock(lock_path, holder=f"the spool '{self._file.path}'", timeout_s=_LAST_PATIENCE_S):
                while self._send_batch():
                    pass
        except StateError as error:
            self._warn(error)
            return False
        self._has_warned = False
        return True

    def _session(self, verb: str) -> AbstractContextManager[Session]:
        return self._database._session(verb)

    def _transaction(self, verb: str) -> AbstractContextManager[Session]:
        return self._database._transaction(verb)

    def _close(self) -> None:
        """Sends what it can; what stays in the file travels with the next server's."""
        self._closing.set()
        self._wake.set()
        self._thread.join()
        self.send(is_last=True)
        self._file.close()
        self._database.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(_INTERVAL_S)
            self._wake.clear()
            if self.num_waiting and not self.send():
                self._closing.wait(_INTERVAL_S)

    def _send_batch(self) -> bool:
        """The oldest rows; False where there are none."""
        with self._file.reading() as session:
            statement = f"SELECT id, {', '.join(READ)} FROM predictions ORDER BY id LIMIT {_BATCH_ROWS}"  # noqa: S608 - names from this room
            rows = session.execute(statement)
            names = output_names(session)
        if not rows:
            return False
        try:
            self._receive(rows, names)
        except InputError:
            # One of them cannot be stored: alone, the others can.
            self._send_singly(rows, names)
        with self._file.writing() as session:
            # Not what was labelled meanwhile: that goes again, with its label.
            labelled = 1 + READ.index("labelled_us")
            for row in rows:
                session.execute(_DELETE, (row[0], row[labelled]))
            session.execute("DELETE FROM inputs WHERE digest NOT IN (SELECT input_digest FROM predictions)")
        return True

    def _receive(self, rows: Sequence[Sequence[Any]], names: dict[str, tuple[str, ...]]) -> None:
        digests = {row[1 + READ.index("input_digest")] for row in rows}
        bundles = {row[1 + READ.index("bundle_digest")] for row in rows}
        inputs = [(digest, raw) for digest in digests if (raw := self._file.read_input(digest)) is not None]
        self._database.receive([row[1:] for row in rows], {name: names[name] for name in bundles}, inputs)

    def _send_singly(self, rows: Sequence[Sequence[Any]], names: dict[str, tuple[str, ...]]) -> None:
        for row in rows:
            try:
                self._receive([row], names)
            except InputError as error:
                self._num_refused += 1
                _LOGGER.error("a prediction is not in the prediction log: %s", error.message)

    def _warn(self, error: LooplineError) -> None:
        """Once until the database is there again."""
        if not self._has_warned and not self._closing.is_set():
            self._has_warned = True
            _LOGGER.warning("%s %d rows wait in '%s'.", error.message, self.num_waiting, self._file.path)
