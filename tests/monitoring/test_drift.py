"""Drift: the stated rate of false alarms, the power to see a change, and reports on disk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from loopline.core.errors import InputError
from loopline.core.records import DriftReport
from loopline.core.store import digest_bytes, read_record
from loopline.monitoring import DriftSample, DriftSubject, detect_drift, parse_moment, write_drift_report
from loopline.monitoring.drift import energy_test, holm, label_test, principal_components

NAMES = tuple("abcdefgh")
SUBJECT = DriftSubject("m@champion", digest_bytes(b"bundle"), digest_bytes(b"reference"), NAMES)
_MIXER = np.random.default_rng(7).normal(size=(6, 24))
_READOUT = np.random.default_rng(8).normal(size=(24, len(NAMES)))


def sample(num_examples: int, rng: np.random.Generator, *, shift: float = 0.0) -> DriftSample:
    """Embeddings as a network's last layer has them (not negative, correlated), and probabilities made of them."""
    latent = rng.normal(size=(num_examples, 6))
    latent[:, 0] += shift
    embedding_ND = np.maximum(latent @ _MIXER, 0).astype(np.float32)
    logits_NK = embedding_ND @ _READOUT / 3
    exponents_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    return DriftSample(embedding_ND, (exponents_NK / exponents_NK.sum(axis=1, keepdims=True)).astype(np.float32))


def test_false_alarms_keep_their_rate() -> None:
    """Of 200 windows in which nothing changed, no more alarm than a rate of 5% allows (99.9% binomial bound: 22)."""
    rng = np.random.default_rng(0)
    alarms = 0
    for seed in range(200):
        reference, current = sample(400, rng), sample(100, rng)
        alarms += detect_drift(reference, current, SUBJECT, false_alarm_rate=0.05, seed=seed).drifted
    assert alarms <= 22


@pytest.mark.parametrize(("shift", "num_examples"), [(1.0, 100), (0.5, 500)])
def test_a_shift_is_seen(shift: float, num_examples: int) -> None:
    """A shift of one spread is seen in 100 predictions, half of one in 500."""
    rng = np.random.default_rng(1)
    report = detect_drift(sample(2000, rng), sample(num_examples, rng, shift=shift), SUBJECT)
    assert report.drifted
    assert report.num_current == num_examples
    assert all(test.corrected_p >= test.p for test in report.tests)
    assert all(test.effect >= test.minimum_effect for test in report.tests if test.drifted)


def test_a_certain_but_tiny_difference_is_no_drift() -> None:
    """In a huge window a difference may be certain and still below the least effect."""
    rng = np.random.default_rng(2)
    report = detect_drift(sample(20_000, rng), sample(20_000, rng, shift=0.08), SUBJECT)
    assert min(test.corrected_p for test in report.tests) < report.false_alarm_rate
    assert not report.drifted


def test_labels_that_change_alone_are_seen() -> None:
    """The same embeddings with other labels are the labels' drift."""
    rng = np.random.default_rng(3)
    reference, current = sample(1000, rng), sample(200, rng)
    relabelled = DriftSample(current.embedding_ND, np.roll(current.probability_NK, 1, axis=1))
    report = detect_drift(reference, relabelled, SUBJECT)
    assert [test.feature for test in report.tests if test.drifted] == ["predicted labels"]


