"""Translations: BLEU and chrF with intervals, the worst and the best sentences. N examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.core.records import Evaluation, SentenceExample
from loopline.evaluation.judged import JudgedSplit, JudgedSubject, Judgement
from loopline.metrics import translation_metrics
from loopline.page import Section, Table, Text
from loopline.predictor import Predicted
from loopline.text_metrics import sentence_chrf

NUM_SENTENCES = 12
# A text of a table; a page is no place for books.
_MOST_CHARACTERS = 500


class TranslationJudge:
    """Judges texts by one reference each."""

    headlines = {"bleu": "BLEU", "chrf": "chrF", "length_ratio": "length ratio"}

    def judge(self, subject: JudgedSubject, split: JudgedSplit, predicted: Predicted, *, seed: int) -> Judgement:
        """Judges the texts; of a confidential split none is kept."""
        hypotheses, references = list(predicted.texts), [str(text) for text in split.targets_N]
        if len(hypotheses) != len(references):
            raise InputError(f"{len(hypotheses)} texts for {len(references)} references given; expected one each.")
        metrics, signature = translation_metrics(hypotheses, references, seed=seed)
        chrf_N = sentence_chrf(hypotheses, references)
        details: dict[str, object] = {"metric_signature": signature}
        arrays: dict[str, NDArray[np.generic]] = {"chrf": chrf_N.astype(np.float32)}
        if not split.confidential:
            order_N = np.argsort(chrf_N, kind="stable")
            worst_S, best_S = order_N[:NUM_SENTENCES], order_N[NUM_SENTENCES:][::-1][:NUM_SENTENCES]
            details["worst_sentences"] = _examples(split, hypotheses, chrf_N, worst_S)
            details["best_sentences"] = _examples(split, hypotheses, chrf_N, best_S)
            arrays["references"], arrays["hypotheses"] = np.array(references), np.array(hypotheses)
        return Judgement(metrics=metrics, primary_metric="bleu", details=details, arrays=arrays)

    def sections(self, evaluation: Evaluation, plots: Mapping[str, bytes]) -> list[Section]:
        """How the scores were computed, and the sentences at both ends."""
        blocks: list[Text | Table] = [Text(f"Computed by sacreBLEU: {evaluation.metric_signature}.")]
        for words, examples in (("worst", evaluation.worst_sentences), ("best", evaluation.best_sentences)):
            if examples:
                blocks.append(_sentence_rows(f"The {words} sentences by chrF", examples))
        return [Section("Sentences", tuple(blocks))]


def _examples(
    split: JudgedSplit, hypotheses: Sequence[str], chrf_N: NDArray[np.float64], indices: NDArray[np.int64]
) -> tuple[SentenceExample, ...]:
    return tuple(
        SentenceExample(
            example_id=str(split.ids[index]),
            source=_source(split, int(index)),
            reference=_shortened(str(split.targets_N[index])),
            hypothesis=_shortened(hypotheses[index]),
            chrf=float(np.clip(chrf_N[index], 0, 100)),
        )
        for index in indices
    )


def _source(split: JudgedSplit, index: int) -> str | None:
    raw = split.shown_raw(index)
    return None if raw is None else _shortened(raw.decode("utf-8", errors="replace"))


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def _sentence_rows(caption: str, examples: Sequence[SentenceExample]) -> Table:
    rows = tuple(
        (row.example_id, row.source or "–", row.reference, row.hypothesis or "–", f"{row.chrf:.1f}") for row in examples
    )
    return Table(caption, ("example", "source", "reference", "translation", "chrF"), rows)
