"""Full Bayes for means against dense grids, and what must hold whatever the numbers."""

import numpy as np
import pytest

from stream_hb.errors import FitError
from stream_hb.models.hyperprior import (
    HalfNormal,
    Hyperprior,
    JointPrior,
    NormalLocation,
    Uniform,
)
from stream_hb.models.normal import NormalKnownVariance
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments
from tests.reference import dense_normal as reference

PRIOR = Hyperprior(HalfNormal(1.0))
KNOWN, COMMON = NormalKnownVariance(), FAMILIES["normal"]
SEPARATE, MODERATED = FAMILIES["normal-separate"], FAMILIES["normal-moderated"]


def _means(count: int) -> Measured:
    rng = np.random.default_rng(count)
    variance = np.geomspace(0.05, 3, count)
    noise = np.sqrt(variance) * rng.normal(size=count)
    return Measured(rng.normal(0, 0.7, count) + noise, variance)


def _observations(count: int) -> Moments:
    rng = np.random.default_rng(count)
    n = np.resize([3.0, 4.0, 5.0], count)
    mean = rng.normal(0, 0.7, count) + rng.normal(size=count) / np.sqrt(n)
    return Moments(n, mean, rng.chisquare(n - 1))


@pytest.mark.parametrize(("count", "group"), [(3, 0), (10, 5), (30, 29)])
def test_interval_ends_are_within_a_fiftieth_of_a_percent(count: int, group: int) -> None:
    groups = _means(count)
    posterior = KNOWN.posterior(groups, KNOWN.fit(groups, "bayes", PRIOR).hyper, 0.95)
    log_prior = HalfNormal(1.0).log_density
    lo, hi = reference.known_variances(groups.mean, groups.variance, log_prior, 6.0, group, 0.95)
    for ours, theirs in ((posterior.lo[group], lo), (posterior.hi[group], hi)):
        assert abs(ours - theirs) <= 2e-4 * (hi - lo)


def test_a_common_variance_is_integrated_with_the_rest() -> None:
    groups = _observations(3)
    fit = COMMON.fit(groups, "bayes", PRIOR)
    posterior = COMMON.posterior(groups, fit.hyper, 0.95)
    lo, hi, log_evidence = reference.common_variance(
        groups.mean,
        groups.weight,
        float(groups.m2.sum()),
        HalfNormal(1.0).log_density,
        np.geomspace(1e-5, 6, 90),
        np.geomspace(0.25, 6, 50),
        np.linspace(-7, 7, 201) + groups.mean.mean(),
        1,
        0.95,
    )
    assert abs(posterior.lo[1] - lo) <= 1e-3 * (hi - lo)
    assert abs(posterior.hi[1] - hi) <= 1e-3 * (hi - lo)
    assert fit.log_likelihood == pytest.approx(log_evidence, abs=1e-3)


def test_separate_variances_of_three_groups_are_integrated_one_by_one() -> None:
    """The hardest pool, three t that contradict each other: .9 % off a finer grid."""
    groups = _observations(3)
    posterior = SEPARATE.posterior(groups, SEPARATE.fit(groups, "bayes", PRIOR).hyper, 0.95)
    lo, hi = reference.separate_variances(
        groups.mean,
        groups.weight,
        groups.variance(),
        HalfNormal(1.0).log_density,
        np.geomspace(2e-3, 5, 40),
        np.linspace(-6, 6, 81) + groups.mean.mean(),
        1,
        0.95,
    )
    assert abs(posterior.lo[1] - lo) <= 0.012 * (hi - lo)
    assert abs(posterior.hi[1] - hi) <= 0.012 * (hi - lo)


