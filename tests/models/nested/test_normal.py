"""Means in regions in a chain: the integrated fit against a dense one, and what borrowing means."""

import numpy as np
import pytest

from stream_hb.errors import FitError
from stream_hb.models.described import Described
from stream_hb.models.hyperprior import BDA, DEFAULT, HalfNormal, Hyperprior, Uniform
from stream_hb.models.nested.normal import NestedNormalFromObservations, NestedNormalKnownVariance
from stream_hb.models.normal import NormalKnownVariance
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
