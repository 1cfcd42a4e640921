"""The prediction log: one SQLite file with a row for every answered request, and the truth when it arrives.

Serving appends, monitoring reads, each in its own process; SQLite's write-ahead log lets both at once. Outputs and
embeddings are little-endian float32, 4 bytes a number, and the names of the outputs are stored once per bundle, so that
a window of 100,000 rows becomes an array in well under a second. The raw input is no part of a row: it lies in a table
of its own, and only if the server was told to keep it.

Shapes: N rows, K outputs (classes, a value and its interval, features of a text), D numbers of the embedding.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError, StateError, UnknownName
from loopline.core.records import Prediction, utc_now

# Marks the file as ours ("LOOP"), so that another program's database is never taken for a log.
_APPLICATION_ID = 0x4C4F4F50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Rating = Literal["up", "down"]

# Version n is the result of the first n entries. Entries are appended, never edited: files of every version are about.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE bundles (
            digest TEXT PRIMARY KEY,
            output_names TEXT NOT NULL  -- JSON list, in the order of predictions.outputs
        )""",
        """CREATE TABLE predictions (
            id INTEGER PRIMARY KEY,
            request_id TEXT NOT NULL,
            created_us INTEGER NOT NULL,  -- microseconds since 1970-01-01 UTC
            model TEXT NOT NULL,
            bundle_digest TEXT NOT NULL REFERENCES bundles (digest),
            input_digest TEXT NOT NULL,
            embedding BLOB NOT NULL,  -- float32, little-endian
            outputs BLOB NOT NULL,  -- float32, little-endian
            predicted TEXT NOT NULL,
            status TEXT NOT NULL,
            batch_size INTEGER NOT NULL,
            decode_ms REAL NOT NULL,
            queue_ms REAL NOT NULL,
            infer_ms REAL NOT NULL,
            total_ms REAL NOT NULL,
            label TEXT,
            labelled_us INTEGER
        )""",
        "CREATE INDEX predictions_request_id ON predictions (request_id)",
        "CREATE INDEX predictions_created_us ON predictions (created_us)",
        "CREATE TABLE inputs (digest TEXT PRIMARY KEY, data BLOB NOT NULL)",
    ),
    ("ALTER TABLE predictions ADD COLUMN rating TEXT",),  # up, down
)


class LogRow(NamedTuple):
    """One prediction on its way to the log: the columns of the table, then what belongs into the other tables."""

    request_id: str
    created_us: int
    model: str
    bundle_digest: str
    input_digest: str
    embedding: bytes
    outputs: bytes
    predicted: str
    status: str
    batch_size: int
    decode_ms: float
    queue_ms: float
    infer_ms: float
    total_ms: float
    output_names: tuple[str, ...]
    # The raw input; None leaves nothing but its digest.
    input_bytes: bytes | None = None


_WRITTEN = LogRow._fields[:-2]
_INSERT = f"INSERT INTO predictions ({', '.join(_WRITTEN)}) VALUES ({', '.join('?' * len(_WRITTEN))})"  # noqa: S608 - names from this file
_LABEL = """UPDATE predictions SET label = coalesce(?, label), rating = coalesce(?, rating), labelled_us = ?
    WHERE id = (SELECT max(id) FROM predictions WHERE request_id = ? AND model = coalesce(?, model)) RETURNING id"""
# What a record spells differently from a row.
_CONVERTED = {"created_us", "embedding", "outputs"}
_READ = (*_WRITTEN, "label", "rating", "labelled_us")
_COLUMNS = ("request_id", "created_us", "predicted", "label", "rating", "outputs", "embedding")


@dataclass(frozen=True)
class PredictionColumns:
    """A window of the log as arrays: rows of one bundle, oldest first."""

    bundle_digest: str | None
    output_names: tuple[str, ...]
    request_ids: list[str]
    created_at: list[datetime]
    predicted: list[str]
    labels: list[str | None]
    ratings: list[str | None]
    # float32, N×K and N×D; 0×0 for an empty window.
    outputs: NDArray[np.float32]
    embeddings: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.request_ids)


