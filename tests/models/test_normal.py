import math

import numpy as np
import pytest

from stream_hb.errors import FitError, UsageError
from stream_hb.models import normal_observations_fit
from stream_hb.models.normal import (
    POINT_METHODS,
    NormalFromObservations,
    NormalHyper,
    NormalKnownVariance,
)
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments
from tests.reference import marginal as reference

KNOWN, OBSERVED = NormalKnownVariance(), NormalFromObservations()


def _means(means: list[float], n: list[float], sigma2: float) -> Measured:
    return Measured(np.array(means), sigma2 / np.array(n))


def test_worked_example_three_stores_of_five_orders() -> None:
    groups = _means([9, 11, 10], [5, 5, 5], 4)
    hyper = KNOWN.fit(groups, "moments").hyper
    assert (hyper.mu, hyper.tau2) == pytest.approx((10, 0.2), rel=1e-12)
    posterior = KNOWN.posterior(groups, hyper, 0.95)
    np.testing.assert_allclose(1 - posterior.weight, 0.2, rtol=1e-12)
    assert posterior.mean[0] == pytest.approx(9.8, rel=1e-12)


def test_worked_example_ten_and_two_orders() -> None:
    posterior = KNOWN.posterior(
        _means([12, 8], [10, 2], 9), KNOWN.condition({"mu": 10, "tau2": 4}), 0.95
    )
    assert [f"{value:.3f}" for value in posterior.mean] == ["11.633", "9.059"]
    assert [f"{value:.4f}" for value in posterior.sd**2] == ["0.7347", "2.1176"]


def test_worked_example_four_stores_of_ten_orders() -> None:
    groups = _means([5.2, 4.8, 6.1, 5.5], [10] * 4, 1)
    hyper = KNOWN.fit(groups, "moments").hyper
    assert hyper.tau2 == pytest.approx(0.2, rel=1e-12)
    assert f"{KNOWN.posterior(groups, hyper, 0.95).mean[2]:.4f}" == "5.8667"


def test_worked_example_five_stores_of_five_orders() -> None:
    groups = _means([4.8, 5.1, 4.9, 5, 6.2], [5] * 5, 1)
    assert KNOWN.fit(groups, "moments").hyper.tau2 == pytest.approx(0.125, rel=1e-12)


def test_observations_with_the_same_variance_give_the_same_worked_example() -> None:
    groups = Moments(np.full(3, 5.0), np.array([9.0, 11.0, 10.0]), np.full(3, 16.0))
    hyper = OBSERVED.fit(groups, "moments").hyper
    assert (hyper.mu, hyper.tau2, hyper.sigma2) == pytest.approx((10, 0.2, 4), rel=1e-12)


VALUES = [[1.0, 2.5, 2.0], [4.0], [3.0, 3.5, 5.0, 2.0], [0.5, 1.0]]


def _moments(values: list[list[float]]) -> Moments:
    rows = np.repeat(np.arange(len(values)), [len(group) for group in values])
    return Moments.of(rows, np.concatenate(values), len(values))


@pytest.mark.parametrize(("mu", "tau2", "sigma2"), [(2.0, 0.7, 1.3), (1.0, 0.0, 2.0)])
def test_log_likelihood_of_observations_is_their_density(
    mu: float, tau2: float, sigma2: float
) -> None:
    expected = reference.normal_from_observations(VALUES, mu, tau2, sigma2)
    observed = normal_observations_fit.Observed.of(_moments(VALUES))
    ours = normal_observations_fit.log_likelihood(observed, mu, tau2, sigma2)
    assert ours == pytest.approx(expected, rel=1e-12)


def test_joint_maximum_has_no_slope_left() -> None:
    groups = _moments(VALUES)
    fit = OBSERVED.fit(groups, "ml")
    mu, tau2, sigma2 = fit.hyper.mu, fit.hyper.tau2, fit.hyper.sigma2 or 0
    assert tau2 > 0
    for other in (
        (mu + 1e-3, tau2, sigma2),
        (mu, tau2 * 1.001, sigma2),
        (mu, tau2 * 0.999, sigma2),
        (mu, tau2, sigma2 * 1.001),
        (mu, tau2, sigma2 * 0.999),
    ):
        observed = normal_observations_fit.Observed.of(groups)
        assert normal_observations_fit.log_likelihood(observed, *other) < fit.log_likelihood


def test_of_two_modes_of_the_spread_the_higher_is_reported() -> None:
    """Two precise groups that agree pull τ to 0, many vague ones that differ pull it up."""
    means = np.array([0.0, 1e-3, *np.tile([-9.0, 9.0], 3)])
    groups = Measured(means, np.array([1e-6, 1e-6, *np.full(6, 9.0)]))
    fit = KNOWN.fit(groups, "ml")
    assert fit.bimodal
    grid = np.append(0, np.geomspace(1e-9, 1e3, 400))
    best = max(_profile(groups, tau2) for tau2 in grid)
    assert fit.log_likelihood > best - 1e-12  # rounding


def _profile(groups: Measured, tau2: float) -> float:
    variance = groups.variance + tau2
    mu = (groups.mean / variance).sum() / (1 / variance).sum()
    return float(-(np.log(2 * np.pi * variance) + (groups.mean - mu) ** 2 / variance).sum() / 2)


