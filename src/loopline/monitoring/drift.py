"""`detect_drift`: does a window of predictions come from where the bundle's reference comes from?

What is tested: the embeddings as a whole (energy distance) and along their 32 leading principal components, one by one
(Kolmogorov and Smirnov), and what the answers are made of (`loopline.monitoring.features`): predicted labels
(chi-squared), confidence, value, features of texts (Kolmogorov and Smirnov). The p values are exact or come from
permutations. Holm's method corrects them, so that the chance of any false alarm per report is at most the stated rate;
the components share among them what each of the other tests has for itself. Beside its p every test states an effect
that does not grow with the number of examples; below a least effect nothing counts as drift.

Why so many components: the first few tell classes apart and change little when the input does. A changed input shows
in directions along which the network hardly varied before (`docs/drift.md` has the figures).

Source of the design: Rabanser, Günnemann and Lipton, Failing Loudly, NeurIPS 2019 (univariate tests with correction, on
a learned representation). The tests themselves and their sources: `loopline.monitoring.two_sample`.

N examples (R of the reference, C current), D embedding, P components, K outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.core.records import DriftReport, DriftTest, Task, utc_now
from loopline.monitoring.features import Feature, answer_features
from loopline.monitoring.two_sample import Difference, energy_test, gap_test, holm, label_test, principal_components

DEFAULT_FALSE_ALARM_RATE = 0.01
MIN_WINDOW = 30
# A component's test is this and its number.
COMPONENT = "embedding PC "
# In a large window a difference can be certain and still too small to act on: five examples in a hundred, a shift of
# about an eighth of a spread.
MINIMUM_SHARE_EFFECT = 0.05
MINIMUM_ENERGY_EFFECT = 0.002
# The smallest p that permutations can give is 1/(1 + their number); corrected for all shares it must still alarm, with
# room to spare.
_PERMUTATIONS_PER_SHARE = 5


@dataclass(frozen=True)
class DriftSample:
    """Embeddings and outputs of the same examples."""

    embedding_ND: NDArray[np.float32]
    outputs_NK: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.embedding_ND)


@dataclass(frozen=True)
class DriftSubject:
    """Whose predictions are looked at, and from when to when (None: from the first, to the last)."""

    model: str
    bundle_digest: str
    reference_digest: str
    task: Task
    # Of the K outputs: label names; `value`, `low`, `high`; a text's features.
    output_names: Sequence[str]
    # Of a predicted value.
    unit: str | None = None
    window: tuple[datetime | None, datetime | None] = (None, None)


def detect_drift(
    reference: DriftSample,
    current: DriftSample,
    subject: DriftSubject,
    *,
    false_alarm_rate: float = DEFAULT_FALSE_ALARM_RATE,
    seed: int = 0,
) -> DriftReport:
    """Tests whether the window comes from the reference's distribution.

    `false_alarm_rate` bounds the chance that any of the tests fires where nothing changed. Raises `InputError` for a
    window of fewer than 30 predictions, for arrays that do not fit each other, and for a rate outside of 0.0001 to 0.5.
    """
    if not 1e-4 <= false_alarm_rate <= 0.5:
        raise InputError(f"false-alarm rate {false_alarm_rate} given; expected 0.0001 to 0.5.")
    _check(reference, current, subject)
    findings = _findings(reference, current, subject, false_alarm_rate=false_alarm_rate, seed=seed)
    corrected = holm([finding.difference.p for finding in findings], [finding.weight for finding in findings])
    tests = tuple(
        DriftTest(
            feature=finding.feature,
            method=finding.method,
            statistic=finding.difference.statistic,
            p=finding.difference.p,
            corrected_p=corrected_p,
            effect=finding.difference.effect,
            minimum_effect=finding.minimum_effect,
            drifted=corrected_p <= false_alarm_rate and finding.difference.effect >= finding.minimum_effect,
        )
        for finding, corrected_p in zip(findings, corrected, strict=True)
    )
    return DriftReport(
        model=subject.model,
        bundle_digest=subject.bundle_digest,
        reference_digest=subject.reference_digest,
        window_start=subject.window[0],
        window_end=subject.window[1],
        num_reference=len(reference),
        num_current=len(current),
        false_alarm_rate=false_alarm_rate,
        tests=tests,
        drifted=any(test.drifted for test in tests),
        created_at=utc_now(),
    )


def shown_tests(report: DriftReport, *, most: int = 12) -> tuple[DriftTest, ...]:
    """The tests to show where 35 are too many: every one but the components', and of those the strongest."""
    components = [test for test in report.tests if test.feature.startswith(COMPONENT)]
    others = [test for test in report.tests if test not in components]
    strongest = sorted(components, key=lambda test: test.p)[: max(most - len(others), 0)]
    return (*others, *(test for test in components if test in strongest))