class PredictionLog:
    """An open prediction log; any thread may call it, one at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._lock = threading.Lock()
        self._known_bundles: set[tuple[str, tuple[str, ...]]] = set()

    def append(self, predictions: Sequence[Prediction]) -> None:
        """Writes the records in one transaction: all of them or none."""
        self.append_rows([_row_of(prediction) for prediction in predictions])

    def append_rows(self, rows: Sequence[LogRow]) -> None:
        """Writes the rows in one transaction, all or none; raises `StateError` where the file cannot be written."""
        new_bundles = {(row.bundle_digest, row.output_names) for row in rows} - self._known_bundles
        with self._transaction() as connection:
            for digest, names in new_bundles:
                _write_names(connection, digest, names)
            connection.executemany(_INSERT, [row[: len(_WRITTEN)] for row in rows])
            kept = [(row.input_digest, row.input_bytes) for row in rows if row.input_bytes is not None]
            connection.executemany("INSERT OR IGNORE INTO inputs VALUES (?, ?)", kept)
        # Only now: a transaction that was rolled back has left no names behind.
        self._known_bundles |= new_bundles

    def label(
        self, request_id: str, label: str | None, *, rating: Rating | None = None, model: str | None = None
    ) -> Prediction:
        """Keeps what became known of the newest prediction with that request id; returns the record with it.

        `label` is the truth as text: a label, a number, a corrected text. A second truth or rating replaces the first;
        None leaves what there is. Raises `UnknownName` where no prediction (of `model`, where given) has the id.
        """
        with self._transaction() as connection:
            found = connection.execute(_LABEL, (label, rating, microseconds(utc_now()), request_id, model)).fetchall()
            if not found:
                raise UnknownName("request id", request_id, ())
            return next(_records(connection, "WHERE predictions.id = ?", [found[0][0]]))

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
        with self._reading() as connection:
            return list(_records(connection, *_where(model, bundle_digest, since, until)))

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
        with self._reading() as connection:
            bundles = connection.execute(
                f"SELECT DISTINCT bundle_digest FROM predictions {where} ORDER BY 1",  # noqa: S608 - fixed text, bound values
                values,
            ).fetchall()
            if len(bundles) > 1:
                shown = ", ".join(digest[:12] for (digest,) in bundles)
                raise InputError(f"the window holds predictions of {len(bundles)} bundles: {shown}; expected of one.")
            names = _output_names(connection)
            rows = connection.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM predictions {where} ORDER BY id",  # noqa: S608 - fixed text, bound values
                values,
            ).fetchall()
        columns: list[tuple[Any, ...]] = list(zip(*rows, strict=True)) if rows else [()] * len(_COLUMNS)
        digest = bundles[0][0] if bundles else None
        return PredictionColumns(
            bundle_digest=digest,
            output_names=names.get(digest, ()) if digest else (),
            request_ids=list(columns[0]),
            created_at=[_moment(value) for value in columns[1]],
            predicted=list(columns[2]),
            labels=list(columns[3]),
            ratings=list(columns[4]),
            outputs=_matrix(columns[5]),
            embeddings=_matrix(columns[6]),
        )

    def read_input(self, input_digest: str) -> bytes | None:
        """The raw input with that digest, or None where it was not kept."""
        with self._reading() as connection:
            row = connection.execute("SELECT data FROM inputs WHERE digest = ?", (input_digest,)).fetchone()
        return None if row is None else bytes(row[0])

    def count(self) -> int:
        """How many predictions the log holds."""
        with self._reading() as connection:
            return int(connection.execute("SELECT count(*) FROM predictions").fetchone()[0])

    def close(self) -> None:
        """Closes the file; what was written before is on the disk."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _in_words(self.path, "read"):
            yield self._connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _in_words(self.path, "written"), _transaction(self._connection):
            yield self._connection


