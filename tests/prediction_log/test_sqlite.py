"""The log as a file: its size, its neighbours, and which files are refused."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from loopline.core.errors import InputError, StateError
from loopline.core.records import Prediction
from loopline.prediction_log import LogRow, open_log

Make = Callable[..., Prediction]


def test_a_log_of_version_1_is_brought_up_to_date(tmp_path: Path, prediction_of: Make) -> None:
    """Its rows stay, without a rating, and can get one."""
    path = tmp_path / "log.db"
    written = prediction_of(1)
    with open_log(path) as log:
        log.append([written])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE predictions DROP COLUMN rating")
        connection.execute("PRAGMA user_version = 1")
    with open_log(path) as log:
        assert log.read() == [written]
        assert log.label("request-1", None, rating="up").rating == "up"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_hundred_thousand_rows_become_arrays(tmp_path: Path, row_of: Callable[..., LogRow]) -> None:
    """A window of that size is read at once (in 0.5 s on a quiet machine), each row in its place."""
    with open_log(tmp_path / "log.db") as log:
        log.append_rows([row_of(index) for index in range(100_000)])
        columns = log.read_columns()
    assert columns.embeddings.shape == (100_000, 64)
    np.testing.assert_array_equal(columns.embeddings[:, 0], np.arange(100_000, dtype=np.float32))


def test_a_reader_and_a_writer_do_not_wait_for_each_other(tmp_path: Path, prediction_of: Make) -> None:
    """A second connection reads while the first one writes."""
    path = tmp_path / "log.db"
    with open_log(path) as writer, open_log(path) as reader:
        stop = threading.Event()

        def write() -> None:
            index = 0
            while not stop.is_set():
                writer.append([prediction_of(index)])
                index += 1

        thread = threading.Thread(target=write)
        thread.start()
        try:
            deadline = time.monotonic() + 10
            while reader.count() < 20 and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            stop.set()
            thread.join()
        assert reader.count() >= 20


def test_a_log_that_must_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no prediction log") as caught:
        open_log(tmp_path / "log.db", must_exist=True)
    assert caught.value.next_command == "loopline serve MODEL"
    assert not (tmp_path / "log.db").exists()


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """A mistyped path never gets our tables."""
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE experiments (id)")
    connection.close()
    with pytest.raises(StateError, match="database of another program"):
        open_log(path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, although long enough to be looked at\n" * 40)
    with pytest.raises(StateError, match="cannot be opened: file is not a database"):
        open_log(path)


def test_a_newer_log_is_refused(tmp_path: Path) -> None:
    """A schema version from the future is one sentence, and the file stays as it was."""
    path = tmp_path / "log.db"
    open_log(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StateError, match="schema version 99, this Loopline knows 2") as caught:
        open_log(path)
    assert caught.value.next_command == "pip install --upgrade loopline"


def test_a_locked_log_is_a_sentence(tmp_path: Path, prediction_of: Make) -> None:
    """Another program that holds the write lock makes `append` fail in words, and nothing is half written."""
    path = tmp_path / "log.db"
    with open_log(path) as log:
        log._connection.execute("PRAGMA busy_timeout = 50")
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError, match="cannot be written: database is locked"):
            log.append([prediction_of()])
        blocker.execute("ROLLBACK")
        blocker.close()
        log.append([prediction_of()])
        assert log.read() == [prediction_of()]
