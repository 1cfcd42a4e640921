"""The one measure of agreement: absolute for small outputs, relative for large ones, never fooled by NaN."""

from __future__ import annotations

import numpy as np
import pytest

from loopline.predictor.agreement import disagreement, num_changed_labels


def test_disagreement_scales_with_large_outputs() -> None:
    """0.01 off is 0.01 for outputs around 1 and a hundred times less for outputs around 100."""
    small = {"logits": np.array([[1.0, -0.5]], np.float32)}
    large = {"logits": np.array([[100.0, -0.5]], np.float32)}
    assert disagreement({"logits": small["logits"] + np.float32(0.01)}, small) == pytest.approx(0.01, rel=1e-4)
    assert disagreement({"logits": large["logits"] + np.float32(0.01)}, large) == pytest.approx(0.0001, rel=1e-2)
    assert disagreement(small, small) == 0


def test_the_worst_output_counts() -> None:
    """A good embedding does not excuse bad logits."""
    expected = {"logits": np.zeros((2, 3), np.float32), "embedding": np.zeros((2, 4), np.float32)}
    assert disagreement({**expected, "logits": np.full((2, 3), 0.5, np.float32)}, expected) == 0.5


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nothing_agrees_with_what_is_not_finite(bad: float) -> None:
    """NaN and infinity on either side, and other shapes, are infinitely far away."""
    good, broken = np.zeros((1, 2), np.float32), np.array([[0, bad]], np.float32)
    for actual, expected in ((good, broken), (broken, good), (broken, broken), (good, good[:, :1])):
        assert disagreement({"logits": actual}, {"logits": expected}) == float("inf")


def test_only_clear_labels_count() -> None:
    """A tie within twice the tolerance may fall either way; a clear winner may not change."""
    expected_NK = np.array([[0.5, 0.5005], [0.2, 0.9]], np.float32)
    assert num_changed_labels(expected_NK[:, ::-1], expected_NK, tolerance=1e-3) == 1
    assert num_changed_labels(expected_NK[:, ::-1], expected_NK, tolerance=1e-5) == 2
    assert num_changed_labels(expected_NK, expected_NK, tolerance=1e-5) == 0


def test_a_single_class_never_changes() -> None:
    """With one label there is nothing to confuse."""
    assert num_changed_labels(np.zeros((3, 1), np.float32), np.ones((3, 1), np.float32), tolerance=1e-3) == 0
