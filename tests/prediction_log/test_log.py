"""What every prediction log promises, asked of a file and of a real PostgreSQL server alike."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loopline.core.errors import InputError, UnknownName
from loopline.core.records import Prediction
from loopline.prediction_log import LogRow, PredictionLog, open_log

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NAMES = ("boot", "bag", "coat")
BUNDLE, OTHER = "ab" * 32, "cd" * 32
Make = Callable[..., Prediction]


@pytest.fixture(params=["file", "database"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PredictionLog]:
    place: Any = tmp_path / "folder" / "log.db"
    if request.param == "database":
        place = request.getfixturevalue("postgres").url(f"log_{uuid.uuid4().hex[:8]}")
    with open_log(place) as opened:
        yield opened


def test_records_come_back_as_they_were_written(log: PredictionLog, prediction_of: Make) -> None:
    """Equal records, oldest first."""
    written = [prediction_of(index) for index in range(5)]
    log.append(written[3:])
    log.append(written[:3])
    assert log.read() == written
    assert log.count() == 5


def test_windows_and_models_select_rows(log: PredictionLog, prediction_of: Make) -> None:
    """`since` is inside the window, `until` outside; model and bundle match exactly."""
    log.append([prediction_of(index) for index in range(4)])
    log.append([prediction_of(9, bundle=OTHER)])
    window = log.read(since=START + timedelta(seconds=1), until=START + timedelta(seconds=3))
    assert [row.request_id for row in window] == ["request-1", "request-2"]
    assert [row.request_id for row in log.read(bundle_digest=OTHER)] == ["request-9"]
    assert log.read(model="another") == []
    assert len(log.read(model="fashion@champion")) == 5


def test_a_late_label_is_kept_with_its_time(log: PredictionLog, prediction_of: Make) -> None:
    """The newest prediction of a request id gets the label; a second label replaces the first."""
    first = prediction_of(1)
    log.append([first])
    log.append([first.model_copy(update={"created_at": START + timedelta(seconds=7)})])
    log.label("request-1", "bag")
    labelled = log.label("request-1", "coat")
    assert labelled.label == "coat"
    assert labelled.labelled_at is not None
    assert [row.label for row in log.read()] == [None, "coat"]
    with pytest.raises(UnknownName, match="'nobody' does not exist"):
        log.label("nobody", "bag")


def test_a_rating_and_a_truth_come_in_any_order(log: PredictionLog, prediction_of: Make) -> None:
    """Each replaces its own kind and leaves the other; columns have both."""
    log.append([prediction_of(index) for index in range(2)])
    assert log.label("request-1", None, rating="down").label is None
    kept = log.label("request-1", "Ein Hund rennt.")
    assert (kept.label, kept.rating) == ("Ein Hund rennt.", "down")
    assert log.label("request-1", None, rating="up", model="fashion@champion").label == "Ein Hund rennt."
    with pytest.raises(UnknownName, match="'request-1' does not exist"):
        log.label("request-1", None, rating="down", model="another")
    columns = log.read_columns()
    assert (columns.ratings, columns.labels) == ([None, "up"], [None, "Ein Hund rennt."])


def test_columns_are_the_arrays_that_drift_compares(log: PredictionLog, prediction_of: Make) -> None:
    """Embeddings, outputs, predictions and labels stand in the same order."""
    log.append([prediction_of(index) for index in range(3)])
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


def test_an_empty_window_is_empty_arrays(log: PredictionLog) -> None:
    columns = log.read_columns(since=START)
    assert len(columns) == 0
    assert columns.bundle_digest is None
    assert columns.embeddings.shape == (0, 0)


def test_columns_of_two_bundles_need_a_choice(log: PredictionLog, prediction_of: Make) -> None:
    """Arrays of two bundles have no common meaning: the error names both, the choice mends it."""
    log.append([prediction_of(1), prediction_of(2, bundle=OTHER, names=("x", "y"))])
    with pytest.raises(InputError, match="2 bundles: abababababab, cdcdcdcdcdcd"):
        log.read_columns()
    assert log.read_columns(bundle_digest=OTHER).output_names == ("x", "y")


def test_a_bundle_has_one_list_of_outputs(log: PredictionLog, prediction_of: Make) -> None:
    """Other names under the same bundle are refused, and their transaction leaves nothing."""
    log.append([prediction_of(1)])
    with pytest.raises(InputError, match="has the outputs boot, bag, coat"):
        log.append([prediction_of(2), prediction_of(3, names=("x", "y"))])
    assert log.count() == 1


def test_raw_inputs_are_kept_only_when_given(log: PredictionLog, row_of: Callable[..., LogRow]) -> None:
    """An input is stored once per digest; without it, its digest is all there is."""
    row = row_of(1)
    log.append_rows([row])
    assert log.read_input(row.input_digest) is None
    raw = bytes(range(256))
    log.append_rows([row_of(2)._replace(input_digest=row.input_digest, input_bytes=raw)] * 2)
    assert log.read_input(row.input_digest) == raw


@pytest.mark.parametrize("text", ["it's", '"{a,b}"', "\\x00 \\", "NULL", "", "日本\U0001f600\n\t:v0 ?"])
def test_any_text_comes_back(log: PredictionLog, prediction_of: Make, text: str) -> None:
    """Whatever a model writes, and whatever a reader corrects it to."""
    log.append([prediction_of(1).model_copy(update={"predicted": text})])
    assert log.label("request-1", text).predicted == text
    assert log.read()[0].label == text