@pytest.mark.parametrize("method", POINT_METHODS)
def test_one_group_is_a_boundary_and_keeps_its_own_mean(method: str) -> None:
    known = KNOWN.fit(_means([5], [3], 9), method)
    assert (known.boundary, known.hyper.mu, known.hyper.tau2) == (True, 5, 0)
    observed = OBSERVED.fit(_moments([[1.0, 2.0, 6.0]]), method)
    assert (observed.boundary, observed.hyper.mu, observed.hyper.sigma2) == (True, 3, 7)


@pytest.mark.parametrize("method", POINT_METHODS)
def test_single_observations_do_not_identify_two_variances(method: str) -> None:
    fit = OBSERVED.fit(_moments([[1.0], [2.0], [6.0]]), method)
    assert (fit.boundary, fit.hyper.sigma2) == (True, 7)


def test_the_pooled_variance_is_within_groups_where_that_is_known() -> None:
    within = normal_observations_fit.pooled_variance(_moments([[1.0, 3.0], [10.0, 14.0]]))
    assert within == pytest.approx((2 + 8) / 2)
    single = normal_observations_fit.pooled_variance(_moments([[1.0], [2.0], [6.0]]))
    assert single == pytest.approx(7)


@pytest.mark.parametrize("method", POINT_METHODS)
@pytest.mark.parametrize("price", [0.0, 3.0, -1e9])
def test_equal_prices_have_no_variance_and_no_accident(method: str, price: float) -> None:
    groups = _moments([[price, price], [price] * 3])
    fit = OBSERVED.fit(groups, method)
    assert fit.boundary
    assert math.isfinite(fit.log_likelihood)
    posterior = OBSERVED.posterior(groups, fit.hyper, 0.95)
    np.testing.assert_allclose(posterior.mean, price)
    assert (posterior.sd > 0).all()


@pytest.mark.parametrize("method", POINT_METHODS)
def test_one_group_a_trillion_times_as_precise_does_not_cancel(method: str) -> None:
    groups = Measured(np.array([1.0, 100.0]), np.array([1e-12, 1e12]))
    assert KNOWN.fit(groups, method).boundary


def test_large_means_lose_no_digits() -> None:
    near = [1.0, 2.0, 4.0, 4.5]
    far = [1e9 + value for value in near]
    for method in POINT_METHODS:
        here, there = (KNOWN.fit(_means(means, [3, 4, 5, 6], 1), method) for means in (near, far))
        assert there.hyper.tau2 == pytest.approx(here.hyper.tau2, rel=1e-6)


def test_pools_too_small_to_fit_say_so() -> None:
    with pytest.raises(FitError, match="no group has data"):
        KNOWN.fit(Measured.zeros(2), "reml")
    with pytest.raises(FitError, match="no group has data"):
        OBSERVED.fit(Moments.zeros(2), "reml")
    with pytest.raises(FitError, match="at least two"):
        OBSERVED.fit(_moments([[1.0]]), "reml")


def test_a_group_without_data_has_the_predictive_and_does_not_count() -> None:
    groups = _moments(VALUES)
    fit = OBSERVED.fit(groups.concatenate(Moments.zeros(2)), "reml")
    assert fit == OBSERVED.fit(groups, "reml")
    empty, new = (
        OBSERVED.posterior(Moments.zeros(1), fit.hyper, 0.95),
        OBSERVED.new_group(fit.hyper, 0.95),
    )
    assert math.isnan(empty.raw[0])
    assert (empty.weight[0], empty.mean[0]) == (1, fit.hyper.mu)
    assert new.sd[0] == empty.sd[0]
    assert new.sd[0] ** 2 == pytest.approx(fit.hyper.tau2 + fit.hyper.se_mu**2)


def test_given_hyperparameters_come_back_under_their_names() -> None:
    hyper = KNOWN.condition({"tau2": 0, "mu": -3})
    assert KNOWN.parameters(hyper) == {"mu": -3.0, "tau2": 0.0, "se_mu": 0.0}
    hyper = OBSERVED.condition({"tau2": 1, "mu": -3, "sigma2": 2})
    assert OBSERVED.parameters(hyper) == {"mu": -3.0, "tau2": 1.0, "se_mu": 0.0, "sigma2": 2.0}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mu": 1, "tau": 2}, "did you mean 'tau2'"),
        ({"mu": 1}, "missing: tau2"),
        ({"mu": math.inf, "tau2": 1}, "mu = inf: expected a finite number"),
        ({"mu": 1, "tau2": -1}, "tau2 = -1.0: expected a finite number >= 0"),
    ],
)
def test_wrong_given_hyperparameters_are_named(given: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        KNOWN.condition(given)


def test_hyperparameters_of_known_variances_do_not_fit_observations() -> None:
    with pytest.raises(FitError, match="sigma2"):
        OBSERVED.posterior(_moments(VALUES), NormalHyper(1, 1, 0), 0.95)


def test_screening_gives_the_posterior_mean_and_sd() -> None:
    groups = _moments(VALUES)
    hyper = OBSERVED.fit(groups, "reml").hyper
    posterior, (mean, sd) = OBSERVED.posterior(groups, hyper, 0.5), OBSERVED.screen(groups, hyper)
    assert mean.tolist() == posterior.mean.tolist()
    assert sd.tolist() == posterior.sd.tolist()