def drift_sentence(report: DriftReport) -> str:
    """The verdict in a sentence."""
    if not report.drifted:
        return f"No drift: none of {len(report.tests)} tests fired on {report.num_current:,} predictions."
    fired = [test.feature for test in report.tests if test.drifted]
    words = [feature for feature in fired if not feature.startswith(COMPONENT)]
    if num_components := len(fired) - len(words):
        words.append(f"{num_components} component{'s' if num_components > 1 else ''} of the embedding")
    return f"Drift: {len(fired)} of {len(report.tests)} tests fired ({', '.join(words)})."


@dataclass(frozen=True)
class _Finding:
    """What one test found, before the correction for their number, and its share of the false-alarm rate."""

    feature: str
    method: str
    difference: Difference
    minimum_effect: float
    weight: float = 1.0


def _findings(
    reference: DriftSample, current: DriftSample, subject: DriftSubject, *, false_alarm_rate: float, seed: int
) -> list[_Finding]:
    rng = np.random.default_rng(seed)
    features = [
        answer_features(subject.task, sample.outputs_NK, subject.output_names) for sample in (reference, current)
    ]
    # One share for the embeddings as a whole, one for the components together, one for each feature of the answers.
    num_shares = 2 + len(features[0])
    num_permutations = int(np.ceil(_PERMUTATIONS_PER_SHARE * num_shares / false_alarm_rate))
    energy = energy_test(reference.embedding_ND, current.embedding_ND, num_permutations=num_permutations, rng=rng)
    findings = [_Finding("embedding", "energy distance", energy, MINIMUM_ENERGY_EFFECT)]
    for expected, found in zip(*features, strict=True):
        if expected.label_names:
            counts_2K = np.stack([_label_counts(feature) for feature in (expected, found)])
            labels = label_test(counts_2K, num_permutations=num_permutations, rng=rng)
            findings.append(_Finding(expected.name, "chi-squared", labels, MINIMUM_SHARE_EFFECT))
        else:
            findings.append(_gap_finding(expected.name, expected.column_N, found.column_N))
    components_RP, components_CP = principal_components(reference.embedding_ND, current.embedding_ND)
    num_components = components_RP.shape[1]
    for index in range(num_components):
        name, weight = f"{COMPONENT}{index + 1}", 1 / num_components
        findings.append(_gap_finding(name, components_RP[:, index], components_CP[:, index], weight=weight))
    return findings


def _gap_finding(
    name: str, reference_R: NDArray[np.floating], current_C: NDArray[np.floating], *, weight: float = 1.0
) -> _Finding:
    gap = gap_test(reference_R, current_C)
    return _Finding(name, "Kolmogorov–Smirnov", gap, MINIMUM_SHARE_EFFECT, weight)


def _label_counts(feature: Feature) -> NDArray[np.int64]:
    return np.bincount(feature.column_N, minlength=len(feature.label_names)).astype(np.int64)


def _check(reference: DriftSample, current: DriftSample, subject: DriftSubject) -> None:
    if len(current) < MIN_WINDOW:
        raise InputError(
            f"the window holds {len(current)} predictions; expected at least {MIN_WINDOW}.",
            next_command=f"loopline drift {subject.model} --since 7d",
        )
    for name, sample in (("reference", reference), ("window", current)):
        shapes = sample.embedding_ND.shape, sample.outputs_NK.shape
        if len(shapes[0]) != 2 or shapes[1] != (len(sample), len(subject.output_names)):
            raise InputError(
                f"the {name} has embeddings {shapes[0]} and outputs {shapes[1]}; "
                f"expected (N, D) and (N, {len(subject.output_names)})."
            )
        if not np.isfinite(sample.embedding_ND).all() or not np.isfinite(sample.outputs_NK).all():
            raise InputError(f"the {name} holds NaN or infinity; expected finite numbers.")
    if reference.embedding_ND.shape[1] != current.embedding_ND.shape[1]:
        raise InputError(
            f"embeddings of {reference.embedding_ND.shape[1]} and {current.embedding_ND.shape[1]} numbers given; "
            "expected the same bundle's."
        )
