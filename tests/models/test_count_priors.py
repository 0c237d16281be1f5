"""Full Bayes of counts under every named prior, against dense quadrature in plain NumPy."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import betaincinv, expit, gammaincinv

from stream_hb.models.beta_binomial import BetaBinomial
from stream_hb.models.gamma_poisson import GammaPoisson
from stream_hb.models.hyperprior import (
    Flat,
    HalfCauchy,
    HalfNormal,
    Hyperprior,
    NormalLocation,
    Uniform,
)
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from tests.benchmarks.quadrature_error import draw, pooled
from tests.reference.dense_counts import Array, Dense, LogPrior, default_prior, dense

FAMILIES: dict[str, tuple[Any, Any]] = {
    "beta-binomial": (BetaBinomial(), Counts),
    "gamma-poisson": (GammaPoisson(), Exposure),
}


def _with_spread(middle: float, spread: Uniform | HalfCauchy | HalfNormal) -> LogPrior:
    usual = default_prior(middle)

    def log_density(location: Array, s: Array) -> Array:
        out: Array = usual(location, s) - HalfNormal(1.0).log_density(s) + spread.log_density(s)
        return out

    return log_density


def _flat(location: Array, s: Array) -> Array:
    return HalfNormal(1.0).log_density(s) + 0 * location


def _off(ends: tuple[float, float], expected: tuple[float, float]) -> float:
    """Return the larger error of two ends, in widths of the interval."""
    width = expected[1] - expected[0]
    return max(abs(a - b) for a, b in zip(ends, expected, strict=True)) / width


def _interval(reference: Dense, total: float, size: float) -> tuple[float, float]:
    lo, hi = (reference.quantile(total, size, p) for p in (0.025, 0.975))
    return lo, hi


def _quantiles(x: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, float]:
    """Return both ends of what a grid has along one of its axes."""
    points, which = np.unique(x.round(12), return_inverse=True)
    mass = np.bincount(which, weight)
    lo, hi = np.interp([0.025, 0.975], np.cumsum(mass) - mass / 2, points)
    return float(lo), float(hi)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("end", [0.4, 5.0])
def test_a_uniform_spread_is_integrated_up_to_its_end(name: str, end: float) -> None:
    """A prior that ends where the posterior is highest, and one that ends beyond it."""
    family, kind = FAMILIES[name]
    total, size = draw(name, "small", 5, seed=0)
    prior = _with_spread(pooled(name, total, size), Uniform(end))
    reference = dense(name, total, size, prior, 300)
    fit = family.fit(kind(total, size), "bayes", Hyperprior(Uniform(end)))
    posterior = family.posterior(kind(total, size), fit.hyper, 0.95)
    assert fit.log_likelihood == pytest.approx(reference.log_evidence, abs=0.02)
    for i in range(2):
        ends = posterior.lo[i], posterior.hi[i]
        assert _off(ends, _interval(reference, total[i], size[i])) < 0.008


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("scale", [1e-5, 1e-3])
def test_a_spread_that_is_told_to_be_next_to_nothing_has_the_poolings_evidence(
    name: str, scale: float
) -> None:
    """Below what the data can tell from none: the scan of the spread has to begin lower."""
    family, kind = FAMILIES[name]
    total, size = draw(name, "small", 5, seed=0)
    one, other = (
        family.fit(kind(total, size), "bayes", Hyperprior(spread(scale))).log_likelihood
        for spread in (HalfNormal, Uniform)
    )
    assert one == pytest.approx(other, abs=2e-3)


@pytest.mark.parametrize(("count", "error_max"), [(5, 0.02), (20, 0.01), (300, 0.01)])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_hyperparameters_intervals_are_those_of_dense_quadrature(
    name: str, count: int, error_max: float
) -> None:
    """In widths of the interval; few nodes taken for a histogram made it 3 % too wide."""
    family, kind = FAMILIES[name]
    total, size = draw(name, "small", count, seed=0)
    reference = dense(name, total, size, default_prior(pooled(name, total, size)), 240)
    found = family.uncertainty(family.fit(kind(total, size), "bayes").hyper, 0.95)
    natural = expit if name == "beta-binomial" else np.exp
    lo, hi = natural(np.array(_quantiles(reference.location, reference.weight)))
    assert _off(found["mean"][1:], (lo, hi)) < error_max
    if name == "gamma-poisson":
        expected = _quantiles(-2 * np.log(reference.spread), reference.weight)
        assert _off(found["log_shape"][1:], expected) < error_max
    else:
        a, b = reference.parameters()
        order = np.argsort(a + b)
        below = np.cumsum(reference.weight[order]) - reference.weight[order] / 2
        lo, hi = np.interp([0.025, 0.975], below, np.log(a + b)[order])
        assert _off(found["log_concentration"][1:], (lo, hi)) < error_max


FEW = {
    "two of twenty": (np.append([28.0, 3.0], np.zeros(18)), np.geomspace(0.2, 300, 20)[::-1]),
    "one of three": (np.array([0.0, 8.0, 0.0]), np.array([0.8, 70.0, 0.35])),
    "one of two": (np.array([2.0, 0.0]), np.array([20.6, 1.3])),
}


@pytest.mark.parametrize("case", FEW)
def test_a_flat_location_with_few_events_is_integrated(case: str) -> None:
    """Where most groups have no event the location has a plateau that ends in a cliff."""
    events, exposure = FEW[case]
    reference = dense("gamma-poisson", events, exposure, _flat, 300)
    groups, family = Exposure(events, exposure), GammaPoisson()
    fit = family.fit(groups, "bayes", Hyperprior(location=Flat()))
    posterior = family.posterior(groups, fit.hyper, 0.95)
    assert fit.log_likelihood == pytest.approx(reference.log_evidence, abs=0.01)
    for i in range(2):
        ends = posterior.lo[i], posterior.hi[i]
        assert _off(ends, _interval(reference, events[i], exposure[i])) < 0.012


def test_a_new_groups_interval_holds_where_its_mean_is_that_of_its_tail() -> None:
    """The search starts at a kernel of the mixture's moments, here hundreds of logs away."""
    events, exposure = FEW["one of two"]
    reference = dense("gamma-poisson", events, exposure, _flat, 300)
    family = GammaPoisson()
    fit = family.fit(Exposure(events, exposure), "bayes", Hyperprior(location=Flat()))
    new = family.new_group(fit.hyper, 0.95)
    lo, hi = _interval(reference, 0.0, 0.0)
    assert new.mean[0] > hi
    assert _off((new.lo[0], new.hi[0]), (lo, hi)) < 0.05


