"""The prediction log in a PostgreSQL database, in a schema of its own; any number of servers may write to it.

A row is known by its request id, model and time, so that one which is sent twice is there once: a server that lost the
connection in the middle of a commit sends again what it does not know to have arrived.
"""

from __future__ import annotations

import getpass
import os
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pg8000.exceptions import DatabaseError, InterfaceError
from pg8000.native import Connection

from loopline.core.errors import InputError, StateError
from loopline.prediction_log.log import PredictionLog, Session, write_names
from loopline.prediction_log.rows import READ

_SCHEMA = "loopline"
# Two servers that start at once make the tables once ("LOOP").
_MIGRATION_LOCK = 0x4C4F4F50
_TIMEOUT_S = 10.0
_NUM_PORTS = 65_536

# Version n is the result of the first n entries, as for files.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE bundles (digest text PRIMARY KEY, output_names text NOT NULL)",
        """CREATE TABLE predictions (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            request_id text NOT NULL,
            created_us bigint NOT NULL,
            model text NOT NULL,
            bundle_digest text NOT NULL REFERENCES bundles (digest),
            input_digest text NOT NULL,
            embedding bytea NOT NULL,
            outputs bytea NOT NULL,
            predicted text NOT NULL,
            status text NOT NULL,
            batch_size integer NOT NULL,
            decode_ms double precision NOT NULL,
            queue_ms double precision NOT NULL,
            infer_ms double precision NOT NULL,
            total_ms double precision NOT NULL,
            label text,
            labelled_us bigint,
            rating text
        )""",
        "CREATE UNIQUE INDEX predictions_key ON predictions (request_id, model, created_us)",
        "CREATE INDEX predictions_created_us ON predictions (created_us)",
        "CREATE TABLE inputs (digest text PRIMARY KEY, data bytea NOT NULL)",
    ),
)
_TYPES = {
    "created_us": "bigint",
    "embedding": "bytea",
    "outputs": "bytea",
    "batch_size": "integer",
    "decode_ms": "double precision",
    "queue_ms": "double precision",
    "infer_ms": "double precision",
    "total_ms": "double precision",
    "labelled_us": "bigint",
    "data": "bytea",
}
# A row that is there already learns what became known since.
_LATE = """ON CONFLICT (request_id, model, created_us) DO UPDATE
    SET label = excluded.label, rating = excluded.rating, labelled_us = excluded.labelled_us
    WHERE excluded.labelled_us IS NOT NULL"""


@dataclass(frozen=True)
class Address:
    """Where a database is and who asks it."""

    user: str
    host: str
    port: int
    database: str
    sslmode: str
    password: str | None = field(repr=False)

    def __str__(self) -> str:
        return f"postgresql://{self.host}:{self.port}/{self.database}"


def parse_address(url: str) -> Address:
    """`postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE[?sslmode=MODE]`, as PostgreSQL itself reads it.

    `?host=/var/run/postgresql` names the folder of a socket. User and password default to PGUSER and PGPASSWORD.
    Raises `InputError`, without the password, for anything else.
    """
    try:
        parts = urlsplit(url)
        port = 5432 if parts.port is None else parts.port
    except ValueError as error:
        raise InputError(f"the prediction log's address cannot be read: {error}; expected {_FORM}.") from None
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    host = query.pop("host", None) or unquote(parts.hostname or "")
    sslmode = query.pop("sslmode", "prefer")
    database = unquote(parts.path.lstrip("/"))
    if not host or not database or query or sslmode not in _SSL:
        wrong = f"unknown setting '{next(iter(query))}'" if query else f"sslmode '{sslmode}'"
        problem = wrong if query or sslmode not in _SSL else "no host or no database"
        raise InputError(f"the prediction log's address has {problem}; expected {_FORM}, sslmode {', '.join(_SSL)}.")
    return Address(
        user=unquote(parts.username or "") or os.environ.get("PGUSER") or getpass.getuser(),
        host=host,
        port=port,
        database=database,
        sslmode=sslmode,
        password=unquote(parts.password) if parts.password else os.environ.get("PGPASSWORD"),
    )


_FORM = "postgresql://USER@HOST:PORT/DATABASE?sslmode=MODE"
_SSL: dict[str, bool | None] = {"disable": False, "prefer": None, "require": True, "verify-full": True}


