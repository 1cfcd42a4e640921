"""The prediction log: what is written comes back, labels arrive late, and foreign or newer files are refused."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from loopline.core.errors import InputError, StateError, UnknownName
from loopline.core.records import Prediction
from loopline.prediction_log import LogRow, float32_bytes, microseconds, open_log

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NAMES = ("boot", "bag", "coat")
BUNDLE = "ab" * 32


def make_prediction(index: int = 0, *, bundle: str = BUNDLE, names: tuple[str, ...] = NAMES) -> Prediction:
    """One prediction per second after `START`, with numbers that float32 holds exactly."""
    return Prediction(
        request_id=f"request-{index}",
        created_at=START + timedelta(seconds=index),
        model="fashion@champion",
        bundle_digest=bundle,
        input_digest=f"{index:064x}",
        embedding=(float(index), -0.5),
        outputs={name: (position + 1) / 8 for position, name in enumerate(names)},
        predicted=names[index % len(names)],
        batch_size=4,
        decode_ms=0.25,
        queue_ms=0.5,
        infer_ms=1.0,
        total_ms=2.0,
    )


def make_row(index: int, *, num_outputs: int = 10, num_embedding: int = 64) -> LogRow:
    return LogRow(
        request_id=f"request-{index}",
        created_us=microseconds(START) + index,
        model="fashion",
        bundle_digest=BUNDLE,
        input_digest=f"{index:064x}",
        embedding=float32_bytes(np.full(num_embedding, index, np.float32)),
        outputs=float32_bytes(np.full(num_outputs, 0.5, np.float32)),
        predicted=f"class {index % 10}",
        status="ok",
        batch_size=1,
        decode_ms=0.0,
        queue_ms=0.0,
        infer_ms=0.0,
        total_ms=0.0,
        output_names=tuple(f"class {k}" for k in range(num_outputs)),
    )


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    """Write, close, open, read: equal records, oldest first."""
    written = [make_prediction(index) for index in range(5)]
    with open_log(tmp_path / "folder" / "log.db") as log:
        log.append(written)
    with open_log(tmp_path / "folder" / "log.db", must_exist=True) as log:
        assert log.read() == written
        assert log.count() == 5


def test_windows_and_models_select_rows(tmp_path: Path) -> None:
    """`since` is inside the window, `until` outside; model and bundle match exactly."""
    other = "cd" * 32
    with open_log(tmp_path / "log.db") as log:
        log.append([make_prediction(index) for index in range(4)])
        log.append([make_prediction(9, bundle=other)])
        window = log.read(since=START + timedelta(seconds=1), until=START + timedelta(seconds=3))
        assert [row.request_id for row in window] == ["request-1", "request-2"]
        assert [row.request_id for row in log.read(bundle_digest=other)] == ["request-9"]
        assert log.read(model="another") == []
        assert len(log.read(model="fashion@champion")) == 5


def test_a_late_label_is_kept_with_its_time(tmp_path: Path) -> None:
    """The newest prediction of a request id gets the label; a second label replaces the first."""
    with open_log(tmp_path / "log.db") as log:
        log.append([make_prediction(1), make_prediction(1)])
        log.label("request-1", "bag")
        labelled = log.label("request-1", "coat")
        assert labelled.label == "coat"
        assert labelled.labelled_at is not None
        assert [row.label for row in log.read()] == [None, "coat"]
        with pytest.raises(UnknownName, match="'nobody' does not exist"):
            log.label("nobody", "bag")


def test_a_rating_and_a_truth_come_in_any_order(tmp_path: Path) -> None:
    """Each replaces its own kind and leaves the other; columns have both."""
    with open_log(tmp_path / "log.db") as log:
        log.append([make_prediction(index) for index in range(2)])
        assert log.label("request-1", None, rating="down").label is None
        kept = log.label("request-1", "Ein Hund rennt.")
        assert (kept.label, kept.rating) == ("Ein Hund rennt.", "down")
        assert log.label("request-1", None, rating="up", model="fashion@champion").label == "Ein Hund rennt."
        with pytest.raises(UnknownName, match="'request-1' does not exist"):
            log.label("request-1", None, rating="down", model="another")
        columns = log.read_columns()
    assert (columns.ratings, columns.labels) == ([None, "up"], [None, "Ein Hund rennt."])


def test_a_log_of_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    """Its rows stay, without a rating, and can get one."""
    path = tmp_path / "log.db"
    written = make_prediction(1)
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


def test_columns_are_the_arrays_that_drift_compares(tmp_path: Path) -> None:
    """Embeddings, outputs, predictions and labels stand in the same order."""
    with open_log(tmp_path / "log.db") as log:
        log.append([make_prediction(index) for index in range(3)])
        log.label("request-2", "boot")
        columns = log.read_columns()
    assert len(columns) == 3
    assert columns.bundle_digest == BUNDLE
    assert columns.output_names == NAMES
    assert columns.predicted == ["boot", "bag", "coat"]
    assert columns.labels == [None, None, "boot"]
    assert columns.created_at[2] == START + timedelta(seconds=2)
    assert columns.embeddings.dtype == np.float32
    np.testing.assert_array_equal(columns.embeddings, [[0, -0.5], [1, -0.5], [2, -0.5]])
    np.testing.assert_array_equal(columns.outputs, [[0.125, 0.25, 0.375]] * 3)


def test_an_empty_window_is_empty_arrays(tmp_path: Path) -> None:
    with open_log(tmp_path / "log.db") as log:
        columns = log.read_columns(since=START)
    assert len(columns) == 0
    assert columns.bundle_digest is None
    assert columns.embeddings.shape == (0, 0)


def test_columns_of_two_bundles_need_a_choice(tmp_path: Path) -> None:
    """Arrays of two bundles have no common meaning: the error names both, the choice mends it."""
    other = "cd" * 32
    with open_log(tmp_path / "log.db") as log:
        log.append([make_prediction(1), make_prediction(2, bundle=other, names=("x", "y"))])
        with pytest.raises(InputError, match="2 bundles: abababababab, cdcdcdcdcdcd"):
            log.read_columns()
        assert log.read_columns(bundle_digest=other).output_names == ("x", "y")


def test_a_bundle_has_one_list_of_outputs(tmp_path: Path) -> None:
    """Other names under the same bundle are refused, and their transaction leaves nothing."""
    with open_log(tmp_path / "log.db") as log:
        log.append([make_prediction(1)])
        with pytest.raises(InputError, match="has the outputs boot, bag, coat"):
            log.append([make_prediction(2), make_prediction(3, names=("x", "y"))])
        assert log.count() == 1


def test_a_hundred_thousand_rows_become_arrays(tmp_path: Path) -> None:
    """A window of that size is read at once (in 0.5 s on a quiet machine), each row in its place."""
    with open_log(tmp_path / "log.db") as log:
        log.append_rows([make_row(index) for index in range(100_000)])
        columns = log.read_columns()
    assert columns.embeddings.shape == (100_000, 64)
    np.testing.assert_array_equal(columns.embeddings[:, 0], np.arange(100_000, dtype=np.float32))


def test_raw_inputs_are_kept_only_when_given(tmp_path: Path) -> None:
    """An input is stored once per digest; without it, its digest is all there is."""
    row = make_row(1)
    with open_log(tmp_path / "log.db") as log:
        log.append_rows([row])
        assert log.read_input(row.input_digest) is None
        log.append_rows([row._replace(input_bytes=b"raw"), row._replace(input_bytes=b"raw")])
        assert log.read_input(row.input_digest) == b"raw"


def test_a_reader_and_a_writer_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """A second connection reads while the first one writes."""
    path = tmp_path / "log.db"
    with open_log(path) as writer, open_log(path) as reader:
        stop = threading.Event()

        def write() -> None:
            index = 0
            while not stop.is_set():
                writer.append([make_prediction(index)])
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


def test_a_locked_log_is_a_sentence(tmp_path: Path) -> None:
    """Another program that holds the write lock makes `append` fail in words, and nothing is half written."""
    path = tmp_path / "log.db"
    with open_log(path) as log:
        log._connection.execute("PRAGMA busy_timeout = 50")
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError, match="cannot be written: database is locked"):
            log.append([make_prediction()])
        blocker.execute("ROLLBACK")
        blocker.close()
        log.append([make_prediction()])
        assert log.read() == [make_prediction()]
