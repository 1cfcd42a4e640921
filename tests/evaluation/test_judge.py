"""An evaluation on disk: record, predictions, plots, page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from loopline.core.errors import InputError, IntegrityError
from loopline.core.records import DatasetRef, Evaluation
from loopline.core.store import digest_bytes, read_record
from loopline.evaluation import JudgedSplit, JudgedSubject, evaluate_predictions, load_predictions

NAMES = ("cat", "<b>dog</b>", "horse")


def given(num_examples: int = 60) -> tuple[JudgedSubject, JudgedSplit, NDArray[np.float64]]:
    """A subject, a split and probabilities of which three in four are right."""
    rng = np.random.default_rng(0)
    labels_N = rng.integers(0, 3, num_examples)
    probabilities_NK = np.full((num_examples, 3), 0.1)
    said_N = np.where(rng.random(num_examples) < 0.75, labels_N, (labels_N + 1) % 3)
    probabilities_NK[np.arange(num_examples), said_N] = 0.8
    dataset = DatasetRef(name="animals", version=digest_bytes(b"animals"))
    ids = [f"photo/{index}.png" for index in range(num_examples)]
    split = JudgedSplit(dataset, "test", digest_bytes(b"test"), ids, labels_N)
    return JudgedSubject("bundle", digest_bytes(b"bundle"), NAMES), split, probabilities_NK


def test_everything_is_written(tmp_path: Path) -> None:
    """The folder holds the record, the predictions behind it, two plots and a page that escapes label names."""
    subject, split, probabilities_NK = given()
    evaluation = evaluate_predictions(subject, split, probabilities_NK, output=tmp_path / "e")
    assert read_record(Evaluation, tmp_path / "e" / "evaluation.json") == evaluation
    accuracy = float((probabilities_NK.argmax(axis=1) == split.labels_N).mean())
    assert evaluation.metrics["accuracy"].value == pytest.approx(accuracy)
    kept = load_predictions(tmp_path / "e")
    assert kept["ids"].tolist() == list(split.ids)
    np.testing.assert_array_equal(kept["labels"], split.labels_N)
    np.testing.assert_allclose(kept["probabilities"], probabilities_NK, atol=1e-6)
    for name in ("confusion.png", "calibration.png"):
        assert (tmp_path / "e" / name).read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "e" / "evaluation.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;dog&lt;/b&gt;" in page
    assert "<b>dog</b>" not in page


def test_the_hardest_example_is_the_least_probable_one(tmp_path: Path) -> None:
    """Examples are listed by the probability of their true label, worst first."""
    subject, split, probabilities_NK = given()
    worst = 17
    probabilities_NK[worst] = 0.01
    probabilities_NK[worst, (split.labels_N[worst] + 2) % 3] = 0.98
    evaluation = evaluate_predictions(subject, split, probabilities_NK, output=tmp_path / "e")
    first = evaluation.hardest[0]
    assert (first.example_id, first.label) == ("photo/17.png", NAMES[split.labels_N[worst]])
    assert first.confidence == pytest.approx(0.98)
    shown = [example.label_probability for example in evaluation.hardest]
    assert shown == sorted(shown)


def test_a_second_evaluation_replaces_the_first(tmp_path: Path) -> None:
    """The folder is of one evaluation, whatever stood there."""
    subject, split, probabilities_NK = given()
    evaluate_predictions(subject, split, probabilities_NK, output=tmp_path / "e")
    (tmp_path / "e" / "left-over.txt").write_text("old")
    second = evaluate_predictions(subject, split, np.roll(probabilities_NK, 1, axis=1), output=tmp_path / "e")
    assert read_record(Evaluation, tmp_path / "e" / "evaluation.json") == second
    assert not (tmp_path / "e" / "left-over.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["e"]


def test_ids_must_fit(tmp_path: Path) -> None:
    """An id too few is an error, and nothing is written."""
    subject, split, probabilities_NK = given()
    short = JudgedSplit(split.dataset, split.name, split.digest, split.ids[1:], split.labels_N)
    with pytest.raises(InputError, match="59 ids for 60 labels"):
        evaluate_predictions(subject, short, probabilities_NK, output=tmp_path / "e")
    assert list(tmp_path.iterdir()) == []


def test_changed_predictions_are_refused(tmp_path: Path) -> None:
    """Predictions that are not those of the record are not read."""
    subject, split, probabilities_NK = given()
    evaluate_predictions(subject, split, probabilities_NK, output=tmp_path / "e")
    path = tmp_path / "e" / "predictions.npz"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(IntegrityError, match="was changed"):
        load_predictions(tmp_path / "e")
