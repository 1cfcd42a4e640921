"""What every prediction log can do, in SQL that SQLite and PostgreSQL both speak."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from loopline.core.errors import InputError, UnknownName
from loopline.core.records import Prediction, utc_now
from loopline.prediction_log.rows import (
    COLUMNS,
    READ,
    WRITTEN,
    LogRow,
    PredictionColumns,
    columns_of,
    microseconds,
    record_of,
    row_of,
)

Rating = Literal["up", "down"]

_LABEL = """UPDATE predictions SET label = coalesce(?, label), rating = coalesce(?, rating), labelled_us = ?
    WHERE id = (SELECT max(id) FROM predictions WHERE request_id = ? AND model = coalesce(?, model)) RETURNING id"""
_OLDEST_FIRST = "ORDER BY created_us, id"


class Session(Protocol):
    """An open connection; `?` stands for a value, whatever the database calls it."""

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Sequence[Sequence[Any]]:
        """Runs one statement; the rows that it returns."""

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], /) -> None:
        """Writes rows; one that is there already stays as it is."""


class PredictionLog(ABC):
    """An open prediction log; any thread may call it, one at a time."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._known_bundles: set[tuple[str, tuple[str, ...]]] = set()

    @abstractmethod
    def _session(self, verb: str) -> AbstractContextManager[Session]:
        """A connection to read with; its errors become `StateError`s that say what cannot be done (`verb`)."""

    @abstractmethod
    def _transaction(self, verb: str) -> AbstractContextManager[Session]:
        """A connection whose statements take effect together, or not at all where the block raises."""

    @abstractmethod
    def _close(self) -> None: ...

    def append(self, predictions: Sequence[Prediction]) -> None:
        """Writes the records in one transaction: all of them or none."""
        self.append_rows([row_of(prediction) for prediction in predictions])

    def append_rows(self, rows: Sequence[LogRow]) -> None:
        """Writes the rows in one transaction, all or none; raises `StateError` where the log cannot be written."""
        new_bundles = {(row.bundle_digest, row.output_names) for row in rows} - self._known_bundles
        with self.writing() as session:
            for digest, names in new_bundles:
                write_names(session, digest, names)
            session.insert("predictions", WRITTEN, [row[: len(WRITTEN)] for row in rows])
            kept = {row.input_digest: row.input_bytes for row in rows if row.input_bytes is not None}
            session.insert("inputs", ("digest", "data"), list(kept.items()))
        # Only now: a transaction that was rolled back has left no names behind.
        self._known_bundles |= new_bundles

    def label(
        self, request_id: str, label: str | None, *, rating: Rating | None = None, model: str | None = None
    ) -> Prediction:
        """Keeps what became known of the newest prediction with that request id; returns the record with it.

        `label` is the truth as text: a label, a number, a corrected text. A second truth or rating replaces the first;
        None leaves what there is. Raises `UnknownName` where no prediction (of `model`, where given) has the id.
        """
        with self.writing() as session:
            found = session.execute(_LABEL, (label, rating, microseconds(utc_now()), request_id, model))
            if not found:
                raise UnknownName("request id", request_id, ())
            return next(_records(session, "WHERE predictions.id = ?", [found[0][0]]))

    def read(
        self,
        *,
        model: str | None = None,
        bundle_digest: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Prediction]:
        """The predictions with `since` <= time < `until`, oldest first; a None does not filter.

        Comfortable for hundreds of rows; for a window of many thousands use `read_columns`.
        """
        with self.reading() as session:
            return list(_records(session, *_where(model, bundle_digest, since, until)))

    def read_columns(
        self,
        *,
        model: str | None = None,
        bundle_digest: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> PredictionColumns:
        """The same window as arrays, which have one meaning only within one bundle.

        Raises `InputError` naming the bundles where the window holds several and `bundle_digest` does not choose.
        """
        where, values = _where(model, bundle_digest, since, until)
        with self.reading() as session:
            bundles = session.execute(
                f"SELECT DISTINCT bundle_digest FROM predictions {where} ORDER BY 1",  # noqa: S608 - fixed text, bound values
                values,
            )
            if len(bundles) > 1:
                shown = ", ".join(digest[:12] for (digest,) in bundles)
                raise InputError(f"the window holds predictions of {len(bundles)} bundles: {shown}; expected of one.")
            names = output_names(session)
            rows = session.execute(
                f"SELECT {', '.join(COLUMNS)} FROM predictions {where} {_OLDEST_FIRST}",  # noqa: S608 - fixed text, bound values
                values,
            )
        digest = bundles[0][0] if bundles else None
        return columns_of(rows, digest, names.get(digest, ()) if digest else ())

    def read_input(self, input_digest: str) -> bytes | None:
        """The raw input with that digest, or None where it was not kept."""
        with self.reading() as session:
            rows = session.execute("SELECT data FROM inputs WHERE digest = ?", (input_digest,))
        return bytes(rows[0][0]) if rows else None

    def count(self) -> int:
        """How many predictions the log holds."""
        with self.reading() as session:
            return int(session.execute("SELECT count(*) FROM predictions")[0][0])

    @property
    def num_waiting(self) -> int:
        """How many rows wait in this machine for a database that is elsewhere."""
        return 0

    @property
    def num_refused(self) -> int:
        """How many rows such a database would not take for what they hold."""
        return 0

    def close(self) -> None:
        """Closes the log; what was written before stays."""
        with self._turn:
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """The log's session, for this thread alone."""
        with self._turn, self._session("read") as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction, for this thread alone."""
        with self._turn, self._transaction("written") as session:
            yield session


def write_names(session: Session, bundle_digest: str, names: tuple[str, ...]) -> None:
    """Keeps the names of a bundle's outputs; raises `InputError` where the log holds others."""
    session.insert("bundles", ("digest", "output_names"), [(bundle_digest, json.dumps(names))])
    stored = output_names(session)[bundle_digest]
    if stored != names:
        raise InputError(
            f"bundle {bundle_digest[:12]} has the outputs {', '.join(stored)} in the log; given: {', '.join(names)}."
        )


def output_names(session: Session) -> dict[str, tuple[str, ...]]:
    """The names of the outputs of every bundle in the log."""
    rows = session.execute("SELECT digest, output_names FROM bundles")
    return {digest: tuple(json.loads(names)) for digest, names in rows}


def _where(
    model: str | None, bundle_digest: str | None, since: datetime | None, until: datetime | None
) -> tuple[str, list[Any]]:
    conditions = {
        "model = ?": model,
        "bundle_digest = ?": bundle_digest,
        "created_us >= ?": None if since is None else microseconds(since),
        "created_us < ?": None if until is None else microseconds(until),
    }
    chosen = {condition: value for condition, value in conditions.items() if value is not None}
    return ("WHERE " + " AND ".join(chosen) if chosen else ""), list(chosen.values())


def _records(session: Session, where: str, values: list[Any]) -> Iterator[Prediction]:
    names = output_names(session)
    statement = f"SELECT {', '.join(READ)} FROM predictions {where} {_OLDEST_FIRST}"  # noqa: S608 - fixed text, bound values
    for row in session.execute(statement, values):
        yield record_of(row, names)
