"""The prediction log as one SQLite file; its write-ahead log lets readers and writers work side by side."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loopline.core.errors import InputError, StateError
from loopline.prediction_log.log import PredictionLog, Session

# Marks the file as ours ("LOOP"), so that another program's database is never taken for a log.
_APPLICATION_ID = 0x4C4F4F50
# In one statement: between two of them the interpreter goes to the thread that answers and back. SQLite takes 32,766
# values at once.
_ROWS_AT_ONCE = 64

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


class SqliteLog(PredictionLog):
    """A prediction log in a file."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        super().__init__()
        self.path = path
        self._connection = connection

    @contextmanager
    def _session(self, verb: str) -> Iterator[Session]:
        with _in_words(self.path, verb):
            yield _SqliteSession(self._connection)

    @contextmanager
    def _transaction(self, verb: str) -> Iterator[Session]:
        with _in_words(self.path, verb), _transaction(self._connection):
            yield _SqliteSession(self._connection)

    def _close(self) -> None:
        self._connection.close()


class _SqliteSession:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        into, places = f"INSERT INTO {table} ({', '.join(columns)}) VALUES", f"({', '.join('?' * len(columns))})"
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[start : start + _ROWS_AT_ONCE]
            statement = f"{into} {', '.join([places] * len(some))} ON CONFLICT DO NOTHING"
            self._connection.execute(statement, [value for row in some for value in row])


def open_file(path: Path, *, must_exist: bool = False) -> SqliteLog:
    """Opens a log's file, making it and its folder where they are missing and bringing old ones up to date.

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
    return SqliteLog(path, connection)


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
