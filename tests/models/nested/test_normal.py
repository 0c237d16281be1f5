"""Means in regions in a chain: the integrated fit against a dense one, and what borrowing means."""

from itertools import product

import numpy as np
import pytest
from numpy.polynomial import legendre

from stream_hb.errors import FitError
from stream_hb.models.described import Described
from stream_hb.models.hyperprior import BDA, DEFAULT, HalfNormal, Hyperprior, Uniform
from stream_hb.models.nested.normal import NestedNormalFromObservations, NestedNormalKnownVariance
from stream_hb.models.normal import NormalKnownVariance
from stream_hb.models.normal_mixture import Mixture
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments
from tests.reference import nested as reference

KNOWN = NestedNormalKnownVariance()
OBSERVED = NestedNormalFromObservations()
Y = np.array([1.0, 2, 1.5, 4, 3.8, -1, 0])
V = np.array([0.3, 0.2, 0.5, 0.4, 0.3, 0.6, 1.0])
REGIONS = np.array([0, 0, 0, 1, 2, 3, 3])
STORES = Described.of(Measured(Y, V), regions=REGIONS)


def test_bayes_agrees_with_a_dense_integration() -> None:
    expected = reference.normal(Y, V, REGIONS, 1.3, 60)
    fit = KNOWN.fit(STORES, "bayes", Hyperprior(HalfNormal(1.3)))
    posterior = KNOWN.posterior(STORES, fit.hyper, 0.95)
    width = expected.hi - expected.lo
    assert fit.log_likelihood == pytest.approx(expected.log_evidence, abs=1e-3)
    for ours, theirs in zip(
        (posterior.mean, posterior.lo, posterior.hi), expected[1:], strict=True
    ):
        assert (np.abs(ours - theirs) / width).max() < 1e-3


def test_a_single_store_borrows_from_the_chain_and_many_speak_for_their_region() -> None:
    y = np.array([*np.full(12, 5.0), *np.full(8, 0.0), *np.full(8, 1.0), 6.0])
    y += np.tile([0.3, -0.3], 15)[: len(y)]
    regions = np.repeat([0, 1, 2, 3], [12, 8, 8, 1])
    stores = Described.of(Measured(y, np.full(len(y), 0.5)), regions=regions)
    fit = KNOWN.fit(stores, "bayes")
    pooled = KNOWN.posterior(stores, fit.hyper, 0.95).pooled
    assert pooled[:12] == pytest.approx(5.0, abs=0.5)
    mu = KNOWN.parameters(fit.hyper)["mu"]
    assert abs(pooled[-1] - mu) < 0.2 * abs(y[-1] - mu)


@pytest.mark.parametrize("method", ["ml", "reml", "bayes"])
def test_the_mean_lies_between_raw_and_pooled(method: str) -> None:
    posterior = KNOWN.posterior(STORES, KNOWN.fit(STORES, method).hyper, 0.95)
    between = (1 - posterior.weight) * posterior.raw + posterior.weight * posterior.pooled
    np.testing.assert_allclose(posterior.mean, between, rtol=1e-12)
    assert ((posterior.weight >= 0) & (posterior.weight <= 1)).all()


@pytest.mark.parametrize("method", ["ml", "reml", "bayes"])
def test_any_part_of_the_stores_has_the_answer_of_the_whole(method: str) -> None:
    hyper = KNOWN.fit(STORES, method).hyper
    whole = KNOWN.posterior(STORES, hyper, 0.95)
    part = KNOWN.posterior(STORES.take(np.array([4, 1])), hyper, 0.95)
    np.testing.assert_allclose(part.lo, whole.lo[[4, 1]], rtol=1e-9)
    np.testing.assert_allclose(part.pooled, whole.pooled[[4, 1]], rtol=1e-9)


@pytest.mark.parametrize("regions", [np.zeros(7, dtype=int), np.arange(7), np.full(7, -1)])
@pytest.mark.parametrize("method", ["ml", "reml"])
def test_where_regions_say_nothing_the_fit_is_that_of_the_plain_family(
    regions: np.ndarray, method: str
) -> None:
    fit = KNOWN.fit(Described.of(Measured(Y, V), regions=regions), method)
    plain = NormalKnownVariance().fit(Measured(Y, V), method)
    assert fit.hyper.spread_region[0] == 0
    assert fit.hyper.spread_store[0] ** 2 == pytest.approx(plain.hyper.tau2, rel=1e-6)
    assert fit.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-9)
    ours = KNOWN.posterior(Described.of(Measured(Y, V), regions=regions), fit.hyper, 0.95)
    theirs = NormalKnownVariance().posterior(Measured(Y, V), plain.hyper, 0.95)
    np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-6)
    np.testing.assert_allclose(ours.hi, theirs.hi, rtol=1e-6)


