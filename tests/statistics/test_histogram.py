"""Binned moments against the values themselves."""

import numpy as np
import pytest
from scipy.special import gammaln

from stream_hb.errors import FitError
from stream_hb.statistics.histogram import Histogram

RNG = np.random.default_rng(11)
X = np.exp(RNG.normal(4, 3, 4_000))
W = RNG.normal(0.3, 1, len(X))


def test_sums_of_smooth_functions_are_those_of_the_values() -> None:
    histogram = Histogram.of(X, W)
    counted, (nodes, weights) = histogram.counting(), histogram.weighing()
    assert len(counted.x) < len(X) / 2
    for c in (0.01, 3.0, 700.0, 1e5):
        log_term, share = gammaln(X + c) - gammaln(c), X / (X + c)
        np.testing.assert_allclose(
            counted.total(gammaln(counted.x + c) - gammaln(c)), log_term.sum(), rtol=1e-10
        )
        terms = nodes / (nodes + c)
        np.testing.assert_allclose((weights[0] * terms).sum(), share.sum(), rtol=1e-10)
        scale = np.abs(W * share).sum()
        assert abs((weights[1] * terms).sum() - (W * share).sum()) < 1e-10 * scale


def test_fourth_powers_are_exact_and_fifth_ones_are_not() -> None:
    """Would fail if a moment were dropped: then the fourth power is off by 1e-9."""
    x = 10 ** (np.array([0.1, 0.15, 0.6, 0.9]) / 64)
    counted, (nodes, weights) = Histogram.of(x).counting(), Histogram.of(x).weighing()
    for power in range(5):
        assert counted.total(counted.x**power) == pytest.approx((x**power).sum(), rel=1e-13)
        assert (weights[0] * nodes**power).sum() == pytest.approx((x**power).sum(), rel=1e-13)
    assert (weights[0] * nodes**5).sum() != pytest.approx((x**5).sum(), rel=1e-12)


def test_one_or_two_values_in_a_bin_are_kept_as_they_are() -> None:
    x = np.array([3.0, 3.0, 500.0, 501.0, 501.0])
    counted = Histogram.of(x).counting()
    used = counted.weight > 1e-6
    np.testing.assert_allclose(counted.x[used], [3, 500, 501], rtol=1e-9)
    np.testing.assert_allclose(counted.weight[used], [2, 1, 2], rtol=1e-6)


def test_nodes_ascend() -> None:
    assert (np.diff(Histogram.of(X).counting().x) > 0).all()
    assert (np.diff(Histogram.of(X).weighing()[0]) > 0).all()


@pytest.mark.parametrize("scale", [1e-280, 1e-9, 1.0, 1e15, 1e250])
def test_no_unit_is_too_small_or_too_large(scale: float) -> None:
    """Would fail with a lowest and a highest bin: small variances then share one."""
    counted = Histogram.of(np.array([1.0, 2.0, 7.0]) * scale).counting()
    np.testing.assert_allclose(counted.x, np.array([1.0, 2.0, 7.0]) * scale, rtol=1e-12)


def test_zeros_are_left_out() -> None:
    assert Histogram.of(np.zeros(3), np.ones(3)).totals().tolist() == [0, 0]
    assert Histogram.of(np.array([0.0, 2.0]), np.array([5.0, 4.0])).totals().tolist() == [1, 4]


@pytest.mark.parametrize("wrong", [np.nan, -1.0, np.inf, 1e301])
def test_what_is_not_a_finite_amount_is_refused(wrong: float) -> None:
    with pytest.raises(FitError, match="from 0 to 1e\\+300"):
        Histogram.of(np.array([1.0, wrong]))


def test_a_weight_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(FitError, match="finite weights, not nan"):
        Histogram.of(np.ones(2), np.array([1.0, np.nan]))


def test_an_emptied_bin_is_empty_whatever_rounding_left_in_it() -> None:
    histogram = Histogram.of(X[:50], W[:50])
    for i in range(50):
        histogram = histogram.exchange(X[i : i + 1], X[:0], [W[i : i + 1]], [W[:0]])
    assert np.abs(histogram.moments).max() > 0
    assert len(histogram.counting().x) == 0
    assert histogram.weighing()[0].shape == (0,)
    assert histogram.totals().tolist() == [0, 0]


def test_a_hundred_thousand_updates_leave_what_a_rebuilt_histogram_has() -> None:
    rng = np.random.default_rng(5)
    x, weight = X.copy(), W.copy()
    histogram = Histogram.of(x, weight)
    for _ in range(1_000):
        rows = rng.choice(len(x), 100, replace=False)
        new = x[rows] * np.exp(rng.normal(0, 0.3, 100))
        histogram = histogram.exchange(x[rows], new, [weight[rows]], [-weight[rows]])
        x[rows], weight[rows] = new, -weight[rows]
    rebuilt = Histogram.of(x, weight)
    kept = histogram.moments[:, :, rebuilt.first - histogram.first :][:, :, : len(rebuilt)]
    np.testing.assert_array_equal(kept[0, 0], rebuilt.moments[0, 0])
    np.testing.assert_allclose(kept, rebuilt.moments, atol=1e-12)
    np.testing.assert_allclose(
        histogram.counting().total(np.log1p(histogram.counting().x)), np.log1p(x).sum(), rtol=1e-9
    )


def test_linear_combinations_of_measures_are_made_in_the_bins() -> None:
    mixed = Histogram.of(X, W).mixed(np.array([[1.0, 0.0], [2.0, 1.0]]))
    np.testing.assert_allclose(mixed.moments, Histogram.of(X, W + 2).moments, atol=1e-12)


def test_a_histogram_of_nothing_merges_with_any() -> None:
    empty, histogram = Histogram.empty(), Histogram.of(np.array([1e-9]))
    for merged in (empty.merge(histogram), histogram.merge(empty), histogram.merge(histogram)):
        assert merged.first == histogram.first
        assert len(merged) == 1
    assert len(empty.merge(empty)) == 0
