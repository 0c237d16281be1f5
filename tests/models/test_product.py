import math

import numpy as np
import pytest
from scipy.special import betaincinv, ndtri

from stream_hb.errors import FitError
from stream_hb.models.family import Posterior
from stream_hb.models.product import revenue
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.moments import Moments
from tests.benchmarks.product_coverage import CELLS, coverage
from tests.reference import product as reference


def _posterior(mean: float, sd: float, lo: float, hi: float) -> Posterior:
    one = np.ones(1)
    return Posterior(mean * one, mean * one, 0 * one, mean * one, sd * one, lo * one, hi * one)


def _beta(a: float, b: float, level: float = 0.95) -> Posterior:
    mean = a / (a + b)
    lo, hi = betaincinv(a, b, [(1 - level) / 2, (1 + level) / 2])
    return _posterior(mean, math.sqrt(mean * (1 - mean) / (a + b + 1)), lo, hi)


def _normal(mean: float, sd: float, level: float = 0.95) -> Posterior:
    half = float(ndtri((1 + level) / 2)) * sd
    return _posterior(mean, sd, mean - half, mean + half)


def test_mean_and_variance_are_those_of_a_product_of_independent_factors() -> None:
    product = revenue(_beta(7, 113), _normal(8, 0.2), 0.6, np.inf, 0.95)
    p, vp = 7 / 120, 7 * 113 / 120**2 / 121
    value = math.exp(8 + 0.3 + 0.02)
    value_variance = value**2 * math.expm1(0.04)
    assert product.mean[0] == pytest.approx(p * value, rel=1e-14)
    variance = p**2 * value_variance + value**2 * vp + value_variance * vp
    assert product.sd[0] ** 2 == pytest.approx(variance, rel=1e-13)


def test_an_estimated_sigma2_adds_its_own_variance() -> None:
    known, estimated = (
        revenue(_beta(7, 113), _normal(8, 0.0), 0.6, df, 0.95) for df in (np.inf, 50.0)
    )
    # Variance of σ²/2: (2σ⁴/ν)/4.
    added = 0.6**2 / 50 / 2
    assert estimated.mean[0] / known.mean[0] == pytest.approx(math.exp(added / 2), rel=1e-13)
    wider = (estimated.hi / estimated.lo) / (known.hi / known.lo)
    assert wider[0] > 1


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
@pytest.mark.parametrize(
    ("a", "b", "sd", "sigma2", "df", "tolerance"),
    [
        (7, 113, 0.2, 0.6, 500, 0.005),
        (30, 400, 0.05, 0.5, 5_000, 0.005),
        (300, 4_000, 0.1, 0.5, np.inf, 0.005),
        (2, 60, 0.1, 0.8, 500, 0.005),
        (2, 60, 0.4, 0.8, 50, 0.015),
        (5, 5, 0.3, 0.6, 1_000, 0.015),
        (1, 50, 0.6, 1.0, 20, 0.05),
        # A store never seen in a chain whose stores have nothing in common.
        (0.03, 0.5, 0.5, 0.6, 1_000, 0.03),
    ],
)
def test_interval_ends_are_those_of_the_exact_product(
    a: float, b: float, sd: float, sigma2: float, df: float, tolerance: float, level: float
) -> None:
    ours = revenue(_beta(a, b, level), _normal(8, sd, level), sigma2, df, level)
    lo, hi = reference.interval(a, b, 8, sd, sigma2, df, level)
    away = np.abs([ours.lo[0] - lo, ours.hi[0] - hi]) / (hi - lo)
    assert (away < tolerance).all(), f"{away} of the width"


def test_a_rate_that_may_be_zero_gives_revenue_that_may_be_zero() -> None:
    product = revenue(_posterior(0.01, 0.01, 0.0, 0.05), _normal(8, 0.2), 0.6, 100, 0.95)
    assert product.lo[0] < 1e-250
    assert math.isfinite(product.hi[0])


def test_a_value_that_nothing_is_known_of_is_not_an_error() -> None:
    product = revenue(_beta(7, 113), _normal(8, 500.0), 0.6, 100, 0.95)
    assert (product.mean[0], product.lo[0], product.hi[0]) == (math.inf, 0.0, math.inf)


def test_a_group_without_an_order_takes_the_pools_value() -> None:
    rates, logs = FAMILIES["beta-binomial"], FAMILIES["normal"]
    counts = Counts(np.array([0.0, 3.0, 0.0]), np.array([40.0, 60.0, 0.0]))
    values = Moments(np.array([0.0, 3.0, 0.0]), np.array([0.0, 8.4, 0.0]), np.array([0.0, 1.2, 0]))
    conversion = rates.posterior(counts, rates.condition({"alpha": 5, "beta": 95}), 0.95)
    hyper = logs.condition({"mu": 8, "tau2": 0.04, "sigma2": 0.5})
    product = revenue(conversion, logs.posterior(values, hyper, 0.95), 0.5, 50, 0.95)
    pool = math.exp(8 + 0.25 + (0.04 + 0.5**2 / 100) / 2)
    np.testing.assert_allclose(product.mean[[0, 2]], [5 / 140 * pool, 5 / 100 * pool], rtol=1e-13)
    assert product.sd[2] > product.sd[1]
    np.testing.assert_allclose(product.raw, [np.nan, 0.05 * math.exp(8.4 + 0.25), np.nan])
    np.testing.assert_allclose(product.pooled, 0.05 * math.exp(8.25), rtol=1e-13)


def test_each_group_may_have_its_own_variance() -> None:
    counts = Counts(np.full(2, 3.0), np.full(2, 60.0))
    rates = FAMILIES["beta-binomial"]
    conversion = rates.posterior(counts, rates.condition({"alpha": 5, "beta": 95}), 0.95)
    one = _normal(8, 0.1)
    value = Posterior(*(np.repeat(getattr(one, name), 2) for name in Posterior.__slots__))
    product = revenue(conversion, value, np.array([0.5, 0.9]), np.array([np.inf, 8.0]), 0.95)
    single = revenue(_beta(8, 152), one, 0.9, 8.0, 0.95)
    np.testing.assert_allclose([product.mean[1], product.hi[1]], [single.mean[0], single.hi[0]])


def test_factors_of_different_groups_are_refused() -> None:
    one = _normal(8, 0.1)
    two = Posterior(*(np.repeat(getattr(one, name), 2) for name in Posterior.__slots__))
    with pytest.raises(FitError, match="1 rates and 2 values"):
        revenue(_beta(7, 113), two, 0.5, 10, 0.95)
    with pytest.raises(FitError, match="degrees of freedom above 0"):
        revenue(_beta(7, 113), one, 0.5, 0.0, 0.95)


def test_intervals_cover_at_twenty_stores() -> None:
    # Without the rates' uncertainty .77 would cover, far below the bound.
    share, error = coverage(CELLS[1], replicates=40, method="bayes", seed=5).share["ours"]
    assert share > 0.92 - 3 * error, f"{share:.4f} ± {error:.4f}"
