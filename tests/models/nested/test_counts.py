"""Rates in regions in a chain: against dense integrations, and where they meet the plain family."""

from typing import Any

import numpy as np
import pytest

from stream_hb.errors import FitError
from stream_hb.models.beta_binomial import BetaBinomial
from stream_hb.models.described import Described
from stream_hb.models.gamma_poisson import GammaPoisson
from stream_hb.models.nested.counts import NestedBetaBinomial, NestedGammaPoisson
from stream_hb.models.nested.registry import NESTED_FAMILIES
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from tests.reference import nested as reference

Y = np.array([2.0, 5, 3, 12, 0, 9, 7])
N = np.array([40.0, 60, 50, 80, 30, 100, 45])
REGIONS = np.array([0, 0, 0, 1, 2, 3, 3])
BETA, GAMMA = NestedBetaBinomial(), NestedGammaPoisson()
RATES = Described.of(Counts(Y, N), regions=REGIONS)
EVENTS = Described.of(Exposure(Y, N), regions=REGIONS)
BOTH: list[tuple[Any, Any]] = [(BETA, RATES), (GAMMA, EVENTS)]


@pytest.mark.parametrize(("family", "stores"), BOTH)
def test_bayes_agrees_with_a_dense_integration(family: Any, stores: Any) -> None:
    """Measured at four regions: ends off by up to .5 % (Beta) and 1.3 % (Gamma) of the width."""
    gamma = family is GAMMA
    expected = reference.counts(Y, N, REGIONS, gamma=gamma, points=(16, 16, 30, 121))
    fit = family.fit(stores, "bayes")
    posterior = family.posterior(stores, fit.hyper, 0.95)
    width = expected.hi - expected.lo
    assert fit.log_likelihood == pytest.approx(expected.log_evidence, abs=1e-3)
    assert (np.abs(posterior.mean - expected.mean) / width).max() < (2e-3 if gamma else 3e-4)
    ends = np.abs([posterior.lo - expected.lo, posterior.hi - expected.hi]) / width
    assert ends.max() < (0.015 if gamma else 0.006)


@pytest.mark.parametrize(("family", "stores"), BOTH)
def test_ml_is_a_maximum_of_the_likelihood(family: Any, stores: Any) -> None:
    regions = np.repeat(np.arange(6), 5)
    rng = np.random.default_rng(4)
    rate = (0.1 * np.exp(0.5 * rng.normal(size=6)))[regions] * rng.gamma(8, 1 / 8, 30)
    n = rng.integers(50, 400, 30).astype(float)
    y = rng.poisson(rate * n).astype(float)
    pool = Described.of(type(stores.groups)(y, n), regions=regions)
    fit = family.fit(pool, "ml")
    found = family.parameters(fit.hyper)
    values = found["mean"], float(fit.hyper.spread_store[0]), found["tau_region"]
    top = dict(zip(family.given_names, values, strict=True))
    assert not fit.boundary
    highest = family.log_likelihood(pool, family.condition(top))
    assert highest == pytest.approx(fit.log_likelihood, abs=1e-6)
    for name in top:
        for factor in (0.97, 1.03):
            moved = family.condition({**top, name: top[name] * factor})
            assert family.log_likelihood(pool, moved) < highest


@pytest.mark.parametrize("regions", [np.zeros(7, dtype=int), np.full(7, -1)])
def test_where_regions_say_nothing_ml_is_that_of_the_plain_family(regions: np.ndarray) -> None:
    beta = BETA.fit(Described.of(Counts(Y, N), regions=regions), "ml")
    plain = BetaBinomial().fit(Counts(Y, N), "ml")
    assert beta.log_likelihood == pytest.approx(plain.log_likelihood, abs=5e-5)
    assert BETA.parameters(beta.hyper)["mean"] == pytest.approx(plain.hyper.mean, rel=1e-4)
    gamma = GAMMA.fit(Described.of(Exposure(Y, N), regions=regions), "ml")
    rates = GammaPoisson().fit(Exposure(Y, N), "ml")
    assert gamma.log_likelihood == pytest.approx(rates.log_likelihood, abs=5e-5)
    assert gamma.hyper.spread_region[0] == 0


@pytest.mark.parametrize(("family", "stores"), BOTH)
def test_the_mean_lies_between_raw_and_pooled(family: Any, stores: Any) -> None:
    hyper = family.fit(stores, "bayes").hyper
    posterior = family.posterior(stores, hyper, 0.95)
    between = (1 - posterior.weight) * posterior.raw + posterior.weight * posterior.pooled
    np.testing.assert_allclose(posterior.mean, between, rtol=1e-9)
    np.testing.assert_allclose(posterior.mean, family.screen(stores, hyper)[0], rtol=1e-9)
    assert ((posterior.weight >= 0) & (posterior.weight <= 1)).all()
    assert (posterior.pooled > 0).all()
    assert ((posterior.lo < posterior.mean) & (posterior.mean < posterior.hi)).all()


