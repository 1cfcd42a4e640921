"""An evaluation of labels on disk: record, predictions, plots, pictures, page."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from loopline.core.errors import InputError, IntegrityError
from loopline.core.records import DatasetRef, Evaluation
from loopline.core.store import digest_bytes, read_record
from loopline.evaluation import JudgedSplit, JudgedSubject, evaluate_predictions, load_predictions
from loopline.predictor import Predicted

NAMES = ("cat", "<b>dog</b>", "horse")
SUBJECT = JudgedSubject("bundle", digest_bytes(b"bundle"), "classification", NAMES)


def answers(probabilities_NK: NDArray[np.float64]) -> Predicted:
    """Probabilities with an embedding made of them."""
    return Predicted(NAMES, probabilities_NK.astype(np.float32), probabilities_NK.astype(np.float32))


def given(num_examples: int = 60) -> tuple[JudgedSplit, NDArray[np.float64]]:
    """A split and probabilities of which three in four are right."""
    rng = np.random.default_rng(0)
    labels_N = rng.integers(0, 3, num_examples)
    probabilities_NK = np.full((num_examples, 3), 0.1)
    said_N = np.where(rng.random(num_examples) < 0.75, labels_N, (labels_N + 1) % 3)
    probabilities_NK[np.arange(num_examples), said_N] = 0.8
    dataset = DatasetRef(name="animals", version=digest_bytes(b"animals"))
    ids = [f"photo/{index}.png" for index in range(num_examples)]
    return JudgedSplit(dataset, "test", digest_bytes(b"test"), ids, labels_N), probabilities_NK


def picture(index: int) -> bytes:
    """A PNG picture of one grey."""
    buffer = io.BytesIO()
    Image.new("L", (12, 12), index % 256).save(buffer, "PNG")
    return buffer.getvalue()


def test_everything_is_written(tmp_path: Path) -> None:
    """The folder holds the record, the predictions behind it, two plots and a page that escapes label names."""
    split, probabilities_NK = given()
    evaluation = evaluate_predictions(SUBJECT, split, answers(probabilities_NK), output=tmp_path / "e")
    assert read_record(Evaluation, tmp_path / "e" / "evaluation.json") == evaluation
    accuracy = float((probabilities_NK.argmax(axis=1) == split.targets_N).mean())
    assert evaluation.metrics["accuracy"].value == pytest.approx(accuracy)
    kept = load_predictions(tmp_path / "e")
    assert kept["ids"].tolist() == list(split.ids)
    np.testing.assert_array_equal(kept["labels"], split.targets_N)
    np.testing.assert_allclose(kept["probabilities"], probabilities_NK, atol=1e-6)
    for name in ("confusion.png", "calibration.png"):
        assert (tmp_path / "e" / name).read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "e" / "evaluation.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;dog&lt;/b&gt;" in page
    assert "<b>dog</b>" not in page


def test_the_hardest_example_is_the_least_probable_one(tmp_path: Path) -> None:
    """Examples are listed by the probability of their true label, worst first."""
    split, probabilities_NK = given()
    worst = 17
    probabilities_NK[worst] = 0.01
    probabilities_NK[worst, (split.targets_N[worst] + 2) % 3] = 0.98
    evaluation = evaluate_predictions(SUBJECT, split, answers(probabilities_NK), output=tmp_path / "e")
    first = evaluation.hardest[0]
    assert (first.example_id, first.label) == ("photo/17.png", NAMES[split.targets_N[worst]])
    assert first.confidence == pytest.approx(0.98)
    shown = [example.label_probability for example in evaluation.hardest]
    assert shown == sorted(shown)


def test_a_second_evaluation_replaces_the_first(tmp_path: Path) -> None:
    """The folder is of one evaluation, whatever stood there."""
    split, probabilities_NK = given()
    evaluate_predictions(SUBJECT, split, answers(probabilities_NK), output=tmp_path / "e")
    (tmp_path / "e" / "left-over.txt").write_text("old")
    second = evaluate_predictions(SUBJECT, split, answers(np.roll(probabilities_NK, 1, axis=1)), output=tmp_path / "e")
    assert read_record(Evaluation, tmp_path / "e" / "evaluation.json") == second
    assert not (tmp_path / "e" / "left-over.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["e"]


def test_ids_and_predictions_must_fit(tmp_path: Path) -> None:
    """An id or a prediction too few is an error, and nothing is written."""
    split, probabilities_NK = given()
    with pytest.raises(InputError, match="59 ids for 60 targets"):
        replace(split, ids=split.ids[1:])
    with pytest.raises(InputError, match="59 predictions for 60 targets"):
        evaluate_predictions(SUBJECT, split, answers(probabilities_NK[1:]), output=tmp_path / "e")
    assert list(tmp_path.iterdir()) == []


def test_the_hardest_pictures_are_shown(tmp_path: Path) -> None:
    """The sheet is on the page and beside it, and holds the pictures of the hardest examples in their order."""
    split, probabilities_NK = given()
    evaluation = evaluate_predictions(
        SUBJECT, replace(split, raw=picture), answers(probabilities_NK), output=tmp_path / "e"
    )
    sheet = np.asarray(Image.open(tmp_path / "e" / "hardest.png"))
    first = int(evaluation.hardest[0].example_id.removeprefix("photo/").removesuffix(".png"))
    assert (sheet[:112, :112] == first).all()
    page = (tmp_path / "e" / "evaluation.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == 4
    assert "Scatter plot of the embeddings" in page


@pytest.mark.parametrize(
    "changes",
    [
        {"raw": picture, "confidential": True},
        {"raw": picture, "input_kind": "bands"},
        {"raw": lambda _: b"no picture"},
        {},
    ],
)
def test_no_picture_is_shown_that_must_not_or_cannot(changes: dict[str, Any], tmp_path: Path) -> None:
    """Confidential examples, other kinds than pictures, unknown formats and unknown bytes leave no sheet."""
    split, probabilities_NK = given()
    evaluate_predictions(SUBJECT, replace(split, **changes), answers(probabilities_NK), output=tmp_path / "e")
    assert not (tmp_path / "e" / "hardest.png").exists()
    assert "The pictures of the hardest" not in (tmp_path / "e" / "evaluation.html").read_text(encoding="utf-8")


def test_changed_predictions_are_refused(tmp_path: Path) -> None:
    """Predictions that are not those of the record are not read."""
    split, probabilities_NK = given()
    evaluate_predictions(SUBJECT, split, answers(probabilities_NK), output=tmp_path / "e")
    path = tmp_path / "e" / "predictions.npz"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(IntegrityError, match="was changed"):
        load_predictions(tmp_path / "e")
