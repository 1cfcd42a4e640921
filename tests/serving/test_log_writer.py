"""Rows reach the log behind the answers; what a full disk costs is counted, and nothing else is lost."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loopline.prediction_log import LogRow, open_log
from loopline.prediction_log.sqlite import SqliteLog
from loopline.serving import log_writer
from loopline.serving.log_writer import LogWriter


def make_row(index: int, *, num_bytes: int = 4) -> LogRow:
    return LogRow(
        request_id=f"request-{index}", created_us=index, model="m", bundle_digest="ab" * 32, input_digest="cd" * 32,
        embedding=b"\0" * num_bytes, outputs=b"\0" * 4, predicted="a", status="ok", batch_size=1,
        decode_ms=0.0, queue_ms=0.0, infer_ms=0.0, total_ms=0.0, output_names=("a",),
    )  # fmt: skip


class Counts:
    def __init__(self) -> None:
        self.written = self.dropped = 0

    def count_written(self, num_rows: int) -> None:
        self.written += num_rows

    def count_dropped(self, num_rows: int) -> None:
        self.dropped += num_rows


def start(log: SqliteLog, counts: Counts, *, max_rows: int = 1000) -> LogWriter:
    return LogWriter(log, max_rows=max_rows, on_written=counts.count_written, on_dropped=counts.count_dropped)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.01)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program that holds the database's write lock."""
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    with open_log(tmp_path / "log.db") as opened:
        # Not the five seconds for which a server waits for another writer.
        opened._connection.execute("PRAGMA busy_timeout = 20")
        yield opened


def test_rows_arrive_by_themselves_and_at_the_latest_on_close(log: SqliteLog) -> None:
    counts = Counts()
    writer = start(log, counts)
    writer.put(make_row(0))
    wait_for(lambda: log.count() == 1)
    for index in range(1, 100):
        writer.put(make_row(index))
    writer.close()
    assert [row.request_id for row in log.read()] == [f"request-{index}" for index in range(100)]
    assert (counts.written, counts.dropped) == (100, 0)


def test_rows_wait_while_the_log_cannot_be_written(
    log: SqliteLog, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are tried again and arrive in order; the trouble is reported once."""
    monkeypatch.setattr(log_writer, "_RETRY_INTERVAL_S", 0.02)
    counts = Counts()
    writer = start(log, counts)
    with locked(log.path):
        for index in range(10):
            writer.put(make_row(index))
        wait_for(lambda: "cannot be written: database is locked" in caplog.text)
        time.sleep(0.2)
    wait_for(lambda: log.count() == 10)
    writer.close()
    assert counts.dropped == 0
    assert len(caplog.records) == 1


def test_a_full_buffer_drops_and_counts(log: SqliteLog, caplog: pytest.LogCaptureFixture) -> None:
    """Never more than `max_rows` wait; those that do arrive later."""
    counts = Counts()
    writer = start(log, counts, max_rows=5)
    with locked(log.path):
        for index in range(12):
            writer.put(make_row(index))
    writer.close()
    assert counts.written == log.count() <= 5 + 5
    assert counts.written + counts.dropped == 12
    assert counts.dropped > 0
    assert len(caplog.records) == 1


def test_what_cannot_be_written_until_the_end_is_counted(log: SqliteLog, caplog: pytest.LogCaptureFixture) -> None:
    counts = Counts()
    writer = start(log, counts)
    with locked(log.path):
        writer.put(make_row(0))
        writer.close()
    assert (counts.written, counts.dropped, log.count()) == (0, 1, 0)


def test_a_full_disk_loses_only_what_it_counts(log: SqliteLog, caplog: pytest.LogCaptureFixture) -> None:
    """A limit on the size of files stands for the disk; rows from before and after it are in the log, whole."""
    resource = pytest.importorskip("resource", reason="file sizes have no limit on this system")
    counts = Counts()
    writer = start(log, counts, max_rows=3)
    writer.put(make_row(0))
    assert writer.flush()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        for index in range(1, 8):
            writer.put(make_row(index, num_bytes=150_000))
        assert not writer.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    writer.close()
    assert "prediction log" in caplog.text
    assert counts.written == log.count()
    assert counts.written + counts.dropped == 8
    assert counts.dropped >= 1
    assert log._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
