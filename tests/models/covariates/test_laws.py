"""The laws of a family hold with covariates, for every family and every method."""

import math
from typing import Any

import numpy as np
import pytest

from stream_hb.errors import FitError, UsageError
from stream_hb.models.beta_binomial import BetaBinomial
from stream_hb.models.covariates.registry import COVARIATE_FAMILIES
from stream_hb.models.described import Described
from stream_hb.models.family import Family
from stream_hb.models.hyperprior import BDA, HalfCauchy, Hyperprior, NormalLocation, Uniform
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.counts import Counts
from tests.models.covariates.pools import pool, with_an_empty_group

CASES = [(name, method) for name, f in COVARIATE_FAMILIES.items() for method in f.methods]


def _fitted(name: str, method: str, columns: int = 1) -> tuple[Family[Any, Any], Any, Any]:
    family, groups = COVARIATE_FAMILIES[name], pool(name, columns=columns)
    return family, groups, family.fit(groups, method)


def test_the_families_have_the_names_of_those_without_covariates() -> None:
    assert COVARIATE_FAMILIES.keys() <= FAMILIES.keys()


@pytest.mark.parametrize(("name", "method"), CASES)
def test_estimate_is_raw_and_the_groups_own_prior_mean_by_the_weight(
    name: str, method: str
) -> None:
    family, groups, fit = _fitted(name, method)
    posterior = family.posterior(with_an_empty_group(groups), fit.hyper, 0.95)
    raw = np.where(np.isnan(posterior.raw), posterior.pooled, posterior.raw)
    blend = (1 - posterior.weight) * raw + posterior.weight * posterior.pooled
    np.testing.assert_allclose(posterior.mean, blend, rtol=1e-12, atol=1e-13)
    assert ((posterior.weight >= 0) & (posterior.weight <= 1)).all()
    assert math.isnan(posterior.raw[-1])
    assert posterior.weight[-1] == pytest.approx(1, abs=1e-14)
    assert np.ptp(posterior.pooled) > 0.1, "every group has a prior mean of its own"
    assert (posterior.lo < posterior.mean).all()
    assert (posterior.mean < posterior.hi).all()


@pytest.mark.parametrize(("name", "method"), CASES)
def test_screen_tail_and_interval_tell_of_one_posterior(name: str, method: str) -> None:
    family, groups, fit = _fitted(name, method)
    posterior = family.posterior(groups, fit.hyper, 0.95)
    mean, sd = family.screen(groups, fit.hyper)
    np.testing.assert_allclose(mean, posterior.mean, rtol=1e-10)
    np.testing.assert_allclose(sd, posterior.sd, rtol=1e-10)
    for ends, expected in ((posterior.lo, 0.975), (posterior.hi, 0.025)):
        for row, end in enumerate(ends):
            above = family.tail_probability(groups, fit.hyper, float(end))[row]
            assert above == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_the_scale_of_a_covariate_is_irrelevant(name: str, method: str) -> None:
    family, groups, fit = _fitted(name, method, columns=2)
    other = Described.of(groups.groups, 1e3 * groups.covariates - 7)
    again = family.fit(other, method)
    ours = family.posterior(groups, fit.hyper, 0.95)
    theirs = family.posterior(other, again.hyper, 0.95)
    np.testing.assert_allclose(theirs.mean, ours.mean, rtol=1e-6)
    np.testing.assert_allclose(theirs.hi, ours.hi, rtol=1e-5)
    slope, slope_again = (family.parameters(f.hyper)["beta_1"] for f in (fit, again))
    assert slope_again == pytest.approx(slope / 1e3, rel=1e-6)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_the_order_of_groups_is_irrelevant(name: str, method: str) -> None:
    family, groups, fit = _fitted(name, method)
    order = np.random.default_rng(3).permutation(len(groups))
    again = family.fit(groups.take(order), method)
    expected = family.parameters(fit.hyper)
    assert family.parameters(again.hyper) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("name", "method"), [case for case in CASES if case[1] != "bayes"])
def test_without_covariates_it_is_the_plain_family(name: str, method: str) -> None:
    family, groups = COVARIATE_FAMILIES[name], pool(name)
    fit = family.fit(Described.of(groups.groups), method)
    plain = FAMILIES[name].fit(groups.groups, method)
    assert fit.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-7)
    ours = family.posterior(Described.of(groups.groups), fit.hyper, 0.95)
    theirs = FAMILIES[name].posterior(groups.groups, plain.hyper, 0.95)
    for column in ("mean", "pooled", "weight", "sd", "lo", "hi"):
        a, b = getattr(ours, column), getattr(theirs, column)
        np.testing.assert_allclose(a, b, rtol=2e-5, err_msg=column)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_a_new_group_is_of_average_covariates(name: str, method: str) -> None:
    family, groups, fit = _fitted(name, method, columns=2)
    new = family.new_group(fit.hyper, 0.95)
    average = groups.covariates.mean(axis=0, keepdims=True)
    nothing = type(groups.groups).zeros(1)
    same = family.posterior(Described.of(nothing, average), fit.hyper, 0.95)
    assert new.mean[0] == pytest.approx(same.mean[0], rel=1e-12)
    assert new.lo[0] < new.mean[0] < new.hi[0]