def test_holm_equals_the_definition() -> None:
    """The corrected values of a worked example; they never fall along the order and never pass 1."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_energy_distance_equals_a_slow_one() -> None:
    """The matrix form is the definition, pair by pair."""
    rng = np.random.default_rng(4)
    x_RP, y_CP = rng.normal(size=(30, 3)), rng.normal(size=(20, 3)) + 0.5
    across = np.mean([np.linalg.norm(x - y) for x in x_RP for y in y_CP])
    within = (
        np.mean([np.linalg.norm(x - y) for x in x_RP for y in x_RP]),
        np.mean([np.linalg.norm(x - y) for x in y_CP for y in y_CP]),
    )
    energy, p, effect = energy_test(x_RP, y_CP, num_permutations=99, rng=rng)
    assert energy == pytest.approx(2 * across - sum(within))
    assert effect == pytest.approx(energy / (2 * across))
    assert 0.01 <= p <= 1


def test_label_statistic_equals_scipys() -> None:
    """Chi-squared of a 2×K table, and total variation."""
    from scipy.stats import chi2_contingency

    counts_2K = np.array([[30, 50, 20, 0], [10, 5, 25, 0]])
    statistic, p, variation = label_test(counts_2K, num_permutations=499, rng=np.random.default_rng(0))
    assert statistic == pytest.approx(chi2_contingency(counts_2K[:, :3], correction=False).statistic)
    assert p == pytest.approx(1 / 500)
    assert variation == pytest.approx(np.abs(counts_2K[0] / 100 - counts_2K[1] / 40).sum() / 2)


def test_dead_features_are_no_component() -> None:
    """A feature without spread in the reference becomes no component."""
    rng = np.random.default_rng(5)
    reference_RD = np.concatenate([rng.normal(size=(50, 2)), np.zeros((50, 3))], axis=1)
    components_RP, components_CP = principal_components(reference_RD, reference_RD[:10])
    assert components_RP.shape == (50, 2)
    np.testing.assert_allclose(components_RP.std(axis=0), 1, rtol=1e-6)
    np.testing.assert_allclose(components_CP, components_RP[:10])


def test_what_cannot_be_tested_is_refused() -> None:
    """Too small a window, arrays that do not fit, NaN, and an impossible rate are errors."""
    rng = np.random.default_rng(6)
    reference, current = sample(100, rng), sample(50, rng)
    with pytest.raises(InputError, match="holds 29 predictions; expected at least 30"):
        detect_drift(reference, sample(29, rng), SUBJECT)
    with pytest.raises(InputError, match="false-alarm rate"):
        detect_drift(reference, current, SUBJECT, false_alarm_rate=0.9)
    with pytest.raises(InputError, match="expected \\(N, D\\)"):
        detect_drift(reference, DriftSample(current.embedding_ND, current.probability_NK[:, :3]), SUBJECT)
    with pytest.raises(InputError, match="same bundle's"):
        detect_drift(reference, DriftSample(current.embedding_ND[:, :5], current.probability_NK), SUBJECT)
    with pytest.raises(InputError, match="NaN"):
        detect_drift(reference, DriftSample(current.embedding_ND * np.nan, current.probability_NK), SUBJECT)


def test_the_report_is_a_record_and_a_page(tmp_path: Path) -> None:
    """`drift.json` is the record, `drift.html` says the verdict and holds three plots."""
    rng = np.random.default_rng(1)
    reference, current = sample(300, rng), sample(100, rng, shift=1.5)
    report = detect_drift(reference, current, SUBJECT)
    write_drift_report(report, reference, current, NAMES, output=tmp_path / "drift")
    assert read_record(DriftReport, tmp_path / "drift" / "drift.json") == report
    page = (tmp_path / "drift" / "drift.html").read_text(encoding="utf-8")
    assert "Drift:" in page
    assert page.count('src="data:image/png;base64,') == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("1.5h", timedelta(hours=1.5)),
        ("7d", timedelta(days=7)),
    ],
)
def test_durations_count_back(text: str, expected: timedelta) -> None:
    """A duration is a moment before now."""
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert parse_moment(text, now=now) == now - expected


def test_times_are_utc() -> None:
    """A time without a zone is UTC, one with a zone is converted."""
    assert parse_moment("2026-01-31T12:00:00") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert parse_moment("2026-01-31T12:00:00+02:00") == datetime(2026, 1, 31, 10, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "5y", "-1h", "99999999999d"])
def test_other_words_are_refused(text: str) -> None:
    """What is no moment is an error with examples."""
    with pytest.raises(InputError, match="expected a duration such as"):
        parse_moment(text)
