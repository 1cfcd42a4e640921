"""The two-sample tests against slow references and SciPy."""

from __future__ import annotations

import numpy as np
import pytest

from loopline.monitoring.two_sample import energy_test, gap_test, holm, label_test, principal_components


def test_holm_equals_the_definition() -> None:
    """The corrected values of a worked example; they never fall along the order and never pass 1."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_weights_share_the_rate() -> None:
    """Two tests of half a weight weigh like one: the worked example of a sum of weights that shrinks."""
    assert holm([0.01, 0.04, 0.03], [1, 1, 1]) == holm([0.01, 0.04, 0.03])
    # 0.001/0.5 × 2 = 0.004; then 0.01 × 1.5 = 0.015; then 0.02/0.5 × 0.5 = 0.02.
    assert holm([0.01, 0.001, 0.02], [1, 0.5, 0.5]) == pytest.approx([0.015, 0.004, 0.02])


def test_the_gap_equals_a_slow_one() -> None:
    """The statistic is the largest gap of the distribution functions, its p that of all ways to deal the examples."""
    from itertools import combinations

    reference_R, current_C = np.array([0.1, 0.4, 0.5, 0.9, 1.1]), np.array([0.3, 1.2, 1.5, 2.0])
    pooled_N = np.concatenate([reference_R, current_C])

    def gap(chosen: list[int]) -> float:
        others = [index for index in range(9) if index not in chosen]
        return max(abs(float((pooled_N[chosen] <= x).mean() - (pooled_N[others] <= x).mean())) for x in pooled_N)

    observed = gap([5, 6, 7, 8])
    as_large = [gap(list(chosen)) >= observed - 1e-12 for chosen in combinations(range(9), 4)]
    found = gap_test(reference_R, current_C)
    assert found.statistic == found.effect == pytest.approx(observed)
    assert found.p == pytest.approx(np.mean(as_large))


def test_the_gap_of_very_large_samples_is_close_to_exact() -> None:
    """Beyond the exact method the limit takes over without a jump."""
    rng = np.random.default_rng(0)
    reference_R, current_C = rng.normal(size=6000), rng.normal(size=4000) + 0.04
    found = gap_test(reference_R, current_C)
    from scipy.stats import ks_2samp

    assert found.p == pytest.approx(ks_2samp(reference_R, current_C, method="exact").pvalue, rel=0.1)


def test_energy_distance_equals_a_slow_one() -> None:
    """The matrix form is the definition, pair by pair."""
    rng = np.random.default_rng(4)
    x_RD, y_CD = rng.normal(size=(30, 3)), rng.normal(size=(20, 3)) + 0.5
    across = np.mean([np.linalg.norm(x - y) for x in x_RD for y in y_CD])
    within = (
        np.mean([np.linalg.norm(x - y) for x in x_RD for y in x_RD]),
        np.mean([np.linalg.norm(x - y) for x in y_CD for y in y_CD]),
    )
    found = energy_test(x_RD, y_CD, num_permutations=99, rng=rng)
    assert found.statistic == pytest.approx(2 * across - sum(within))
    assert found.effect == pytest.approx(found.statistic / (2 * across))
    assert 0.01 <= found.p <= 1


def test_the_permutations_p_is_uniform() -> None:
    """Where nothing differs, the p of the energy distance is below a tenth about one time in ten."""
    rng = np.random.default_rng(6)
    found = [
        energy_test(rng.normal(size=(40, 2)), rng.normal(size=(20, 2)), num_permutations=99, rng=rng).p
        for _ in range(200)
    ]
    assert 8 <= sum(p <= 0.1 for p in found) <= 34


def test_label_statistic_equals_scipys() -> None:
    """Chi-squared of a 2×K table, and total variation."""
    from scipy.stats import chi2_contingency

    counts_2K = np.array([[30, 50, 20, 0], [10, 5, 25, 0]])
    found = label_test(counts_2K, num_permutations=499, rng=np.random.default_rng(0))
    assert found.statistic == pytest.approx(chi2_contingency(counts_2K[:, :3], correction=False).statistic)
    assert found.p == pytest.approx(1 / 500)
    assert found.effect == pytest.approx(np.abs(counts_2K[0] / 100 - counts_2K[1] / 40).sum() / 2)


def test_the_labels_p_of_two_classes_equals_fishers() -> None:
    """With two classes and few labels the p is close to Fisher's exact one."""
    from scipy.stats import fisher_exact

    counts_2K = np.array([[18, 2], [7, 6]])
    found = label_test(counts_2K, num_permutations=20_000, rng=np.random.default_rng(0))
    assert found.p == pytest.approx(fisher_exact(counts_2K).pvalue, abs=0.01)


def test_components_are_of_both_samples_alike() -> None:
    """Axes, order and scale do not depend on which example is whose."""
    rng = np.random.default_rng(5)
    pooled_ND = rng.normal(size=(60, 4)) * [4, 3, 2, 1]
    first_RP, second_CP = principal_components(pooled_ND[:40], pooled_ND[40:])
    other_RP, another_CP = principal_components(pooled_ND[:25], pooled_ND[25:])
    np.testing.assert_allclose(np.concatenate([first_RP, second_CP]), np.concatenate([other_RP, another_CP]), rtol=1e-9)
    both_NP = np.concatenate([first_RP, second_CP])
    np.testing.assert_allclose(np.cov(both_NP.T, bias=True), np.eye(4), atol=1e-9)
    loading_P = np.abs(np.corrcoef(both_NP.T, pooled_ND.T)[:4, 4:]).argmax(axis=1)
    assert loading_P.tolist() == [0, 1, 2, 3]


def test_dead_features_are_no_component() -> None:
    """Features without spread, and rounding beside large features, become no component."""
    rng = np.random.default_rng(5)
    alive_ND = rng.normal(size=(50, 2))
    reference_RD = np.concatenate([alive_ND, np.zeros((50, 2)), rng.normal(size=(50, 1)) * 1e-5], axis=1)
    components_RP, components_CP = principal_components(reference_RD, reference_RD[:10])
    assert components_RP.shape == (50, 2)
    assert components_CP.shape == (10, 2)


def test_at_most_32_components() -> None:
    """Of a wide embedding the leading 32 are kept."""
    rng = np.random.default_rng(5)
    assert principal_components(rng.normal(size=(80, 50)), rng.normal(size=(40, 50)))[0].shape == (80, 32)