def test_a_store_of_unknown_region_is_one_alone_in_its_region() -> None:
    unknown = Described.of(Measured(Y, V), regions=np.array([0, 0, 0, -1, -1, 3, 3]))
    fits = [KNOWN.fit(stores, "bayes") for stores in (STORES, unknown)]
    known, alone = (
        KNOWN.posterior(stores, fit.hyper, 0.95)
        for stores, fit in zip((STORES, unknown), fits, strict=True)
    )
    for column in ("mean", "sd", "pooled", "weight", "lo", "hi"):
        np.testing.assert_allclose(getattr(known, column), getattr(alone, column), rtol=1e-6)


def test_a_store_without_data_is_its_regions_or_the_chains_predictive() -> None:
    hyper = KNOWN.fit(STORES, "bayes").hyper
    empty = Described.of(Measured.zeros(2), regions=np.array([0, 9]))
    posterior = KNOWN.posterior(empty, hyper, 0.95)
    in_region, anywhere = (KNOWN.new_group(hyper, 0.95, region=region) for region in (0, -1))
    assert posterior.mean[0] == pytest.approx(in_region.mean[0])
    assert posterior.hi[1] == pytest.approx(anywhere.hi[0])
    assert posterior.sd[0] < posterior.sd[1]
    np.testing.assert_allclose(posterior.weight, 1)


def test_given_hyperparameters_learn_the_regions_from_the_stores() -> None:
    fit = KNOWN.fit(STORES, "ml")
    found = KNOWN.parameters(fit.hyper)
    given = KNOWN.posterior(STORES, KNOWN.condition(found), 0.95)
    np.testing.assert_allclose(given.mean, KNOWN.screen(STORES, fit.hyper)[0], rtol=1e-9)
    likelihood = KNOWN.log_likelihood(STORES, KNOWN.condition(found))
    assert likelihood == pytest.approx(fit.log_likelihood, abs=1e-9)


def test_the_tail_probability_is_that_of_the_interval_ends() -> None:
    hyper = KNOWN.fit(STORES, "bayes").hyper
    lo = KNOWN.posterior(STORES, hyper, 0.9).lo
    below = [1 - KNOWN.tail_probability(STORES, hyper, end)[i] for i, end in enumerate(lo)]
    np.testing.assert_allclose(below, 0.05, atol=1e-4)


def test_few_observations_widen_the_interval_by_their_variances_uncertainty() -> None:
    few = Moments(np.full(7, 2.0), Y, np.full(7, 2.0))
    stores = Described.of(few, regions=REGIONS)
    fit = OBSERVED.fit(stores, "bayes")
    assert OBSERVED.uncertainty(fit.hyper, 0.95)["sigma2"][0] > 0.5
    assert fit.sensitivity is not None


def test_a_location_far_from_zero_changes_nothing_else() -> None:
    far = Described.of(Measured(Y + 1e7, V), regions=REGIONS)
    fits = [KNOWN.fit(stores, "reml") for stores in (STORES, far)]
    spreads = [fit.hyper.spread_region[0] for fit in fits]
    assert spreads[1] == pytest.approx(spreads[0], rel=1e-6)


def test_pools_that_cannot_be_fitted_say_why() -> None:
    with pytest.raises(FitError, match="no group has data"):
        KNOWN.fit(Described.of(Measured.zeros(3)), "bayes")
    with pytest.raises(FitError, match="two spreads"):
        KNOWN.fit(STORES, "bayes", BDA)
    with pytest.raises(FitError, match="unknown method"):
        KNOWN.fit(STORES, "dl")


def test_tiny_standard_errors_do_not_hold_the_default_spread_down() -> None:
    """2 x median se alone is .02 here: it would say of stores 2 apart that they are .4 apart."""
    rng = np.random.default_rng(5)
    y = np.repeat(2 * rng.normal(size=4), 3) + 2 * rng.normal(size=12)
    regions = np.repeat(np.arange(4), 3)
    stores = Described.of(Measured(y, np.full(12, 1e-4)), regions=regions)
    tau, held_down = (
        KNOWN.parameters(KNOWN.fit(stores, "bayes", prior).hyper)["tau_store"]
        for prior in (DEFAULT, Hyperprior(HalfNormal(0.02)))
    )
    open_minded = KNOWN.fit(stores, "bayes", Hyperprior(Uniform(20.0))).hyper
    _, lo, hi = KNOWN.uncertainty(open_minded, 0.95)["tau_store"]
    assert held_down < lo < tau < hi


