"""Rows travel from a file of this machine to a real database, whatever happens to the database meanwhile."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from loopline.core.errors import InputError, StateError, UnknownName
from loopline.core.workspace import Workspace
from loopline.prediction_log import (
    LogRow,
    PredictionLog,
    log_of,
    open_log,
    open_log_to_write,
    prepare_log,
    shown_place,
    spool,
)
from loopline.prediction_log.postgres import parse_address
from loopline.prediction_log.sqlite import open_file

MakeRow = Callable[..., LogRow]


@pytest.fixture
def url(postgres: Any) -> str:
    address: str = postgres.url(f"spool_{uuid.uuid4().hex[:8]}")
    return address


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_INTERVAL_S", 0.05)


def start(url: str, folder: Path, *, max_rows: int = 10_000) -> PredictionLog:
    return open_log_to_write(url, spool_folder=folder, max_spool_rows=max_rows)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.02)


def test_rows_arrive_by_themselves(url: str, tmp_path: Path, row_of: MakeRow) -> None:
    """With their inputs; then nothing waits, and the log that a server writes reads as the database does."""
    with start(url, tmp_path) as log:
        log.append_rows([row_of(index) for index in range(2500)])
        log.append_rows([row_of(2500)._replace(input_bytes=b"raw")])
        wait_for(lambda: log.num_waiting == 0)
        assert log.count() == 2501
        assert log.read_input(row_of(2500).input_digest) == b"raw"
        assert log.read_columns().request_ids == [f"request-{index}" for index in range(2501)]


def test_nothing_is_lost_while_the_database_is_away(
    url: str, postgres: Any, tmp_path: Path, row_of: MakeRow, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows are taken and wait; the trouble is said once; they arrive, once each, when it is back."""
    caplog.set_level(logging.WARNING)
    with start(url, tmp_path) as log:
        log.append_rows([row_of(0)])
        wait_for(lambda: log.num_waiting == 0)
        postgres.stop()
        try:
            for index in range(1, 50):
                log.append_rows([row_of(index)])
            wait_for(lambda: "rows wait in" in caplog.text)
            assert log.num_waiting == 49
            assert log.label("request-7", "coat").label == "coat"
            with pytest.raises(StateError, match="cannot be written"):
                log.label("request-0", "coat")
        finally:
            postgres.start()
        wait_for(lambda: log.num_waiting == 0)
        rows = log.read()
    assert [row.request_id for row in rows] == [f"request-{index}" for index in range(50)]
    assert [row.request_id for row in rows if row.label] == ["request-7"]
    assert len(caplog.records) == 1


def test_a_server_starts_without_its_database(tmp_path: Path, row_of: MakeRow, postgres: Any) -> None:
    """And one that is killed leaves its rows in the file, from where the next one sends them."""
    url = postgres.url(f"late_{uuid.uuid4().hex[:8]}")
    postgres.stop()
    try:
        program = (
            "import sys, os, signal\nfrom pathlib import Path\nfrom loopline.prediction_log import open_log_to_write\n"
            "from loopline.prediction_log.rows import LogRow\n"
            f"log = open_log_to_write({url!r}, spool_folder=Path({str(tmp_path)!r}), max_spool_rows=10)\n"
            f"log.append_rows([LogRow(*{tuple(row_of(3))!r})])\n"
            "os.kill(os.getpid(), signal.SIGKILL)"
        )
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    finally:
        postgres.start()
    with start(url, tmp_path) as log:
        wait_for(lambda: log.num_waiting == 0)
        assert [row.request_id for row in log.read()] == ["request-3"]


def test_the_spool_is_bounded(url: str, postgres: Any, tmp_path: Path, row_of: MakeRow) -> None:
    """What would exceed it is refused, which the server's buffer then holds, drops and counts."""
    postgres.stop()
    try:
        log = start(url, tmp_path, max_rows=5)
        log.append_rows([row_of(index) for index in range(5)])
        with pytest.raises(StateError, match="5 rows, which is the limit, wait in"):
            log.append_rows([row_of(5)])
    finally:
        postgres.start()
    log.close()
    with open_log(url) as database:
        assert database.count() == 5


