"""Layer 2: how close texts come to references: BLEU and chrF as sacreBLEU computes them, with its signature.

Training measures its validation split with these, evaluation whole bundles. N sentences, each with one reference.

Sources: Post, A Call for Clarity in Reporting BLEU Scores, WMT 2018; Popović, chrF: character n-gram F-score for
automatic MT evaluation, WMT 2015.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError, missing_extra

# What the sums of `sentence_bleu_counts` are: lengths of hypothesis and reference, matched n-grams, all n-grams.
_NUM_ORDERS = 4


def corpus_bleu(
    hypotheses: Sequence[str], references: Sequence[str], *, lowercase: bool = False, is_tokenized: bool = False
) -> tuple[float, str]:
    """BLEU of all sentences together, 0 to 100, and sacreBLEU's signature of how it was computed.

    Raw texts by default, cut into words by sacreBLEU's own tokenizer `13a`; with `is_tokenized` at white space alone.
    Raises `InputError` for unequal numbers of sentences or none.
    """
    _check(hypotheses, references)
    metric = _sacrebleu().BLEU(
        lowercase=lowercase, tokenize="none" if is_tokenized else "13a", force=is_tokenized, effective_order=False
    )
    score = metric.corpus_score(list(hypotheses), [list(references)]).score
    return float(score), str(metric.get_signature())


def corpus_chrf(hypotheses: Sequence[str], references: Sequence[str]) -> tuple[float, str]:
    """chrF (characters up to 6, beta 2) of all sentences together, 0 to 100, and sacreBLEU's signature of it."""
    _check(hypotheses, references)
    metric = _sacrebleu().CHRF()
    score = metric.corpus_score(list(hypotheses), [list(references)]).score
    return float(score), str(metric.get_signature())


def corpus_chrf_interval(
    hypotheses: Sequence[str], references: Sequence[str], *, num_resamples: int = 1000
) -> tuple[float, float]:
    """The ends of chrF's 95% interval: sacreBLEU's own bootstrap over sentences, with its fixed seed."""
    _check(hypotheses, references)
    metric = _sacrebleu().CHRF()
    score = metric.corpus_score(list(hypotheses), [list(references)], n_bootstrap=num_resamples)
    # Its JSON is where sacreBLEU shows the interval, once it has a signature: the middle of it and half of its width.
    stated = json.loads(score.format(width=6, signature=str(metric.get_signature()), is_json=True))
    middle, half = (float(stated.get(f"confidence_{part}", 0.0)) for part in ("mean", "var"))
    return max(middle - half, 0.0), min(middle + half, 100.0)


def sentence_chrf(hypotheses: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """chrF of each sentence, (N,), 0 to 100."""
    _check(hypotheses, references)
    metric = _sacrebleu().CHRF()
    pairs = zip(hypotheses, references, strict=True)
    return np.array([metric.sentence_score(hypothesis, [reference]).score for hypothesis, reference in pairs])


def sentence_bleu_counts(hypotheses: Sequence[str], references: Sequence[str]) -> NDArray[np.int64]:
    """What BLEU is a function of, per sentence: (N, 10) counts whose sum over sentences `bleu_from_counts` takes.

    Resampling sentences and adding up their counts gives BLEU's bootstrap interval without cutting any text again.
    """
    _check(hypotheses, references)
    # Each sentence's own score is not asked for; with `effective_order` sacreBLEU says nothing about it.
    metric = _sacrebleu().BLEU(tokenize="13a", effective_order=True)
    rows = []
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        score = metric.sentence_score(hypothesis, [reference])
        rows.append([score.sys_len, score.ref_len, *score.counts, *score.totals])
    return np.array(rows, dtype=np.int64)


def bleu_from_counts(counts: NDArray[np.number]) -> float:
    """BLEU, 0 to 100, of sentences whose counts sum up to `counts`, (10,); equal to `corpus_bleu` of the same texts."""
    hypothesis_length, reference_length, *ngrams = (round(float(count)) for count in counts)
    score = _sacrebleu().BLEU.compute_bleu(
        ngrams[:_NUM_ORDERS], ngrams[_NUM_ORDERS:], hypothesis_length, reference_length, smooth_method="exp"
    )
    return float(score.score)


def _check(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references) or not references:
        raise InputError(
            f"{len(hypotheses)} texts for {len(references)} references given; expected as many of both, at least one."
        )


def _sacrebleu() -> ModuleType:
    try:
        from sacrebleu import metrics
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from error
    return metrics
