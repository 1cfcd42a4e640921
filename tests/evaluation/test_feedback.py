"""Logged predictions with truths become a split and its answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loopline.core.errors import InputError
from loopline.core.records import ModelBundle, Ratings, TransformStep
from loopline.core.store import read_record
from loopline.evaluation import JudgedSubject, evaluate_predictions, feedback_split
from loopline.prediction_log import PredictionColumns

GOLDEN = Path(__file__).parent.parent / "frozen" / "records" / "model_bundle.v1.json"


def bundle(**changes: Any) -> ModelBundle:
    """A bundle that tells `bag` from `shirt`, or what the changes make of it."""
    return read_record(ModelBundle, GOLDEN).model_copy(update=changes)


def rows(
    labels: list[str | None], *, predicted: list[str], ratings: list[str | None] | None = None
) -> PredictionColumns:
    """A window of the log with these truths; the first output is the higher one for every even row."""
    num_rows = len(labels)
    first_N = np.where(np.arange(num_rows) % 2 == 0, 0.8, 0.2)
    return PredictionColumns(
        bundle_digest="b" * 64,
        output_names=("bag", "shirt"),
        request_ids=[f"request {index}" for index in range(num_rows)],
        created_at=[datetime(2026, 11, 21, tzinfo=UTC)] * num_rows,
        predicted=predicted,
        labels=labels,
        ratings=ratings or [None] * num_rows,
        outputs=np.stack([first_N, 1 - first_N], axis=1).astype(np.float32),
        embeddings=np.ones((num_rows, 3), np.float32),
    )


def test_labels_are_judged(tmp_path: Path) -> None:
    """Only rows with a truth count; the evaluation is of the split `feedback`, with what people thought."""
    labels = ["bag", "shirt", None, "bag"] * 5
    given = rows(labels, predicted=["bag", "shirt"] * 10, ratings=["up", None, "down", "up"] * 5)
    split, predicted = feedback_split(bundle(), given)
    assert len(split) == len(predicted) == 15
    assert split.ids[:3] == ["request 0", "request 1", "request 3"]
    evaluation = evaluate_predictions(JudgedSubject.of_bundle(bundle()), split, predicted, output=tmp_path / "e")
    assert (evaluation.split, evaluation.num_examples) == ("feedback", 15)
    assert evaluation.metrics["accuracy"].value == pytest.approx(10 / 15)
    assert evaluation.ratings == Ratings(num_up=10, num_down=5)
    page = (tmp_path / "e" / "evaluation.html").read_text(encoding="utf-8")
    assert "not a sample of all predictions" in page
    assert "10 up, 5 down, 67% up" in page


def test_the_digest_is_of_ids_and_truths() -> None:
    """Another truth is another split; what was predicted does not matter."""
    labels: list[str | None] = ["bag", "shirt"] * 6
    given = rows(labels, predicted=["bag"] * 12)
    first = feedback_split(bundle(), given)[0].digest
    assert feedback_split(bundle(), replace(given, predicted=["shirt"] * 12))[0].digest == first
    assert feedback_split(bundle(), replace(given, labels=["shirt", *labels[1:]]))[0].digest != first


def test_values_are_judged(tmp_path: Path) -> None:
    """A truth of a regressor is a number, compared with the logged value and its interval."""
    regressor = bundle(
        task="regression",
        label_names=(),
        unit="kg",
        postprocess=(TransformStep(name="interval", params={"radius": 0.5, "coverage": 0.8}),),
    )
    truths: list[str | None] = [f"{0.1 * index:.1f}" for index in range(12)]
    given = replace(rows(truths, predicted=["0.8"] * 12), output_names=("value", "low"))
    split, predicted = feedback_split(regressor, given)
    subject = JudgedSubject.of_bundle(regressor)
    assert (subject.unit, subject.coverage) == ("kg", 0.8)
    evaluation = evaluate_predictions(subject, split, predicted, output=tmp_path / "e")
    expected = np.abs(given.outputs[:, 0] - np.arange(12) * 0.1).mean()
    assert evaluation.metrics["mae"].value == pytest.approx(expected, rel=1e-4)


def test_texts_are_judged(tmp_path: Path) -> None:
    """A corrected translation is the reference of what was answered."""
    translator = bundle(task="translation", label_names=())
    given = rows(["Ein Hund läuft."] * 12, predicted=["Ein Hund läuft."] * 6 + ["Hund."] * 6)
    split, predicted = feedback_split(translator, given)
    evaluation = evaluate_predictions(JudgedSubject.of_bundle(translator), split, predicted, output=tmp_path / "e")
    assert evaluation.worst_sentences[0].hypothesis == "Hund."
    assert evaluation.metrics["bleu"].value < 100


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([None] * 20, "0 of 20 logged predictions"),
        (["bag"] * 9 + [None] * 11, "9 of 20 logged predictions .* expected at least 10"),
        (["bag"] * 19 + ["sock"], "no classification target"),
    ],
)
def test_too_few_or_unknown_truths_are_refused(labels: list[str | None], words: str) -> None:
    """A handful of truths is no evaluation, and a label that the bundle does not know is none."""
    with pytest.raises(InputError, match=words):
        feedback_split(bundle(), rows(labels, predicted=["bag"] * 20))
