"""From a place (a file, or the URL of a database) to an open log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import overload
from urllib.parse import urlsplit

from loopline.core.errors import InputError
from loopline.core.store import digest_bytes
from loopline.core.tables import load
from loopline.core.workspace import Workspace
from loopline.prediction_log.log import PredictionLog
from loopline.prediction_log.sqlite import SqliteLog, open_file

# Only a log in a database needs its driver.
_POSTGRES, _SPOOL = "loopline.prediction_log.postgres", "loopline.prediction_log.spool"
LOG_VARIABLE = "LOOPLINE_SERVE_LOG"
DATABASE_SCHEMES = ("postgresql", "postgres")


@overload
def open_log(place: Path, *, must_exist: bool = False) -> SqliteLog:
    """A path is a file's."""


@overload
def open_log(place: str | Path, *, must_exist: bool = False) -> PredictionLog:
    """A text may be a database's."""


def open_log(place: str | Path, *, must_exist: bool = False) -> PredictionLog:
    """Opens the prediction log in a file, or in the database of `postgresql://HOST/DATABASE`.

    Makes what is missing and brings old ones up to date. Raises `InputError` where `must_exist` and it does not,
    `StateError` where it cannot be opened, is something else than a prediction log, or was written by a newer Loopline.
    """
    if not is_url(place):
        return open_file(Path(place), must_exist=must_exist)
    log = load(f"{_POSTGRES}:PostgresLog")(load(f"{_POSTGRES}:parse_address")(place))
    try:
        log.check(must_exist=must_exist)
    except BaseException:
        log.close()
        raise
    opened: PredictionLog = log
    return opened


def log_of(workspace: Workspace) -> str | Path:
    """Where predictions of a workspace are: where LOOPLINE_SERVE_LOG says, as to servers, else in its own file."""
    return os.environ.get(LOG_VARIABLE) or workspace.prediction_log


def open_log_to_write(place: str | Path, *, spool_folder: Path, max_spool_rows: int) -> PredictionLog:
    """Opens a log as a server needs it: a database need not be there.

    Rows for a database wait in a file of `spool_folder`, at most so many, until they arrived. Raises what `open_log`
    raises for a file, and `InputError` for an address that cannot be one.
    """
    file = open_file(_file_of(place, spool_folder))
    if not is_url(place):
        return file
    database = load(f"{_POSTGRES}:PostgresLog")(load(f"{_POSTGRES}:parse_address")(place))
    opened: PredictionLog = load(f"{_SPOOL}:SpooledLog")(file, database, max_rows=max_spool_rows)
    return opened


def prepare_log(place: str | Path, *, spool_folder: Path) -> None:
    """Makes the file that `open_log_to_write` opens, and starts nothing: for one process, before several want to."""
    open_file(_file_of(place, spool_folder)).close()


def _file_of(place: str | Path, spool_folder: Path) -> Path:
    """The log's own file, or the one in which rows for a database wait: in a workspace, one per database."""
    if not is_url(place):
        return Path(place)
    address = load(f"{_POSTGRES}:parse_address")(place)
    return spool_folder / f"predictions-{digest_bytes(str(address).encode())[:12]}.spool.db"


def is_url(place: str | Path) -> bool:
    """True for a database's address, False for a file; raises `InputError` for another scheme."""
    scheme, separator, _ = str(place).partition("://")
    if isinstance(place, Path) or not separator:
        return False
    if scheme not in DATABASE_SCHEMES:
        raise InputError(f"a prediction log at '{scheme}://…' given; expected a file or postgresql://HOST/DATABASE.")
    return True


def shown_place(place: str | Path) -> str:
    """A place as messages show it: without the name, the password and the settings that an address may hold."""
    if isinstance(place, Path) or not is_url(place):
        return str(place)
    parts = urlsplit(place)
    return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"