def open_log(path: Path, *, must_exist: bool = False) -> PredictionLog:
    """Opens a prediction log, making the file and its folder where they are missing and bringing old ones up to date.

    Raises `InputError` where `must_exist` and it does not, `StateError` where the file cannot be opened, is something
    else than a prediction log, or was written by a newer Loopline.
    """
    if must_exist and not path.exists():
        raise InputError(
            f"there is no prediction log at '{path}'; expected one that a server wrote.",
            next_command="loopline serve MODEL",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with _in_words(path, "opened"):
        # Autocommit: transactions are begun where they are meant. Threads take turns under the log's own lock.
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
        try:
            _prepare(path, connection)
        except BaseException:
            connection.close()
            raise
    return PredictionLog(path, connection)


def _prepare(path: Path, connection: sqlite3.Connection) -> None:
    # NORMAL in WAL mode: a killed process loses nothing, a power cut at most the last commits, the file stays whole.
    connection.execute("PRAGMA synchronous = NORMAL")
    version = _version(path, connection)
    if version == len(_MIGRATIONS):
        return
    connection.execute("PRAGMA journal_mode = WAL")
    with _transaction(connection):
        # Asked again inside the transaction: another process may have been quicker.
        for statements in _MIGRATIONS[_version(path, connection) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")


def _version(path: Path, connection: sqlite3.Connection) -> int:
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    has_tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] > 0
    if has_tables and application_id != _APPLICATION_ID:
        raise StateError(
            f"'{path}' is a database of another program; expected a prediction log or a new file.",
            next_command="loopline serve MODEL --log FILE",
        )
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(_MIGRATIONS):
        raise StateError(
            f"the prediction log '{path}' has schema version {version}, this Loopline knows {len(_MIGRATIONS)}.",
            next_command="pip install --upgrade loopline",
        )
    return version


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself where the disk was full; a second rollback would be an error of its own.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _in_words(path: Path, verb: str) -> Iterator[None]:
    """Turns SQLite's errors (disk full, locked, no database) into one sentence with the file's name."""
    try:
        yield
    except sqlite3.Error as error:
        raise StateError(
            f"the prediction log '{path}' cannot be {verb}: {error}.",
            next_command="free some space or choose another file: loopline serve MODEL --log FILE",
        ) from error


def _write_names(connection: sqlite3.Connection, bundle_digest: str, names: tuple[str, ...]) -> None:
    connection.execute("INSERT OR IGNORE INTO bundles VALUES (?, ?)", (bundle_digest, json.dumps(names)))
    stored = _output_names(connection)[bundle_digest]
    if stored != names:
        raise InputError(
            f"bundle {bundle_digest[:12]} has the outputs {', '.join(stored)} in the log; given: {', '.join(names)}."
        )


def _output_names(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    rows = connection.execute("SELECT digest, output_names FROM bundles").fetchall()
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


def _records(connection: sqlite3.Connection, where: str, values: list[Any]) -> Iterator[Prediction]:
    names = _output_names(connection)
    for row in connection.execute(f"SELECT {', '.join(_READ)} FROM predictions {where} ORDER BY id", values):  # noqa: S608 - fixed text, bound values
        fields = dict(zip(_READ, row, strict=True))
        labelled_us = fields.pop("labelled_us")
        outputs = np.frombuffer(fields.pop("outputs"), "<f4").tolist()
        yield Prediction(
            created_at=_moment(fields.pop("created_us")),
            embedding=tuple(np.frombuffer(fields.pop("embedding"), "<f4").tolist()),
            outputs=dict(zip(names[fields["bundle_digest"]], outputs, strict=True)),
            labelled_at=None if labelled_us is None else _moment(labelled_us),
            **fields,
        )


def _row_of(prediction: Prediction) -> LogRow:
    return LogRow(
        created_us=microseconds(prediction.created_at),
        embedding=float32_bytes(prediction.embedding),
        outputs=float32_bytes(list(prediction.outputs.values())),
        output_names=tuple(prediction.outputs),
        **{name: getattr(prediction, name) for name in _WRITTEN if name not in _CONVERTED},
    )


def float32_bytes(numbers: Sequence[float] | NDArray[np.floating[Any]]) -> bytes:
    """Numbers as a row stores them: little-endian float32."""
    return np.asarray(numbers, "<f4").tobytes()


def _matrix(blobs: Sequence[bytes]) -> NDArray[np.float32]:
    joined = np.frombuffer(b"".join(blobs), "<f4").astype(np.float32)
    return joined.reshape(len(blobs), -1) if blobs else joined.reshape(0, 0)


def microseconds(moment: datetime) -> int:
    """A moment as a row stores it: whole microseconds since 1970-01-01 UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
