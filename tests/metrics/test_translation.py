"""BLEU and chrF with intervals over sentences."""

from __future__ import annotations

import pytest

from loopline.metrics import translation_metrics
from loopline.text_metrics import corpus_bleu, corpus_chrf

REFERENCES = ["Zwei junge Männer sind im Freien.", "Ein Hund läuft durch das Gras.", "Eine Frau liest, er schläft."]
HYPOTHESES = ["Zwei junge Männer sind draußen.", "Ein Hund läuft im Gras.", "Eine Frau liest, er schläft."]


def test_scores_are_those_of_the_corpus_with_an_interval_each() -> None:
    """The values are sacreBLEU's, the ends lie around them, and the signature says how both were computed."""
    hypotheses, references = HYPOTHESES * 20, REFERENCES * 20
    metrics, signature = translation_metrics(hypotheses, references, num_resamples=100)
    assert metrics["bleu"].value == pytest.approx(corpus_bleu(hypotheses, references)[0])
    assert metrics["chrf"].value == pytest.approx(corpus_chrf(hypotheses, references)[0])
    # 13a counts the full stop and the comma: 6 + 6 + 7 words against 7 + 7 + 7.
    assert metrics["length_ratio"].value == pytest.approx(19 / 21)
    assert all(metric.low < metric.value < metric.high for metric in metrics.values())
    assert signature.startswith("BLEU nrefs:1|")
    assert ", chrF nrefs:1|" in signature


def test_the_same_seed_gives_the_same_interval() -> None:
    """Intervals are repeatable, and another seed gives others."""
    runs = [translation_metrics(HYPOTHESES * 9, REFERENCES * 9, seed=seed, num_resamples=50)[0] for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0]["bleu"] != runs[2]["bleu"]
