"""Embeddings in the plane."""

from __future__ import annotations

import numpy as np
import pytest

from loopline.evaluation import projection
from loopline.evaluation.projection import project


def test_groups_stay_groups_and_the_seed_decides() -> None:
    """Points of one group lie nearer to each other than to the other group; the same seed gives the same map."""
    rng = np.random.default_rng(0)
    group_N = np.arange(80) % 2
    embedding_ND = (rng.normal(size=(80, 8)) + 9 * group_N[:, np.newaxis]).astype(np.float32)
    first, again, other = (project(embedding_ND, seed=seed) for seed in (1, 1, 2))
    assert first is not None
    assert again is not None
    assert other is not None
    np.testing.assert_array_equal(first.points_M2, again.points_M2)
    assert first.chosen_M.tolist() == list(range(80))
    middles = [first.points_M2[group_N == group].mean(axis=0) for group in (0, 1)]
    spread = max(float(first.points_M2[group_N == group].std()) for group in (0, 1))
    assert np.linalg.norm(middles[0] - middles[1]) > 2 * spread


def test_what_cannot_be_laid_out_is_none() -> None:
    """Few examples, and embeddings that are all one."""
    assert project(np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)) is None
    assert project(np.full((50, 4), 2.5, np.float32)) is None


def test_one_direction_is_enough() -> None:
    """An embedding of a single number that differs is laid out, too."""
    line_ND = np.linspace(0, 1, 30, dtype=np.float32)[:, np.newaxis]
    found = project(line_ND)
    assert found is not None
    assert np.isfinite(found.points_M2).all()


def test_many_examples_are_thinned_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more points than are read a random part is laid out, and which ones is said."""
    monkeypatch.setattr(projection, "MOST_POINTS", 25)
    found = projection.project(np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32))
    assert found is not None
    assert found.points_M2.shape == (25, 2)
    assert len(set(found.chosen_M)) == 25
    assert max(found.chosen_M) >= 25
