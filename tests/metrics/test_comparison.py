"""The gate's comparison against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from loopline.core.errors import InputError
from loopline.metrics import paired_bootstrap, paired_chrf, paired_errors


def test_equal_models_pass_and_worse_ones_do_not() -> None:
    """The gate lets an equal model through and stops one that is three points worse."""
    rng = np.random.default_rng(0)
    champion_N = rng.random(5000) < 0.9
    assert paired_bootstrap(champion_N, champion_N).not_worse
    worse_N = champion_N & (rng.random(5000) > 0.03)
    verdict = paired_bootstrap(worse_N, champion_N)
    assert not verdict.not_worse
    assert verdict.num_lost == int((champion_N & ~worse_N).sum())
    assert verdict.difference == pytest.approx(worse_N.mean() - champion_N.mean())
    assert verdict.low < verdict.difference < verdict.high < 0


def test_few_examples_prove_nothing() -> None:
    """Twenty examples on which both are right do not show that a model is not worse."""
    all_right = np.ones(20, dtype=bool)
    assert not paired_bootstrap(all_right, all_right).not_worse


def test_a_model_at_the_margin_rarely_passes() -> None:
    """A challenger that is worse by the margin passes at most one time in twenty, with room for chance."""
    rng = np.random.default_rng(3)
    passed = 0
    for seed in range(200):
        champion_N = rng.random(2000) < 0.9
        flips_N = rng.random(2000)
        challenger_N = np.where(champion_N, flips_N > 0.03, flips_N < 0.17)
        passed += paired_bootstrap(challenger_N, champion_N, seed=seed, num_resamples=500, margin=0.01).not_worse
    assert passed <= 16


@pytest.mark.parametrize(
    ("challenger", "champion", "margin", "words"),
    [([True], [True, False], 0.01, "one per example"), ([], [], 0.01, "at least one"), ([True], [True], 1.0, "margin")],
)
def test_unpaired_outcomes_are_refused(challenger: list[bool], champion: list[bool], margin: float, words: str) -> None:
    """Different lengths, no examples and an impossible margin are errors."""
    with pytest.raises(InputError, match=words):
        paired_bootstrap(np.array(challenger), np.array(champion), margin=margin)


def test_errors_are_compared_as_shares_of_the_champions() -> None:
    """A tenth more error is seen as worse, a tenth less as a gain; scale and unit of the target do not matter."""
    rng = np.random.default_rng(0)
    champion_N = np.abs(rng.normal(size=800))
    for scale in (1.0, 1e-4):
        worse, better = (paired_errors(scale * champion_N * by, scale * champion_N, seed=1) for by in (1.1, 0.9))
        assert worse.difference == pytest.approx(-0.1)
        assert worse.verdict == "worse"
        assert (worse.num_won, worse.num_lost) == (0, 800)
        assert better.difference == pytest.approx(0.1)
        assert better.not_worse
    assert "-10.00 per cent of the champion's mean absolute error" in worse.sentence
    assert "a loss of up to 5.00 is allowed: worse." in worse.sentence


def test_sentences_are_compared_in_points() -> None:
    """Two points of chrF less are worse, equal translations are not."""
    rng = np.random.default_rng(0)
    champion_N = rng.uniform(20, 80, 3000)
    verdict = paired_chrf(champion_N - 2 + rng.normal(size=3000), champion_N)
    assert verdict.verdict == "worse"
    assert verdict.difference == pytest.approx(-2, abs=0.1)
    assert "points of chrF" in verdict.sentence
    assert paired_chrf(champion_N, champion_N).not_worse


def test_few_scores_prove_nothing() -> None:
    """Equal models on twenty examples are not shown to be equal; on a thousand they are."""
    for compare in (paired_errors, paired_chrf):
        assert compare(np.full(20, 5.0), np.full(20, 5.0)).verdict == "undecided"
        assert compare(np.full(1000, 5.0), np.full(1000, 5.0)).not_worse


def test_a_regressor_at_the_margin_rarely_passes() -> None:
    """A challenger whose error is 5% larger passes at most one time in twenty, with room for chance."""
    rng = np.random.default_rng(3)
    passed = 0
    for seed in range(200):
        champion_N = np.abs(rng.normal(size=400))
        challenger_N = np.abs(rng.normal(size=400)) * 0.4 * 1.05 + champion_N * 0.6 * 1.05
        passed += paired_errors(challenger_N, champion_N, seed=seed, num_resamples=400).not_worse
    assert passed <= 16


@pytest.mark.parametrize(
    ("challenger", "champion", "words"),
    [([1.0], [1.0, 2.0], "one per example"), ([], [], "at least one"), ([np.inf], [1.0], "finite")],
)
def test_unpaired_scores_are_refused(challenger: list[float], champion: list[float], words: str) -> None:
    """Different lengths, no examples, and what is no number."""
    for compare in (paired_errors, paired_chrf):
        with pytest.raises(InputError, match=words):
            compare(np.array(challenger), np.array(champion))


def test_a_champion_without_errors_has_no_share() -> None:
    """A mean error of 0 cannot be divided by, and a negative margin is refused."""
    with pytest.raises(InputError, match="is 0"):
        paired_errors(np.ones(5), np.zeros(5))
    with pytest.raises(InputError, match="margin"):
        paired_errors(np.ones(5), np.ones(5), margin=-1)