@pytest.mark.parametrize("name", sorted(COVARIATE_FAMILIES))
def test_a_slope_has_an_interval_where_it_is_integrated_and_none_where_it_is_not(
    name: str,
) -> None:
    family, groups, fit = _fitted(name, "bayes")
    sd, lo, hi = family.uncertainty(fit.hyper, 0.999)["beta_1"]
    slope = family.parameters(fit.hyper)["beta_1"]
    assert lo < slope < hi
    assert 5 < (hi - lo) / sd < 12
    assert lo < 0.5 < hi, "the slope of the simulation"
    assert family.uncertainty(family.fit(groups, "ml").hyper, 0.95) == {}
    assert fit.sensitivity is not None
    assert fit.sensitivity.doubled < fit.sensitivity.halved


@pytest.mark.parametrize("name", sorted(COVARIATE_FAMILIES))
def test_many_covariates_fall_back_to_each_groups_own_predictor(name: str) -> None:
    family, groups = COVARIATE_FAMILIES[name], pool(name, count=40, columns=5)
    posterior = family.posterior(groups, family.fit(groups, "bayes").hyper, 0.95)
    few = Described.of(groups.groups, groups.covariates[:, :3])
    other = family.posterior(few, family.fit(few, "bayes").hyper, 0.95)
    # The two covariates left out explain nothing.
    assert (np.abs(posterior.mean - other.mean) < 1.0 * other.sd).all()


@pytest.mark.parametrize("name", sorted(COVARIATE_FAMILIES))
def test_priors_are_named_ones_and_matter(name: str) -> None:
    family, groups = COVARIATE_FAMILIES[name], pool(name)
    means = [
        family.screen(groups, family.fit(groups, "bayes", Hyperprior(spread)).hyper)[0]
        for spread in (HalfCauchy(0.01), Uniform(5.0))
    ]
    assert np.abs(means[0] - means[1]).max() > 1e-4
    firm = Hyperprior(location=NormalLocation(1e-4, 0.3))
    hyper = family.fit(groups, "bayes", firm).hyper
    np.testing.assert_allclose(hyper.location, 0.3, atol=1e-3)
    with pytest.raises(FitError, match="joint prior"):
        family.fit(groups, "bayes", BDA)


@pytest.mark.parametrize("name", sorted(COVARIATE_FAMILIES))
def test_coefficients_are_not_given(name: str) -> None:
    with pytest.raises(UsageError, match="mu"):
        COVARIATE_FAMILIES[name].condition({"mu": 1.0})


def test_a_pool_without_a_success_is_complete_pooling_by_jeffreys() -> None:
    groups = Counts(np.zeros(4), np.array([10.0, 20, 30, 40]))
    described = Described.of(groups, np.array([[1.0], [2], [4], [3]]))
    family = COVARIATE_FAMILIES["beta-binomial"]
    fit = family.fit(described, "ml")
    assert fit.boundary
    assert fit.log_likelihood == 0
    posterior = family.posterior(described, fit.hyper, 0.95)
    plain = BetaBinomial().posterior(groups, BetaBinomial().fit(groups, "ml").hyper, 0.95)
    np.testing.assert_allclose(posterior.mean, plain.mean)
    np.testing.assert_allclose(posterior.hi, plain.hi, rtol=0.02)


def test_groups_that_a_covariate_separates_have_no_finite_slope_and_say_so() -> None:
    groups = Counts(np.array([0.0, 0, 0, 20, 30, 25]), np.array([20.0, 20, 30, 20, 30, 25]))
    described = Described.of(groups, np.array([[0.0], [0], [0], [1], [1], [1]]))
    family = COVARIATE_FAMILIES["beta-binomial"]
    fit = family.fit(described, "ml")
    assert not fit.converged
    assert fit.log_likelihood == pytest.approx(0, abs=1e-6)
    bayes = family.parameters(family.fit(described, "bayes").hyper)
    assert 2 < bayes["beta_1"] < 30


def test_the_likelihood_of_a_fit_is_its_own_where_the_coefficients_are_known() -> None:
    for name in sorted(COVARIATE_FAMILIES):
        family, groups, fit = _fitted(name, "ml")
        assert family.log_likelihood(groups, fit.hyper) == pytest.approx(
            fit.log_likelihood, abs=1e-8
        )
