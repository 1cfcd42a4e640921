"""Drift: the stated rate of false alarms, the power to see a change, and reports on disk."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from loopline.core.errors import ConfigError, InputError
from loopline.core.records import DriftReport
from loopline.core.store import digest_bytes, read_record
from loopline.monitoring import (
    DriftSample,
    DriftSubject,
    detect_drift,
    drift_sentence,
    parse_moment,
    shown_tests,
    write_drift_report,
)
from loopline.monitoring.drift import MINIMUM_SHARE_EFFECT

NAMES = tuple("abcdefgh")
SUBJECT = DriftSubject("m@champion", digest_bytes(b"bundle"), digest_bytes(b"reference"), "classification", NAMES)
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
    """Of 80 windows in which nothing changed, no more alarm than a rate of 5% allows (99.9% binomial bound: 11)."""
    rng = np.random.default_rng(0)
    alarms = 0
    for seed in range(80):
        reference, current = sample(400, rng), sample(100, rng)
        alarms += detect_drift(reference, current, SUBJECT, false_alarm_rate=0.05, seed=seed).drifted
    assert alarms <= 11


def test_many_equal_dimensions_raise_no_alarm() -> None:
    """Where no direction stands out, axes fitted to the reference alone would call every window drifted."""
    rng = np.random.default_rng(0)
    alarms = 0
    for seed in range(20):
        reference, current = (
            DriftSample(rng.normal(size=(size, 200)).astype(np.float32), sample(size, rng).outputs_NK)
            for size in (300, 150)
        )
        alarms += detect_drift(reference, current, SUBJECT, false_alarm_rate=0.05, seed=seed).drifted
    assert alarms <= 5


def test_a_change_off_the_beaten_directions_is_seen() -> None:
    """A small change along a direction in which the reference hardly varies is seen, though no label changes."""
    rng = np.random.default_rng(9)
    spread_D = np.array([10.0] * 8 + [0.5] * 8)
    reference, current = (
        DriftSample((rng.normal(size=(size, 16)) * spread_D).astype(np.float32), sample(size, rng).outputs_NK)
        for size in (1000, 200)
    )
    moved_D = np.array([0.0] * 15 + [0.5])
    moved = DriftSample(current.embedding_ND + moved_D.astype(np.float32), current.outputs_NK)
    report = detect_drift(reference, moved, SUBJECT)
    fired = [test.feature for test in report.tests if test.drifted]
    assert fired
    assert all(feature.startswith("embedding PC") for feature in fired)
    assert not detect_drift(reference, current, SUBJECT).drifted


def test_a_constant_embedding_is_no_drift() -> None:
    """A network whose embedding says nothing leaves the labels and the confidence to be tested."""
    rng = np.random.default_rng(10)
    reference, current = (
        DriftSample(np.full((size, 5), 3.5, dtype=np.float32), sample(size, rng).outputs_NK) for size in (200, 60)
    )
    report = detect_drift(reference, current, SUBJECT)
    assert [test.feature for test in report.tests] == ["embedding", "predicted labels", "confidence"]
    assert report.tests[0].p == 1
    assert not report.drifted


def test_the_rate_decides() -> None:
    """The same window is drift at a lax rate and none at a strict one; the p values stay."""
    rng = np.random.default_rng(11)
    reference, current = sample(400, rng), sample(100, rng, shift=0.65)
    lax, strict = (detect_drift(reference, current, SUBJECT, false_alarm_rate=rate) for rate in (0.2, 0.001))
    assert lax.drifted
    assert not strict.drifted
    assert (lax.false_alarm_rate, strict.false_alarm_rate) == (0.2, 0.001)


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
    certain = [test for test in report.tests if test.corrected_p < report.false_alarm_rate]
    assert all(test.effect < test.minimum_effect <= MINIMUM_SHARE_EFFECT for test in certain)


def test_labels_that_change_alone_are_seen() -> None:
    """The same embeddings with other labels are the labels' drift."""
    rng = np.random.default_rng(3)
    reference, current = sample(1000, rng), sample(200, rng)
    relabelled = DriftSample(current.embedding_ND, np.roll(current.outputs_NK, 1, axis=1))
    report = detect_drift(reference, relabelled, SUBJECT)
    assert [test.feature for test in report.tests if test.drifted] == ["predicted labels"]


def test_what_cannot_be_tested_is_refused() -> None:
    """Too small a window, arrays that do not fit, NaN, and an impossible rate are errors."""
    rng = np.random.default_rng(6)
    reference, current = sample(100, rng), sample(50, rng)
    with pytest.raises(InputError, match="holds 29 predictions; expected at least 30"):
        detect_drift(reference, sample(29, rng), SUBJECT)
    with pytest.raises(InputError, match="false-alarm rate"):
        detect_drift(reference, current, SUBJECT, false_alarm_rate=0.9)
    with pytest.raises(InputError, match="expected \\(N, D\\)"):
        detect_drift(reference, DriftSample(current.embedding_ND, current.outputs_NK[:, :3]), SUBJECT)
    with pytest.raises(InputError, match="same bundle's"):
        detect_drift(reference, DriftSample(current.embedding_ND[:, :5], current.outputs_NK), SUBJECT)
    with pytest.raises(InputError, match="NaN"):
        detect_drift(reference, DriftSample(current.embedding_ND * np.nan, current.outputs_NK), SUBJECT)


