"""Predictions of counts against mpmath, by their definition: an integral, and plain sums."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose

from stream_hb.feeds.calibration.beta_binomial import BetaBinomialKernels
from stream_hb.feeds.calibration.lattice import WIDEST, CountPredictive
from stream_hb.feeds.calibration.negative_binomial import NegativeBinomialKernels

mp.dps = 30

BETA = [(2.0, 30.0, 5.0), (20.0, 400.0, 400.0), (0.3, 5.0, 300.0), (0.5, 0.5, 60.0)]
GAMMA = [(2.0, 30.0, 5.0), (20.0, 400.0, 400.0), (0.3, 5.0, 50.0), (0.05, 0.1, 3.0)]


def beta(a: float, b: float, n: float, weight: Any = (1.0,)) -> CountPredictive:
    column = np.atleast_1d(a)[:, None], np.atleast_1d(b)[:, None]
    return CountPredictive(BetaBinomialKernels(*column, np.array([n])), np.array(weight))


def gamma(shape: float, rate: float, t: float) -> CountPredictive:
    kernels = NegativeBinomialKernels(np.array([[shape]]), np.array([[rate]]), np.array([t]))
    return CountPredictive(kernels, np.ones(1))


def beta_mass(k: int, a: float, b: float, n: float) -> Any:
    """C(n, k) B(k + a, n - k + b)/B(a, b) by mpmath."""
    a, b = mpf(a), mpf(b)
    return mp.binomial(n, k) * mp.beta(k + a, n - k + b) / mp.beta(a, b)


def gamma_mass(k: int, shape: float, rate: float, t: float) -> Any:
    """Γ(k + a)/(Γ(a) k!) (b/(b + t))^a (t/(b + t))^k by mpmath."""
    a, b, t = mpf(shape), mpf(rate), mpf(t)
    head = mp.gamma(k + a) / mp.gamma(a) / mp.factorial(k)
    return head * (b / (b + t)) ** a * (t / (b + t)) ** k


def crps_by_definition(mass: list[Any], y: int) -> float:
    total, below = mpf(0), mpf(0)
    for k, p in enumerate(mass):
        below += p
        total += (below - (k >= y)) ** 2
    return float(total)


@cache
def masses_of(make: Any, case: tuple[float, ...]) -> list[Any]:
    """Masses from 0 to n, or to where nothing is left."""
    if make is beta:
        return [beta_mass(k, *case) for k in range(int(case[2]) + 1)]
    return [gamma_mass(k, *case) for k in range(701)]


CASES = pytest.mark.parametrize(
    ("make", "case"), [*((beta, case) for case in BETA), *((gamma, case) for case in GAMMA)]
)


@CASES
def test_mass_distribution_and_crps_are_the_sums_of_the_definition(
    make: Any, case: tuple[float, ...]
) -> None:
    predictive, masses = make(*case), masses_of(make, case)
    for y in (0, 1, 3, min(40, len(masses) - 1)):
        scores = predictive.scores(np.array([float(y)]))
        assert_allclose(scores.below, float(sum(masses[:y])), rtol=1e-7, atol=1e-7)
        assert_allclose(scores.log_score, float(mp.log(masses[y])), rtol=1e-10, atol=1e-9)
        assert_allclose(scores.mass, float(masses[y]), rtol=1e-7)
        assert_allclose(scores.crps, crps_by_definition(masses, y), rtol=1e-6)


@CASES
def test_a_quantile_is_the_least_count_that_reaches_the_probability(
    make: Any, case: tuple[float, ...]
) -> None:
    predictive, masses = make(*case), masses_of(make, case)
    cumulative = np.cumsum([float(p) for p in masses])
    for probability in (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975):
        expected = np.searchsorted(cumulative, probability)
        assert predictive.quantile(probability)[0] == expected


def test_a_mixture_is_the_sum_of_its_kernels_however_far_they_lie_apart() -> None:
    """The first has no float64 mass where the second starts: products from there would be 0."""
    a, b, weight, n = (3.0, 9e3), (6e6, 900.0), (0.3, 0.7), 700
    mixture = beta(a, b, float(n), weight)  # type: ignore[arg-type]
    masses = [
        sum(w * beta_mass(k, x, z, n) for w, x, z in zip(weight, a, b, strict=True))
        for k in range(n + 1)
    ]
    for y in (0, 5, 350, 630, 645, 700):
        scores = mixture.scores(np.array([float(y)]))
        assert_allclose(scores.below, float(sum(masses[:y])), rtol=1e-7, atol=1e-7)
        assert_allclose(scores.log_score, float(mp.log(masses[y])), rtol=1e-10)
        assert_allclose(scores.crps, crps_by_definition(masses, y), rtol=1e-6)


@pytest.mark.parametrize(
    ("predictive", "mass", "case"),
    [
        (beta(3e12, 7e12, 50.0), beta_mass, (3e12, 7e12, 50.0)),
        (beta(1e-12, 1e-9, 50.0), beta_mass, (1e-12, 1e-9, 50.0)),
        (gamma(1e13, 1e12, 4.0), gamma_mass, (1e13, 1e12, 4.0)),
        (beta(40.0, 1e9, 1e7), beta_mass, (40.0, 1e9, 1e7)),
    ],
)
def test_extreme_beliefs_lose_no_digit_that_counts(
    predictive: CountPredictive, mass: Any, case: tuple[float, ...]
) -> None:
    for y in (0, 2, 20):
        log_score = predictive.log_score(np.array([float(y)]))
        assert_allclose(log_score, float(mp.log(mass(y, *case))), rtol=1e-8, atol=1e-7)
        assert predictive.scores(np.array([float(y)])).finite().all()


@pytest.mark.parametrize(
    "predictive",
    [
        beta(3.0, 30.0, 30_000.0),
        beta(0.3, 3.0, 30_000.0),
        beta(2_000.0, 20_000.0, 100_000.0),
        beta(40.0, 40.0, 3_000.0),
        gamma(0.3, 5.0, 2_000.0),
        gamma(200.0, 3_800.0, 300_000.0),
    ],
)
def test_too_many_counts_to_sum_cost_no_more_than_the_stated_error(
    predictive: CountPredictive,
) -> None:
    """Against sums of the masses over all counts (float64; the masses are those tested above).

    From .3 prior successes on: PIT within .002, CRPS within .5 %, quantiles within two counts.
    """
    low, width = predictive._range()
    assert width[0] > WIDEST
    k = np.arange(low[0] + width[0])
    every = np.repeat(np.arange(1), len(k))
    masses = np.exp(predictive.kernels.take(every).log_mass(k)[0])
    cumulative = np.cumsum(masses)
    for probability in (0.01, 0.1, 0.5, 0.9, 0.999):
        y = int(np.searchsorted(cumulative, probability))
        scores = predictive.scores(np.array([float(y)]))
        below = cumulative[y - 1] if y else 0.0
        assert_allclose(scores.below, below, atol=2e-3)
        crps = float(((cumulative - (k >= y)) ** 2).sum())
        assert_allclose(scores.crps, crps, rtol=5e-3)
        assert abs(predictive.quantile(probability)[0] - y) <= 2


@pytest.mark.parametrize(
    "predictive",
    [gamma(0.3, 1.0, 333.0), gamma(0.7, 1.0, 140.0), beta(0.5, 49.5, 10_000.0)],
)
def test_few_counts_where_many_were_possible_have_their_place_by_summation(
    predictive: CountPredictive,
) -> None:
    """Of less than one prior success the continuous stand-in was off by .016 at a count of 1."""
    assert predictive._range()[1][0] > WIDEST
    k = np.arange(400.0)
    every = np.zeros(len(k), dtype=np.intp)
    cumulative = np.cumsum(np.exp(predictive.kernels.take(every).log_mass(k)[0]))
    many = CountPredictive(predictive.kernels.take(every), predictive.weight)
    below = many.scores(k).below
    assert_allclose(below[1:100], cumulative[:99], rtol=1e-9)
    assert_allclose(below[1:], cumulative[:-1], atol=1e-3)
    assert (np.diff(below) >= -1e-3).all()


def test_what_lies_far_outside_of_the_window_is_scored_all_the_same() -> None:
    """A count 900 above anything expected: all probability is below, each count costs one."""
    scores = gamma(400.0, 400.0, 10.0).scores(np.array([1_000.0]))
    masses = [gamma_mass(k, 400.0, 400.0, 10.0) for k in range(1_001)]
    assert_allclose(scores.below, 1.0)
    assert_allclose(scores.crps, crps_by_definition(masses, 1_000), rtol=1e-9)
    assert_allclose(scores.log_score, float(mp.log(masses[1_000])), rtol=1e-10)


def test_groups_are_scored_alike_alone_and_among_others() -> None:
    random = np.random.default_rng(7)
    groups = 300
    a, n = random.uniform(0.5, 60, (1, groups)), random.integers(1, 3_000, groups)
    y = random.binomial(n, 0.05).astype(np.float64)
    many = CountPredictive(BetaBinomialKernels(a, 19 * a, n.astype(np.float64)), np.ones(1))
    scores = many.scores(y)
    for row in range(0, groups, 37):
        one = CountPredictive(many.kernels.take(slice(row, row + 1)), many.weight)
        alone = one.scores(y[row : row + 1])
        assert_allclose(alone.below[0], scores.below[row], rtol=1e-9, atol=1e-9)
        assert_allclose(alone.crps[0], scores.crps[row], rtol=1e-9)
