"""How close translations are to references, and how sure that figure is. N sentences, each with one reference.

The scores are sacreBLEU's (`loopline.text_metrics`); the intervals are those of the bootstrap over sentences (Koehn,
Statistical Significance Tests for Machine Translation Evaluation, EMNLP 2004).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loopline.core.records import Metric
from loopline.metrics.resampling import INTERVAL, NUM_RESAMPLES, FloatArray, resampled_metrics
from loopline.text_metrics import (
    bleu_from_counts,
    corpus_bleu,
    corpus_chrf,
    corpus_chrf_interval,
    sentence_bleu_counts,
)


def translation_metrics(
    hypotheses: Sequence[str], references: Sequence[str], *, seed: int = 0, num_resamples: int = NUM_RESAMPLES
) -> tuple[dict[str, Metric], str]:
    """BLEU and chrF of the whole, 0 to 100, and the ratio of lengths in words; with sacreBLEU's signatures.

    Each has a 95% percentile bootstrap interval over the sentences. `length_ratio` is the hypotheses' number of words
    over the references'. Raises `InputError` where there are not as many of both, or none.
    """
    bleu, bleu_signature = corpus_bleu(hypotheses, references)
    chrf, chrf_signature = corpus_chrf(hypotheses, references)
    counts_NC = sentence_bleu_counts(hypotheses, references).astype(np.float64)

    def metrics(weights_N: FloatArray) -> dict[str, float]:
        counts_C = weights_N @ counts_NC
        return {"bleu": bleu_from_counts(counts_C), "length_ratio": float(counts_C[0] / max(counts_C[1], 1.0))}

    values, resampled = resampled_metrics(metrics, len(references), seed=seed, num_resamples=num_resamples)
    intervals = {name: np.quantile(column, INTERVAL) for name, column in resampled.items()}
    values["bleu"], values["chrf"] = bleu, chrf
    intervals["chrf"] = np.array(corpus_chrf_interval(hypotheses, references, num_resamples=num_resamples))
    found = {
        name: Metric(value=values[name], low=float(intervals[name][0]), high=float(intervals[name][1]))
        for name in ("bleu", "chrf", "length_ratio")
    }
    return found, f"BLEU {bleu_signature}, chrF {chrf_signature}"