def test_the_report_is_a_record_and_a_page(tmp_path: Path) -> None:
    """`drift.json` is the record, `drift.html` says the verdict and holds three plots."""
    rng = np.random.default_rng(1)
    reference, current = sample(300, rng), sample(100, rng, shift=1.5)
    report = detect_drift(reference, current, SUBJECT)
    write_drift_report(report, reference, current, SUBJECT, output=tmp_path / "drift")
    assert read_record(DriftReport, tmp_path / "drift" / "drift.json") == report
    page = (tmp_path / "drift" / "drift.html").read_text(encoding="utf-8")
    assert "Drift:" in page
    assert page.count('src="data:image/png;base64,') == 3
    assert all(test.feature in page for test in report.tests)


def test_what_is_shown_of_many_tests() -> None:
    """Three tests of the whole and the strongest components, in the report's order; the sentence counts the rest."""
    rng = np.random.default_rng(1)
    report = detect_drift(sample(300, rng), sample(100, rng, shift=1.5), SUBJECT)
    shown = shown_tests(report, most=5)
    assert [test.feature for test in shown][:3] == ["embedding", "predicted labels", "confidence"]
    assert [test for test in report.tests if test in shown] == list(shown)
    left_out = [test.p for test in report.tests if test not in shown]
    assert len(shown) == 5
    assert max(test.p for test in shown[3:]) <= min(left_out)
    num_components = sum(test.drifted for test in report.tests[3:])
    assert num_components > 1
    assert f"{num_components} components of the embedding" in drift_sentence(report)


VALUE_SUBJECT = DriftSubject(
    "m@1", SUBJECT.bundle_digest, SUBJECT.reference_digest, "regression", ("value", "low", "high")
)
TEXT_NAMES = ("num_tokens", "unknown_rate", "length_ratio")
TEXT_SUBJECT = DriftSubject("m@1", SUBJECT.bundle_digest, SUBJECT.reference_digest, "translation", TEXT_NAMES)


def values(num_examples: int, rng: np.random.Generator, *, shift: float = 0.0) -> DriftSample:
    """Embeddings and a value that depends on them, with an interval around it."""
    embedding_ND = sample(num_examples, rng).embedding_ND
    value_N = embedding_ND[:, 0] + shift + rng.normal(size=num_examples)
    return DriftSample(embedding_ND, np.stack([value_N, value_N - 9, value_N + 9], axis=1).astype(np.float32))


def texts(num_examples: int, rng: np.random.Generator, *, unknown: float = 0.02) -> DriftSample:
    """Embeddings and features of texts: whole numbers, a rate that is mostly 0, a ratio."""
    num_tokens = rng.poisson(14, num_examples) + 1
    columns = [num_tokens, rng.binomial(num_tokens, unknown) / num_tokens, rng.normal(1, 0.1, num_examples)]
    return DriftSample(sample(num_examples, rng).embedding_ND, np.stack(columns, axis=1).astype(np.float32))


@pytest.mark.parametrize(("draw", "subject"), [(values, VALUE_SUBJECT), (texts, TEXT_SUBJECT)])
def test_other_tasks_keep_their_rate_too(draw: Callable[..., DriftSample], subject: DriftSubject) -> None:
    """Of 60 unchanged windows, no more alarm than a rate of 5% allows (99.9% binomial bound: 9)."""
    rng = np.random.default_rng(12)
    reports = [
        detect_drift(draw(300, rng), draw(80, rng), subject, false_alarm_rate=0.05, seed=seed) for seed in range(60)
    ]
    assert sum(report.drifted for report in reports) <= 9


def test_a_value_that_moves_alone_is_seen() -> None:
    """Values that rise by one spread are the value's drift; its interval, which moves along, is no test of its own."""
    rng = np.random.default_rng(13)
    report = detect_drift(values(500, rng), values(150, rng, shift=2.0), VALUE_SUBJECT)
    assert [test.feature for test in report.tests][:3] == ["embedding", "predicted value", "embedding PC 1"]
    assert [test.feature for test in report.tests if test.drifted] == ["predicted value"]


def test_texts_of_unknown_words_are_seen() -> None:
    """Each feature of a text is tested under its name."""
    rng = np.random.default_rng(14)
    report = detect_drift(texts(500, rng), texts(150, rng, unknown=0.1), TEXT_SUBJECT)
    assert [test.feature for test in report.tests][1:4] == ["num tokens", "unknown rate", "length ratio"]
    assert [test.feature for test in report.tests if test.drifted] == ["unknown rate"]


@pytest.mark.parametrize(("draw", "subject", "num_pictures"), [(values, VALUE_SUBJECT, 3), (texts, TEXT_SUBJECT, 5)])
def test_the_page_shows_what_the_task_answers(
    draw: Callable[..., DriftSample], subject: DriftSubject, num_pictures: int, tmp_path: Path
) -> None:
    """One picture of the tests, one of each feature of the answers, one of the embeddings."""
    rng = np.random.default_rng(15)
    reference, current = draw(120, rng), draw(60, rng)
    report = detect_drift(reference, current, subject)
    write_drift_report(report, reference, current, subject, output=tmp_path / "drift")
    page = (tmp_path / "drift" / "drift.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == num_pictures


def test_outputs_without_a_value_are_no_regressors() -> None:
    """A regressor's outputs are looked for by name."""
    rng = np.random.default_rng(16)
    subject = DriftSubject("m@1", SUBJECT.bundle_digest, SUBJECT.reference_digest, "regression", TEXT_NAMES)
    with pytest.raises(ConfigError, match="expected 'value'"):
        detect_drift(texts(60, rng), texts(60, rng), subject)


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