@pytest.mark.parametrize(("family", "statistic"), [(BETA, Counts), (GAMMA, Exposure)])
def test_a_single_store_borrows_from_the_chain(family: Any, statistic: Any) -> None:
    regions = np.repeat([0, 1, 2, 3], [8, 8, 8, 1])
    y = np.array([*np.full(8, 60.0), *np.full(8, 20.0), *np.full(8, 30.0), 0.0])
    y[:24] += np.tile([4.0, -4.0], 12)
    stores = Described.of(statistic(y, np.full(25, 200.0)), regions=regions)
    hyper = family.fit(stores, "bayes").hyper
    pooled = family.posterior(stores, hyper, 0.95).pooled
    assert pooled[:8] == pytest.approx(0.3, abs=0.03)
    assert pooled[8:16] == pytest.approx(0.1, abs=0.03)
    assert 0.08 < pooled[24] < 0.35


@pytest.mark.parametrize(("family", "stores"), BOTH)
def test_a_new_store_is_surer_in_a_region_that_is_known(family: Any, stores: Any) -> None:
    hyper = family.fit(stores, "bayes").hyper
    known, new = (family.new_group(hyper, 0.95, region=region) for region in (0, -1))
    assert known.sd[0] < new.sd[0]
    assert np.isnan(new.raw[0])
    assert new.weight[0] == pytest.approx(1)
    assert 0 < new.lo[0] < new.mean[0] < new.hi[0]


def test_the_predictive_of_a_wide_chain_has_its_own_quantiles() -> None:
    """One matched Gamma per node put the lower end at 1e-282."""
    hyper = GAMMA.condition({"mean": 0.1, "shape": 5, "tau_region": 3})
    ends = GAMMA.new_group(hyper, 0.95)
    rng = np.random.default_rng(1)
    draws = rng.gamma(5, 0.1 * np.exp(3 * rng.normal(size=100_000)) / 5)
    assert np.mean(draws < ends.lo[0]) == pytest.approx(0.025, abs=0.003)
    assert np.mean(draws > ends.hi[0]) == pytest.approx(0.025, abs=0.003)


@pytest.mark.parametrize(("family", "statistic"), [(GAMMA, Exposure)])
def test_a_pool_without_one_success_has_an_answer(family: Any, statistic: Any) -> None:
    stores = Described.of(statistic(np.zeros(4), np.full(4, 50.0)), regions=np.array([0, 0, 1, 1]))
    for method in ("ml", "bayes"):
        posterior = family.posterior(stores, family.fit(stores, method).hyper, 0.95)
        assert (posterior.hi < 0.2).all()


def test_the_registry_has_the_plain_families_names() -> None:
    assert set(NESTED_FAMILIES) <= set(FAMILIES)
    assert all(NESTED_FAMILIES[key].name == FAMILIES[key].name for key in NESTED_FAMILIES)


def test_pools_that_cannot_be_fitted_say_why() -> None:
    with pytest.raises(FitError, match="no group has data"):
        BETA.fit(Described.of(Counts.zeros(3)), "bayes")


@pytest.mark.parametrize("failures", [[0.0, 0, 0], [1.0, 0, 0]])
def test_a_pool_that_all_but_always_succeeds_is_the_mirror_of_one_that_never_does(
    failures: list[float],
) -> None:
    """The likelihood far below a region's rate is long zero: its spline may not wave up here."""
    y, n, regions = np.array(failures), np.array([8.0, 8, 279]), np.arange(3)
    never, always = (
        BETA.fit(Described.of(Counts(counts, n), regions=regions), "bayes") for counts in (y, n - y)
    )
    assert always.log_likelihood == pytest.approx(never.log_likelihood, abs=1e-6)
    found, mirror = BETA.parameters(always.hyper), BETA.parameters(never.hyper)
    assert found["mean"] == pytest.approx(1 - mirror["mean"], rel=1e-9)
    for name in ("tau_region", "log_concentration"):
        assert found[name] == pytest.approx(mirror[name], rel=1e-9)
        ends = (BETA.uncertainty(fit.hyper, 0.95)[name] for fit in (always, never))
        assert next(ends) == pytest.approx(next(ends), rel=1e-6)


@pytest.mark.parametrize(("family", "stores"), BOTH)
def test_the_mean_rate_and_its_sd_are_those_of_the_rate_and_not_of_its_link(
    family: Any, stores: Any
) -> None:
    """A million draws of numpy's from the nodes of the hyperparameters."""
    few = Described.of(
        type(stores.groups)(np.array([4.0, 6]), np.array([9.0, 17])), regions=np.arange(2)
    )
    hyper = family.fit(few, "bayes").hyper
    rng = np.random.default_rng(1)
    at = rng.choice(len(hyper.weight), size=1_000_000, p=hyper.weight)
    link = hyper.location[at] + hyper.location_sd[at] * rng.standard_normal(len(at))
    rate = 1 / (1 + np.exp(-link)) if family is BETA else np.exp(link)
    assert family.parameters(hyper)["mean"] == pytest.approx(rate.mean(), rel=0.01)
    assert family.uncertainty(hyper, 0.95)["mean"][0] == pytest.approx(rate.std(), rel=0.03)
