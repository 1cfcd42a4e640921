"""The gate's comparison against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from loopline.core.errors import InputError
from loopline.metrics import paired_bootstrap


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