@pytest.mark.parametrize("scale", [10.0, 30.0])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_vague_location_and_no_success_give_finite_ends_in_order(name: str, scale: float) -> None:
    family, kind = FAMILIES[name]
    groups = kind(np.zeros(3), np.array([2.0, 700.0, 3e5]))
    prior = Hyperprior(HalfCauchy(0.2), NormalLocation(scale))
    hyper = family.fit(groups, "bayes", prior).hyper
    for posterior in (family.posterior(groups, hyper, 0.95), family.new_group(hyper, 0.95)):
        assert np.isfinite(posterior.hi).all()
        assert (posterior.lo >= 0).all()
        assert (posterior.lo < posterior.hi).all()


def test_many_levels_of_a_hyperparameter_are_in_order() -> None:
    family, kind = FAMILIES["gamma-poisson"]
    hyper = family.fit(kind(*FEW["one of two"]), "bayes", Hyperprior(location=Flat())).hyper
    levels = np.linspace(0.05, 0.999, 40)
    ends = np.array([family.uncertainty(hyper, level)["mean"][1:] for level in levels])
    assert (np.diff(ends[:, 0]) <= 0).all()
    assert (np.diff(ends[:, 1]) >= 0).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_told_that_groups_hardly_differ_the_ends_are_those_of_the_pool(name: str) -> None:
    """Kernels a ten thousandth wide, apart: between them no slope tells where the quantile is.

    The ends are those of the pooled rate's own posterior, a Beta or a Gamma; the prior of the
    location says next to nothing beside 10,000 trials.
    """
    family, kind = FAMILIES[name]
    total, size = np.array([530.0, 480.0, 510.0, 495.0, 505.0]), np.full(5, 2000.0)
    hyper = family.fit(kind(total, size), "bayes", Hyperprior(HalfNormal(1e-4))).hyper
    y, n = total.sum(), size.sum()
    share = np.array([0.025, 0.975])
    lo, hi = betaincinv(y, n - y, share) if kind is Counts else gammaincinv(y, share) / n
    for posterior in (
        family.posterior(kind(total, size), hyper, 0.95),
        family.new_group(hyper, 0.95),
    ):
        assert _off((posterior.lo[0], posterior.hi[0]), (lo, hi)) < 0.015
