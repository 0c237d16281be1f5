"""Boundaries and second modes: where a climb from one start would report the wrong thing."""

import numpy as np
import pytest
from scipy.special import gammaln

from stream_hb.models.beta_binomial import BetaBinomial
from stream_hb.models.beta_binomial_fit import BetaBinomialMarginal, tarone_score
from stream_hb.models.gamma_poisson_fit import GammaPoissonMarginal
from stream_hb.models.modes import Marginal, climb
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure

SURFACES = [
    BetaBinomialMarginal.of(
        Counts(np.array([3.0, 0.0, 10.0, 400.5]), np.array([10.0, 1.0, 33.0, 500.0]))
    ),
    GammaPoissonMarginal.of(
        Exposure(np.array([3.0, 0.0, 10.0, 40.5]), np.array([1.0, 1.5, 33.0, 0.5]))
    ),
]


@pytest.mark.parametrize("marginal", SURFACES, ids=lambda marginal: type(marginal).__name__)
@pytest.mark.parametrize("point", [(0.3, 0.9), (-2.0, -3.0), (1.0, 8.0)])
def test_gradient_and_hessian_are_the_derivatives(
    marginal: Marginal, point: tuple[float, float]
) -> None:
    at, step = np.array(point), 1e-5 * np.eye(2)
    here = marginal.surface(at)
    ahead, behind = ([marginal.surface(at + sign * s) for s in step] for sign in (1, -1))
    for i in range(2):
        slope = (ahead[i].value - behind[i].value) / 2e-5
        curve = (ahead[i].gradient - behind[i].gradient) / 2e-5
        np.testing.assert_allclose(here.gradient[i], slope, rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(here.hessian[i], curve, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("marginal", SURFACES, ids=lambda marginal: type(marginal).__name__)
def test_the_score_at_the_limit_is_the_slope_in_one_over_concentration(marginal: Marginal) -> None:
    _, (value,) = marginal.ridge(np.array([np.log(1e9)]))
    assert value * 1e9 == pytest.approx(marginal.score_at_limit, rel=1e-4)


@pytest.mark.parametrize("marginal", SURFACES, ids=lambda marginal: type(marginal).__name__)
def test_values_at_many_nodes_are_the_surface_at_each(marginal: Marginal) -> None:
    locations, concentrations = np.array([[-2.0], [0.3], [1.0]]), np.array([-3.0, 0.9, 8.0, 20.0])
    expected = [
        [marginal.surface(np.array([x, c])).value for c in concentrations] for (x,) in locations
    ]
    np.testing.assert_allclose(marginal.values(locations, concentrations), expected, rtol=1e-11)


def test_values_are_finite_where_no_trial_was_a_success() -> None:
    y, n = np.zeros(3), np.array([4.0, 9.0, 1.0])
    nodes = np.linspace(-6, 6, 7)[:, np.newaxis], np.linspace(-5, 20, 6)
    for marginal, size in (
        (BetaBinomialMarginal.of(Counts(y, n)), 1 / (1 + np.exp(nodes[0]))),
        (BetaBinomialMarginal.of(Counts(n, n)), 1 / (1 + np.exp(-nodes[0]))),
    ):
        values = marginal.values(*nodes)
        assert np.isfinite(values).all()
        np.testing.assert_allclose(values[:, -1:], 14 * np.log(size), rtol=1e-5)
    rates = GammaPoissonMarginal.of(Exposure(y, n)).values(*nodes)
    np.testing.assert_allclose(rates[:, -1:], -14 * np.exp(nodes[0]), rtol=1e-5)


def _flagship(small: tuple[float, ...], repeats: int) -> Counts:
    """One store of 50,000 visits at the mean of many stores of 20 visits that differ."""
    y = np.tile(np.array(small), repeats)
    n = np.full(len(y), 20.0)
    rate = y.sum() / n.sum()
    return Counts(np.append(y, 50_000 * rate), np.append(n, 50_000.0))


def test_a_flagship_store_hides_the_mode_from_the_score_at_the_limit() -> None:
    groups = _flagship((0.0, 0.0, 4.0, 0.0), 10)
    assert tarone_score(groups) < 0
    fit = BetaBinomial().fit(groups, "ml")
    assert fit.bimodal
    assert not fit.boundary
    assert fit.hyper.concentration == pytest.approx(3.63, abs=0.01)


def test_of_two_modes_the_higher_one_is_reported() -> None:
    fit = BetaBinomial().fit(_flagship((0.0, 1.0, 3.0, 0.0), 5), "ml")
    assert fit.bimodal
    assert fit.boundary


def test_a_positive_score_always_means_a_mode_inside() -> None:
    rng = np.random.default_rng(4)
    seen = 0
    for _ in range(150):
        size = rng.integers(2, 30)
        n = np.ceil(np.exp(rng.normal(3, 1.5, size)))
        y = rng.binomial(n.astype(int), rng.beta(8, 60, size)).astype(float)
        groups = Counts(y, n)
        if 0 < y.sum() < n.sum() and tarone_score(groups) > 1e-9:
            seen += 1
            assert not BetaBinomial().fit(groups, "ml").boundary
    assert seen > 50


def test_no_point_of_a_fine_grid_is_above_the_fit() -> None:
    groups = _flagship((0.0, 0.0, 4.0, 0.0), 10)
    marginal = BetaBinomialMarginal.of(groups)
    fit = BetaBinomial().fit(groups, "ml").hyper
    best = np.array([np.log(fit.mean / (1 - fit.mean)), np.log(fit.concentration)])
    top = marginal.surface(best).value
    grid = [np.array([x, y]) for x in np.linspace(-4, -2, 30) for y in np.linspace(-6, 16, 60)]
    assert max(marginal.surface(point).value for point in grid) <= top


def test_rounding_of_log_gammas_does_not_invent_a_maximum() -> None:
    """On groups more alike than chance, differences of log-gammas beat the true supremum."""
    y, n = np.full(12, 50.0), np.full(12, 500.0)

    def from_log_gammas(concentration: float) -> float:
        a, b = 0.1 * concentration, 0.9 * concentration
        above = gammaln(y + a) + gammaln(n - y + b) - gammaln(n + concentration)
        return float((above - gammaln(a) - gammaln(b) + gammaln(concentration)).sum())

    supremum = float((y * np.log(0.1) + (n - y) * np.log(0.9)).sum())
    assert max(map(from_log_gammas, 10.0 ** np.arange(10, 16))) > supremum
    assert BetaBinomial().fit(Counts(y, n), "ml").boundary


def test_a_climb_reaches_the_same_mode_from_anywhere_on_its_side() -> None:
    marginal = BetaBinomialMarginal.of(_flagship((0.0, 0.0, 4.0, 0.0), 10))
    ends: list[Floats] = [
        climb(marginal, np.array(start)).point for start in ((-3.0, 0.0), (-1.0, 2.0), (-5.0, -2.0))
    ]
    for end in ends[1:]:
        np.testing.assert_allclose(end, ends[0], rtol=1e-10)
