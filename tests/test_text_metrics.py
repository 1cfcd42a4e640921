"""BLEU and chrF: sacreBLEU's own figures, and counts that add up to them."""

from __future__ import annotations

import pytest

from loopline.core.errors import InputError
from loopline.text_metrics import (
    bleu_from_counts,
    corpus_bleu,
    corpus_chrf,
    corpus_chrf_interval,
    sentence_bleu_counts,
    sentence_chrf,
)

REFERENCES = ["Zwei junge Männer sind im Freien.", "Ein Hund läuft durch das Gras.", "Eine Frau liest, er schläft."]
HYPOTHESES = ["Zwei junge Männer sind draußen.", "Ein Hund läuft im Gras.", "Eine Frau liest, er schläft."]


def test_equal_texts_score_a_hundred() -> None:
    assert corpus_bleu(REFERENCES, REFERENCES)[0] == pytest.approx(100)
    assert corpus_chrf(REFERENCES, REFERENCES)[0] == pytest.approx(100)
    assert sentence_chrf(REFERENCES, REFERENCES) == pytest.approx([100, 100, 100])


def test_scores_are_those_of_sacrebleu_and_say_how_they_were_made() -> None:
    import sacrebleu

    score, signature = corpus_bleu(HYPOTHESES, REFERENCES)
    assert score == pytest.approx(sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES]).score)
    assert "case:mixed" in signature
    assert "tok:13a" in signature
    assert f"version:{sacrebleu.__version__}" in signature
    score, signature = corpus_chrf(HYPOTHESES, REFERENCES)
    assert score == pytest.approx(sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score)
    assert "nc:6" in signature


def test_lowercase_and_tokenized_texts_are_another_protocol() -> None:
    hypotheses = ["zwei männer sind draußen .", "ein hund läuft im gras ."]
    references = ["Zwei Männer sind draußen .", "ein Hund läuft im Gras ."]
    cased, _ = corpus_bleu(hypotheses, references, is_tokenized=True)
    lowercased, signature = corpus_bleu(hypotheses, references, lowercase=True, is_tokenized=True)
    assert cased < lowercased == pytest.approx(100)
    assert "case:lc" in signature
    assert "tok:none" in signature


def test_the_counts_of_sentences_add_up_to_the_corpus() -> None:
    counts = sentence_bleu_counts(HYPOTHESES, REFERENCES)
    assert counts.shape == (3, 10)
    assert bleu_from_counts(counts.sum(axis=0)) == pytest.approx(corpus_bleu(HYPOTHESES, REFERENCES)[0])
    # A resample of sentences is a sum with weights.
    twice = corpus_bleu([*HYPOTHESES[:2], HYPOTHESES[0]], [*REFERENCES[:2], REFERENCES[0]])[0]
    assert bleu_from_counts(counts.T @ [2, 1, 0]) == pytest.approx(twice)


def test_an_empty_hypothesis_scores_nothing() -> None:
    assert corpus_bleu([""], ["Ein Hund."])[0] == 0
    assert sentence_chrf(["", "Ein Hund."], ["Ein Hund.", "Ein Hund."]) == pytest.approx([0, 100])


def test_unequal_numbers_of_texts_are_refused() -> None:
    for function in (corpus_bleu, corpus_chrf, sentence_chrf, sentence_bleu_counts):
        with pytest.raises(InputError, match="1 texts for 2 references given; expected as many of both"):
            function(["Ein Hund."], ["Ein Hund.", "Eine Katze."])
        with pytest.raises(InputError, match="at least one"):
            function([], [])


def test_the_interval_of_chrf_lies_around_it() -> None:
    hypotheses, references = HYPOTHESES * 30, REFERENCES * 30
    low, high = corpus_chrf_interval(hypotheses, references, num_resamples=200)
    assert 0 < low < corpus_chrf(hypotheses, references)[0] < high < 100
    assert corpus_chrf_interval([""] * 3, REFERENCES, num_resamples=20) == (0, 0)