def test_a_row_that_travels_twice_is_there_once_with_its_label(url: str, tmp_path: Path, row_of: MakeRow) -> None:
    """A connection that broke in the middle of a commit leaves it open whether the rows arrived."""
    for label in (None, "coat"):
        prepare_log(url, spool_folder=tmp_path)
        (path,) = tmp_path.glob("*.spool.db")
        with closing(open_file(path)) as file:
            file.append_rows([row_of(1), row_of(2)])
            if label:
                file.label("request-1", label)
        start(url, tmp_path).close()
    with open_log(url) as database:
        assert [(row.request_id, row.label) for row in database.read()] == [("request-1", "coat"), ("request-2", None)]


def test_feedback_finds_a_row_wherever_it_is(url: str, tmp_path: Path, row_of: MakeRow) -> None:
    with start(url, tmp_path) as log:
        log.append_rows([row_of(1)])
        assert log.label("request-1", "bag").label == "bag"
        wait_for(lambda: log.num_waiting == 0)
        assert log.label("request-1", "coat").label == "coat"
        with pytest.raises(UnknownName):
            log.label("nobody", "coat")


def test_what_no_column_can_hold_stops_nobody_else(
    url: str, tmp_path: Path, row_of: MakeRow, caplog: pytest.LogCaptureFixture
) -> None:
    """One row that the database refuses is reported; the others arrive. A NUL becomes a sign that says so."""
    with start(url, tmp_path) as log:
        log.append_rows([row_of(1), row_of(2)._replace(batch_size=2**40), row_of(3)._replace(predicted="a\0b")])
        wait_for(lambda: log.num_waiting == 0)
        assert [row.predicted for row in log.read()] == ["class 1", "a\ufffdb"]
    assert "a prediction is not in the prediction log" in caplog.text


def test_a_foreign_or_newer_database_is_a_sentence(url: str, postgres: Any) -> None:
    """Without the password, and with what to do."""
    with pytest.raises(InputError, match="there is no prediction log at"):
        open_log(url, must_exist=True)
    open_log(url).close()
    open_log(url, must_exist=True).close()
    with open_log(url) as log, log.writing() as session:
        session.execute("UPDATE schema_version SET version = 99")
    with pytest.raises(StateError, match="schema version 99, this Loopline knows 1"):
        open_log(url)
    with pytest.raises(StateError, match='cannot be opened: database "nowhere" does not exist') as caught:
        open_log(url.replace("loopline@", "loopline:secret@").rpartition("/")[0] + "/nowhere")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("mysql://here/db", "expected a file or postgresql://HOST/DATABASE"),
        ("postgresql://:secret@here", "no host or no database"),
        ("postgresql://u:secret@here:port/db", "cannot be read"),
        ("postgresql://u:secret@here/db?sslmode=maybe", "sslmode 'maybe'"),
        ("postgresql://u:secret@here/db?colour=red", "unknown setting 'colour'"),
    ],
)
def test_an_address_that_is_none_is_refused_without_its_password(given: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"address|given") as caught:
        start(given, tmp_path)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_address_says_who_and_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """User and password come from the address or from PostgreSQL's own variables; messages show neither."""
    monkeypatch.setenv("PGUSER", "me")
    monkeypatch.setenv("PGPASSWORD", "hush")
    address = parse_address("postgresql:///predictions?host=/run/pg&sslmode=disable")
    assert (address.user, address.host, address.port, address.password) == ("me", "/run/pg", 5432, "hush")
    given = parse_address("postgres://you:p%40ss@db.example:6000/my%20log")
    assert (given.user, given.password, given.database, given.port) == ("you", "p@ss", "my log", 6000)
    assert "p@ss" not in repr(given)
    assert shown_place("postgres://you:pass@db:1/log?sslmode=require") == "postgresql://db:1/log"
    assert shown_place(Path("a/b.db")) == "a/b.db"


def test_a_socket_and_a_refused_encryption(postgres: Any, url: str) -> None:
    """A folder as host is a socket in it; this server offers no encryption, and `require` insists on it."""
    database = url.rpartition("/")[2]
    with open_log(f"postgresql://loopline@:{postgres.port}/{database}?host={postgres.folder}") as log:
        assert log.count() == 0
    with pytest.raises(StateError, match="SSL"):
        open_log(f"{url}?sslmode=require")


def test_commands_look_where_the_server_writes(url: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that a server reads names the log for everybody else."""
    assert log_of(workspace) == workspace.prediction_log
    monkeypatch.setenv("LOOPLINE_SERVE_LOG", url)
    with open_log(log_of(workspace)) as log:
        assert log.count() == 0
