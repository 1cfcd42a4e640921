"""An evaluation of translations on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loopline.core.errors import InputError
from loopline.core.records import DatasetRef
from loopline.core.store import digest_bytes
from loopline.evaluation import JudgedSplit, JudgedSubject, evaluate_predictions, load_predictions
from loopline.predictor import Predicted
from loopline.text_metrics import corpus_bleu

SUBJECT = JudgedSubject("bundle", digest_bytes(b"bundle"), "translation")
SOURCES = ["Two young men are outside.", "A dog runs through the grass.", "A woman reads."] * 10
REFERENCES = ["Zwei junge Männer sind im Freien.", "Ein Hund läuft durch das Gras.", "Eine Frau liest."] * 10
HYPOTHESES = ["Zwei junge Männer sind draußen.", "Hund Gras.", "Eine Frau liest."] * 10


def given() -> tuple[JudgedSplit, Predicted]:
    """Thirty sentences with their sources, and translations of which ten are right."""
    dataset = DatasetRef(name="multi", version=digest_bytes(b"multi"))
    split = JudgedSplit(
        dataset,
        "test",
        digest_bytes(b"test"),
        [f"line {index}" for index in range(30)],
        np.array(REFERENCES, dtype=object),
        input_kind="text",
        raw=lambda index: SOURCES[index].encode(),
    )
    outputs_NK = np.array([[len(text.split())] for text in HYPOTHESES], np.float32)
    return split, Predicted(("num_tokens",), outputs_NK, outputs_NK, tuple(HYPOTHESES))


def test_everything_is_written(tmp_path: Path) -> None:
    """BLEU with its signature, the worst and the best sentences with their sources, and the texts behind them."""
    split, predicted = given()
    evaluation = evaluate_predictions(SUBJECT, split, predicted, output=tmp_path / "e")
    assert evaluation.primary_metric == "bleu"
    assert evaluation.metrics["bleu"].value == pytest.approx(corpus_bleu(HYPOTHESES, REFERENCES)[0])
    worst, best = evaluation.worst_sentences[0], evaluation.best_sentences[0]
    assert (worst.source, worst.reference, worst.hypothesis) == (SOURCES[1], REFERENCES[1], "Hund Gras.")
    assert best.chrf == pytest.approx(100)
    assert worst.chrf < 50
    page = (tmp_path / "e" / "evaluation.html").read_text(encoding="utf-8")
    assert "tok:13a" in page
    assert "A dog runs through the grass." in page
    assert load_predictions(tmp_path / "e")["hypotheses"].tolist() == HYPOTHESES


def test_confidential_texts_are_not_kept(tmp_path: Path) -> None:
    """Of a confidential split the figures stay and the words do not, in any file."""
    split, predicted = given()
    evaluate_predictions(SUBJECT, replace(split, confidential=True), predicted, output=tmp_path / "e")
    written = b"".join(path.read_bytes() for path in (tmp_path / "e").iterdir())
    for text in (*SOURCES[:3], *REFERENCES[:3], *HYPOTHESES[:3]):
        assert text.encode() not in written
        assert text.encode("utf-32-le") not in written
    assert set(load_predictions(tmp_path / "e")) == {"ids", "chrf"}


def test_a_long_text_is_cut_on_the_page(tmp_path: Path) -> None:
    """The record shows the beginning of a long text; the predictions have all of it."""
    split, predicted = given()
    long = "Wort " * 400
    texts = (long, *predicted.texts[1:])
    evaluation = evaluate_predictions(SUBJECT, split, replace(predicted, texts=texts), output=tmp_path / "e")
    shown = [row.hypothesis for row in evaluation.worst_sentences if row.hypothesis.startswith("Wort")]
    assert len(shown[0]) == 500
    assert load_predictions(tmp_path / "e")["hypotheses"][0] == long


def test_texts_must_be_there(tmp_path: Path) -> None:
    """Outputs without texts are no translations."""
    split, predicted = given()
    with pytest.raises(InputError, match="0 texts for 30 references"):
        evaluate_predictions(SUBJECT, split, replace(predicted, texts=()), output=tmp_path / "e")
