"""An evaluation of predicted quantities on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from loopline.core.errors import InputError
from loopline.core.records import DatasetRef, Evaluation
from loopline.core.store import digest_bytes, read_record
from loopline.evaluation import JudgedSplit, JudgedSubject, evaluate_predictions, load_predictions
from loopline.predictor import Predicted

SUBJECT = JudgedSubject("bundle", digest_bytes(b"bundle"), "regression", unit="kg N/ha", coverage=0.9)


def given(num_examples: int = 80) -> tuple[JudgedSplit, Predicted]:
    """Plots at four levels, and predictions with an interval of ±20 around them."""
    rng = np.random.default_rng(0)
    targets_N = (np.arange(num_examples) % 4 * 100).astype(np.float32)
    value_N = targets_N + rng.normal(size=num_examples) * 12
    outputs_NK = np.stack([value_N, value_N - 20, value_N + 20], axis=1).astype(np.float32)
    dataset = DatasetRef(name="nitrogen", version=digest_bytes(b"nitrogen"))
    ids = [f"plot {index}" for index in range(num_examples)]
    split = JudgedSplit(dataset, "test", digest_bytes(b"test"), ids, targets_N, input_kind="bands")
    return split, Predicted(("value", "low", "high"), outputs_NK, rng.normal(size=(num_examples, 5)).astype(np.float32))


def test_everything_is_written(tmp_path: Path) -> None:
    """Record, predictions, three plots, and a page with units, levels, interval and what it was said to hold."""
    split, predicted = given()
    evaluation = evaluate_predictions(SUBJECT, split, predicted, output=tmp_path / "e")
    assert read_record(Evaluation, tmp_path / "e" / "evaluation.json") == evaluation
    assert (evaluation.primary_metric, evaluation.unit, evaluation.stated_coverage) == ("mae", "kg N/ha", 0.9)
    errors_N = np.abs(predicted.outputs_NK[:, 0] - split.targets_N)
    assert evaluation.metrics["mae"].value == pytest.approx(errors_N.mean(), rel=1e-5)
    assert evaluation.metrics["coverage"].value == pytest.approx((errors_N <= 20).mean())
    assert [band.level for band in evaluation.levels] == [0, 100, 200, 300]
    kept = load_predictions(tmp_path / "e")
    np.testing.assert_array_equal(kept["value"], predicted.outputs_NK[:, 0])
    np.testing.assert_array_equal(kept["targets"], split.targets_N)
    assert sorted(path.name for path in (tmp_path / "e").glob("*.png")) == [
        "predicted.png",
        "residuals.png",
        "tsne.png",
    ]
    page = (tmp_path / "e" / "evaluation.html").read_text(encoding="utf-8")
    assert "mean absolute error, kg N/ha" in page
    assert "holds the truth in 90% of the cases" in page
    assert page.count('src="data:image/png;base64,') == 3


def test_the_furthest_come_first(tmp_path: Path) -> None:
    """Examples are listed by the size of their error, largest first, with their interval."""
    split, predicted = given()
    predicted.outputs_NK[7] = (900, 880, 920)
    evaluation = evaluate_predictions(SUBJECT, split, predicted, output=tmp_path / "e")
    first = evaluation.furthest[0]
    assert (first.example_id, first.target, first.predicted, first.low, first.high) == ("plot 7", 300, 900, 880, 920)
    errors = [abs(example.predicted - example.target) for example in evaluation.furthest]
    assert errors == sorted(errors, reverse=True)


def test_few_examples_and_no_interval(tmp_path: Path) -> None:
    """Too few examples for a map, a continuum of targets and no interval leave out what they cannot have."""
    split = JudgedSplit(given()[0].dataset, "test", digest_bytes(b"t"), ["a", "b", "c"], np.array([1.0, 2.0, 4.0]))
    predicted = Predicted(("value",), np.array([[1.0], [2.5], [3.0]], np.float32), np.ones((3, 2), np.float32))
    evaluation = evaluate_predictions(
        JudgedSubject("run", "run-1", "regression"), split, predicted, output=tmp_path / "e"
    )
    assert set(evaluation.metrics) == {"mae", "rmse", "r2", "bias"}
    assert evaluation.levels == ()
    assert evaluation.furthest[0].low is None
    assert not (tmp_path / "e" / "tsne.png").exists()


def test_outputs_without_a_value_are_refused(tmp_path: Path) -> None:
    """A regressor's answer has a value."""
    split, predicted = given()
    unnamed = Predicted(("a", "b", "c"), predicted.outputs_NK, predicted.embedding_ND)
    with pytest.raises(InputError, match="expected 'value'"):
        evaluate_predictions(SUBJECT, split, unnamed, output=tmp_path / "e")