class PostgresLog(PredictionLog):
    """A prediction log in a database; connects when it is used, and again after the connection broke."""

    def __init__(self, address: Address) -> None:
        super().__init__()
        self.address = address
        self._connection: Connection | None = None

    def check(self, *, must_exist: bool) -> None:
        """Connects and makes the tables, or brings them up to date.

        Raises `StateError` where the database cannot be had, `InputError` where `must_exist` and it holds no log.
        """
        with self._turn, self._in_words("opened"):
            if must_exist and not _has_log(self._connected(prepare=False)):
                raise InputError(
                    f"there is no prediction log at '{self.address}'; expected one that a server wrote.",
                    next_command="loopline serve MODEL --log postgresql://…",
                )
            _prepare(self._connected(prepare=False), self.address)

    def receive(
        self, rows: Sequence[Sequence[Any]], names: dict[str, tuple[str, ...]], inputs: Sequence[tuple[str, bytes]]
    ) -> None:
        """Takes over rows of a file (the columns `READ`), the names of their bundles' outputs, and kept inputs.

        Raises `StateError` where the database cannot be had, `InputError` where it refuses what a row holds.
        """
        with self._turn, self._transaction("written") as session:
            for digest, outputs in names.items():
                write_names(session, digest, outputs)
            _insert(session, "predictions", READ, rows, _LATE)
            session.insert("inputs", ("digest", "data"), inputs)

    @contextmanager
    def _session(self, verb: str) -> Iterator[Session]:
        # A transaction for reading, too: the schema is looked for in it alone, so that poolers of connections may stand
        # in between.
        with self._transaction(verb) as session:
            yield session

    @contextmanager
    def _transaction(self, verb: str) -> Iterator[Session]:
        with self._in_words(verb):
            connection = self._connected()
            connection.run("BEGIN")
            try:
                connection.run(f"SET LOCAL search_path TO {_SCHEMA}")
                yield _PostgresSession(connection)
                connection.run("COMMIT")
            except (InterfaceError, OSError):
                raise
            except BaseException:
                connection.run("ROLLBACK")
                raise

    def _close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            _end(connection)

    def _connected(self, *, prepare: bool = True) -> Connection:
        if self._connection is None:
            address = self.address
            secure: Any = _SSL[address.sslmode]
            connection = Connection(
                address.user,
                host=None if address.host.startswith("/") else address.host,
                unix_sock=f"{address.host}/.s.PGSQL.{address.port}" if address.host.startswith("/") else None,
                port=address.port,
                database=address.database,
                password=address.password,
                ssl_context=ssl.create_default_context() if address.sslmode == "verify-full" else secure,
                timeout=_TIMEOUT_S,
                application_name="loopline",
            )
            self._connection = connection
            if prepare:
                _prepare(connection, address)
        return self._connection

    @contextmanager
    def _in_words(self, verb: str) -> Iterator[None]:
        """Errors in one sentence; a connection that broke is given up, so that the next call makes a new one."""
        try:
            yield
        except (InterfaceError, OSError) as error:
            self._close()
            raise StateError(
                f"the prediction log at '{self.address}' cannot be {verb}: {_reason(error)}.",
                next_command=f"pg_isready -h {self.address.host} -p {self.address.port}",
            ) from error
        except DatabaseError as error:
            kind = InputError if _sqlstate(error).startswith(_DATA_EXCEPTION) else StateError
            if kind is StateError:
                # Whatever it was (no rights, shutting down): what the connection knows may be wrong by now.
                self._close()
            raise kind(f"the prediction log at '{self.address}' cannot be {verb}: {_reason(error)}.") from error


# PostgreSQL's class of errors about a value itself, such as one that no column can hold.
_DATA_EXCEPTION = "22"


class _PostgresSession:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[list[Any]]:
        pieces = statement.split("?")
        numbered = pieces[0] + "".join(f":v{index}{piece}" for index, piece in enumerate(pieces[1:]))
        named = {f"v{index}": _storable(value) for index, value in enumerate(values)}
        rows: list[list[Any]] | None = self._connection.run(numbered, **named)
        return rows or []

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        _insert(self, table, columns, rows, "ON CONFLICT DO NOTHING")


def _insert(
    session: Session, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], on_conflict: str
) -> None:
    """All rows in one statement, a column an array: one round trip, however many they are."""
    if not rows:
        return
    arrays = ", ".join(f"?::{_TYPES.get(column, 'text')}[]" for column in columns)
    statement = f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({arrays}) {on_conflict}"  # noqa: S608 - names from this room
    session.execute(statement, [list(column) for column in zip(*rows, strict=True)])


def _storable(value: Any) -> Any:
    """PostgreSQL's texts hold every character but one."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_storable(each) for each in value]
    return value


def _has_log(connection: Connection) -> bool:
    return connection.run(f"SELECT to_regclass('{_SCHEMA}.schema_version') IS NOT NULL")[0][0] is True


def _version(connection: Connection) -> int:
    return int(connection.run(f"SELECT version FROM {_SCHEMA}.schema_version")[0][0]) if _has_log(connection) else 0  # noqa: S608 - a name from this file


def _prepare(connection: Connection, address: Address) -> None:
    """Makes the tables, or brings them up to date; asks for no right that a log which is there does not need."""
    version = _version(connection)
    if version > len(_MIGRATIONS):
        raise StateError(
            f"the prediction log at '{address}' has schema version {version}, this Loopline knows {len(_MIGRATIONS)}.",
            next_command="pip install --upgrade loopline",
        )
    if version == len(_MIGRATIONS):
        return
    connection.run("BEGIN")
    try:
        connection.run(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        connection.run(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}")
        connection.run(f"SET LOCAL search_path TO {_SCHEMA}")
        connection.run("CREATE TABLE IF NOT EXISTS schema_version (version integer NOT NULL)")
        # Asked again under the lock: another process may have been quicker.
        rows = connection.run("SELECT version FROM schema_version")
        for statements in _MIGRATIONS[int(rows[0][0]) if rows else 0 :]:
            for statement in statements:
                connection.run(statement)
        connection.run("DELETE FROM schema_version")
        connection.run(f"INSERT INTO schema_version VALUES ({len(_MIGRATIONS)})")  # noqa: S608 - a number
        connection.run("COMMIT")
    except DatabaseError:
        connection.run("ROLLBACK")
        raise


def _sqlstate(error: DatabaseError) -> str:
    said = error.args[0] if error.args else None
    return str(said.get("C", "")) if isinstance(said, dict) else ""


def _reason(error: BaseException) -> str:
    """What the database said, or the system, in its own words and without a full stop."""
    said = error.args[0] if error.args else None
    text = said.get("M", "") if isinstance(said, dict) else str(error.__cause__ or error)
    return str(text).partition("\n")[0].rstrip(".") or type(error).__name__


def _end(connection: Connection) -> None:
    try:
        connection.close()
    except (InterfaceError, DatabaseError, OSError):
        # It was broken already, which is why it is closed.
        return