@pytest.mark.parametrize("name", ["tau_store", "tau_region"])
def test_a_spreads_interval_is_that_of_a_dense_integration(name: str) -> None:
    """By numpy's inverse of the stores' covariance on Gauss-Legendre's 40 x 40 spreads."""
    x, share = np.polynomial.legendre.leggauss(40)
    grid = 0.3 * np.sinh(np.arcsinh(5.2 / 0.3) * (1 + x) / 2)
    share = share * np.hypot(0.3, grid)
    spreads = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    together = REGIONS[:, np.newaxis] == REGIONS
    values = [_log_restricted(np.diag(V + s**2) + r**2 * together, Y) for s, r in spreads]
    mass = np.exp(np.array(values) - (spreads**2).sum(axis=1) / 2 / 1.3**2)
    mass *= np.outer(share, share).ravel()
    axis = 1 if name == "tau_store" else 0
    marginal = mass.reshape(40, 40).sum(axis=axis) / mass.sum()
    # Probability below, by the integral of the polynomial through the 40 densities.
    below = legendre.legint(legendre.legfit(x, marginal / (legendre.leggauss(40)[1]), 39), lbnd=-1)
    fine = np.linspace(-1, 1, 20_001)
    at = np.interp([0.025, 0.975], legendre.legval(fine, below), fine)
    expected = 0.3 * np.sinh(np.arcsinh(5.2 / 0.3) * (1 + at) / 2)
    fit = KNOWN.fit(STORES, "bayes", Hyperprior(HalfNormal(1.3)))
    width = expected[1] - expected[0]
    assert KNOWN.uncertainty(fit.hyper, 0.95)[name][1:] == pytest.approx(expected, abs=5e-3 * width)


def test_two_degrees_of_freedom_leave_the_variance_all_that_the_stores_do_not_deny_it() -> None:
    """Against a grid of σ² and both spreads: numpy's inverse of the stores' covariance at each."""
    n, y, squares = np.array([1.0, 1, 3, 1, 1]), np.array([4.1, 2.2, 3.5, 0.4, 1.1]), 0.4
    regions = np.array([0, 0, 0, 1, 1])
    x, share = np.polynomial.legendre.leggauss(24)
    grid = 0.3 * np.sinh(np.arcsinh(3.0 / 0.3) * (1 + x) / 2)
    share = share * np.hypot(0.3, grid)
    together = regions[:, np.newaxis] == regions
    parts = []
    for log_sigma2 in np.linspace(-5.0, 9.0, 71):
        sigma2 = float(np.exp(log_sigma2))
        of_observations = -log_sigma2 - squares / 2 / sigma2
        for (i, s), (j, r) in product(enumerate(grid), enumerate(grid)):
            covariance = np.diag(sigma2 / n + s**2) + r**2 * together
            log_mass = _log_restricted(covariance, y) + of_observations
            log_mass += np.log(share[i] * share[j]) - (s**2 + r**2) / 2 / 0.75**2
            parts.append((log_mass, *_errors(covariance, y, sigma2 / n)))
    mass = np.exp(np.array([part[0] for part in parts]))
    mass /= mass.sum()
    mean, sd = (np.array([part[i] for part in parts]) for i in (1, 2))
    expected = Mixture((y - mean).T, sd.T, mass)
    stores = Described.of(Moments(n, y, np.where(n > 1, squares, 0.0)), regions=regions)
    hyper = OBSERVED.fit(stores, "bayes", Hyperprior(HalfNormal(0.75))).hyper
    found = OBSERVED.posterior(stores, hyper, 0.95)
    lo, hi = (expected.quantile(p) for p in (0.025, 0.975))
    for ours, theirs in ((found.mean, mass @ (y - mean)), (found.lo, lo), (found.hi, hi)):
        assert (np.abs(ours - theirs) / (hi - lo)).max() < 5e-3


def _log_restricted(covariance: np.ndarray, y: np.ndarray) -> float:
    """Return the log density of stores' means, the chain's mean integrated, up to a constant."""
    inverse = np.linalg.inv(covariance)
    total, error = inverse.sum(), inverse @ y
    squares = y @ error - error.sum() ** 2 / total
    return float(-(np.linalg.slogdet(covariance)[1] + np.log(total) + squares) / 2)


def _errors(
    covariance: np.ndarray, y: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and sd of the stores' sampling errors, given what is known of their means."""
    inverse = np.linalg.inv(covariance)
    projected = inverse - np.outer(inverse.sum(axis=0), inverse.sum(axis=0)) / inverse.sum()
    return variance * (projected @ y), np.sqrt(variance - variance**2 * np.diag(projected))