def test_a_prior_given_as_a_function_answers_as_the_named_one() -> None:
    named = Hyperprior(HalfNormal(1.0), NormalLocation(2.0, 0.5))
    log_spread = HalfNormal(1.0).log_density
    function = JointPrior(
        lambda mu, tau: log_spread(tau) - 0.5 * ((mu - 0.5) / 2) ** 2 - 0.5 * np.log(8 * np.pi)
    )
    groups = _means(5)
    one, other = (KNOWN.fit(groups, "bayes", prior) for prior in (named, function))
    assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-6)
    a, b = (KNOWN.posterior(groups, fit.hyper, 0.95) for fit in (one, other))
    for ours, theirs in ((a.lo, b.lo), (a.hi, b.hi), (a.mean, b.mean)):
        assert (np.abs(ours - theirs) <= 1e-3 * (a.hi - a.lo)).all()


def test_a_spread_bounded_by_its_prior_stays_below() -> None:
    groups = Measured(np.array([-5.0, 0.0, 5.0]), np.full(3, 0.1))
    fit = KNOWN.fit(groups, "bayes", Hyperprior(Uniform(1.0)))
    sd, lo, hi = KNOWN.uncertainty(fit.hyper, 0.95)["tau"]
    assert 0.5 < lo < KNOWN.parameters(fit.hyper)["tau"] < hi < 1
    assert 0 < sd < 0.2


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_groups_get_the_priors_answer(count: int) -> None:
    groups = Measured(np.array([1.0, 3.0])[:count], np.ones(count))
    fit = KNOWN.fit(groups, "bayes", PRIOR)
    posterior = KNOWN.posterior(groups, fit.hyper, 0.95)
    assert np.isfinite(posterior.sd).all()
    if count == 1:  # nothing is learned of τ, and with a flat μ nothing is borrowed
        assert posterior.sd[0] == pytest.approx(1.0, rel=1e-4)
        assert KNOWN.parameters(fit.hyper)["tau"] == pytest.approx(np.sqrt(2 / np.pi), rel=1e-3)


def test_an_improper_posterior_is_refused() -> None:
    flat = JointPrior(lambda mu, tau: np.zeros_like(mu + tau))
    with pytest.raises(FitError, match="does not fall off"):
        KNOWN.fit(Measured(np.array([1.0, 2.0]), np.ones(2)), "bayes", flat)


def test_many_groups_need_few_kernels() -> None:
    few, many = (
        KNOWN.fit(_means(count), "bayes", PRIOR).hyper.few_kernels().weight.size
        for count in (10, 1000)
    )
    assert many <= 3 < few


def test_a_variance_of_its_own_widens_the_interval_of_a_group_that_agrees_by_chance() -> None:
    groups = Moments(np.full(4, 3.0), np.array([0.0, 1.0, 2.0, 3.0]), np.array([2, 2, 2, 1e-3]))
    plugged, integrated = (
        SEPARATE.posterior(groups, SEPARATE.fit(groups, method, PRIOR).hyper, 0.95)
        for method in ("reml", "bayes")
    )
    widths = [(posterior.hi - posterior.lo)[3] for posterior in (plugged, integrated)]
    # A t with two degrees of freedom: 4.3 sd to either side instead of 1.96.
    assert widths[1] > 1.8 * widths[0]


@pytest.mark.parametrize("family", [SEPARATE, MODERATED])
def test_a_group_of_one_observation_borrows_a_variance(family: object) -> None:
    groups = _observations(6).concatenate(Moments(np.ones(1), np.zeros(1), np.zeros(1)))
    model = SEPARATE if family is SEPARATE else MODERATED
    posterior = model.posterior(groups, model.fit(groups, "bayes", PRIOR).hyper, 0.95)
    assert 0 < posterior.weight[-1] < 1
    assert posterior.sd[-1] > posterior.sd[:-1].min()


def test_scaling_the_prior_moves_a_spread_that_few_groups_hardly_know() -> None:
    little, much = (KNOWN.fit(_means(count), "bayes", PRIOR).sensitivity for count in (3, 300))
    assert little is not None
    assert much is not None
    assert little.shift_doubled < -0.1 < much.shift_doubled < 0 < little.shift_halved
