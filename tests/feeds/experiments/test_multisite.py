"""The multi-site model against metafor 3.8 (ab_multisite.json) and dense integration."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, ndtr

from stream_hb.feeds.experiments.absolute import log_odds_level, log_rate_level, rates_of_arms
from stream_hb.feeds.experiments.contrasts import (
    difference,
    log_odds_ratio,
    log_rate_ratio,
    log_ratio,
)
from stream_hb.feeds.experiments.lift import ArmMean
from stream_hb.feeds.experiments.multisite import MultiSite, pool_sites, random_effects, tau_grid
from stream_hb.models.normal_shrinkage import Variances, posterior
from stream_hb.models.normal_sums import sums_of
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured
from tests.oracles.reading import assert_agree, oracle
from tests.reference.reml_blup import blups_at, reml_blups

SETS = oracle("ab_multisite")["bcg_and_8schools"]
NAMES = list(SETS)


def _contrasts(name: str) -> Measured:
    return Measured(np.array(SETS[name]["yi"], float), np.array(SETS[name]["vi"], float))


def _sites(contrasts: Measured, level: float = 0.95) -> MultiSite:
    sites = pool_sites(contrasts, np.ones(len(contrasts)), level)
    assert sites is not None
    return sites


@pytest.mark.parametrize("name", NAMES)
def test_the_classical_fit_is_metafors(name: str) -> None:
    fit, theirs = random_effects(sums_of(_contrasts(name)), 0.95), SETS[name]["REML"]
    assert fit.tau2 == pytest.approx(theirs["tau2"], rel=1e-4)
    assert fit.mu == pytest.approx(theirs["mu"], abs=1e-6)
    assert fit.se == pytest.approx(theirs["se"], abs=1e-6)
    # metafor stops its PM early: .318094 there, .3180685 by its EB, which is the same estimator.
    assert fit.tau2_pm == pytest.approx(SETS[name]["PM"]["tau2"], rel=1e-4)
    assert fit.tau2_pm == pytest.approx(SETS[name]["EB"]["tau2"], rel=1e-6)
    assert fit.hartung_knapp is not None
    assert fit.hartung_knapp.sd == pytest.approx(theirs["se_knha"], abs=1e-6)
    assert fit.hartung_knapp[2:] == pytest.approx(theirs["ci_knha"], abs=1e-5)


def test_paule_and_mandels_tau2_solves_its_equation() -> None:
    contrasts = _contrasts("bcg")
    w = 1 / (contrasts.variance + random_effects(sums_of(contrasts), 0.95).tau2_pm)
    mu = w @ contrasts.mean / w.sum()
    assert w @ (contrasts.mean - mu) ** 2 == pytest.approx(len(contrasts) - 1, rel=1e-8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["REML", "PM", "DL", "ML", "EB"])
def test_the_reference_predicts_as_metafor_does(name: str, method: str) -> None:
    """What the study compares with (tests/reference/reml_blup.py) is metafor's own blup."""
    contrasts, theirs = _contrasts(name), SETS[name][method]
    ours = blups_at(contrasts.mean, contrasts.variance, theirs["tau2"])
    assert ours.mu == pytest.approx(theirs["mu"], abs=1e-6)
    assert_agree(ours.blup, theirs["blup"], 1e-6, method)
    assert_agree(ours.blup_se, theirs["blup_se"], 1e-6, method)
    if method == "REML":
        fitted = reml_blups(contrasts.mean, contrasts.variance)
        assert fitted.tau2 == pytest.approx(theirs["tau2"], rel=1e-4)
        assert_agree(fitted.blup, theirs["blup"], 1e-5, method)


@pytest.mark.parametrize("name", NAMES)
def test_without_a_doubt_about_tau_a_stores_effect_would_be_metafors_blup(name: str) -> None:
    """The grid's nodes, one at a time: mean and variance (1-B)V + B²Var(mu)."""
    contrasts = _contrasts(name)
    kernels = tau_grid(sums_of(contrasts))
    for at in (0, len(kernels.tau) // 2, -1):
        exact = blups_at(contrasts.mean, contrasts.variance, float(kernels.tau[at] ** 2))
        assert kernels.mu[at] == pytest.approx(exact.mu, rel=1e-12)
        assert kernels.mu_sd[at] == pytest.approx(exact.se, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_stores_estimate_is_metafors_blup_with_more_doubt(name: str) -> None:
    stores, theirs = _sites(_contrasts(name)).stores, SETS[name]["REML"]
    assert_agree(stores.mean, theirs["blup"], 2e-5, name)
    blup_se = np.array(theirs["blup_se"], float)
    there = ~np.isnan(blup_se)
    assert (stores.sd[: len(there)][there] > blup_se[there]).all()
    between = (1 - stores.weight) * stores.raw + stores.weight * stores.pooled
    np.testing.assert_allclose(stores.mean, between, rtol=1e-12)
    assert ((stores.lo < stores.mean) & (stores.mean < stores.hi)).all()


def _dense(contrasts: Measured) -> tuple[Floats, Floats, Floats]:
    """τ on 40,000 points of (0, U) with the restricted likelihood: weights and blups, in full."""
    d, v = contrasts.mean, contrasts.variance
    upper = 3 * math.sqrt(max(d.var(ddof=1), np.median(v)))
    tau = (np.arange(40_000) + 0.5) / 40_000 * upper
    w = 1 / (v + tau[:, None] ** 2)
    mu = (w * d).sum(1) / w.sum(1)
    log_l = 0.5 * (np.log(w).sum(1) - np.log(w.sum(1)) - (w * (d - mu[:, None]) ** 2).sum(1))
    weight = np.exp(log_l - log_l.max())
    weight /= weight.sum()
    pull = v * w
    mean = pull * mu[:, None] + (1 - pull) * d
    variance = (1 - pull) * v + pull**2 / w.sum(1)[:, None]
    return weight, mean, variance


@pytest.mark.parametrize("name", NAMES)
def test_sixty_values_of_tau_are_as_good_as_forty_thousand(name: str) -> None:
    contrasts = _contrasts(name)
    weight, mean, variance = _dense(contrasts)
    centre = weight @ mean
    sd = np.sqrt(weight @ (variance + (mean - centre) ** 2))
    stores = _sites(contrasts).integrated
    assert (np.abs(stores.mean - centre) < 0.005 * sd).all()
    np.testing.assert_allclose(stores.sd, sd, rtol=0.005)


def test_intervals_of_stores_hold_the_probability_that_they_say() -> None:
    contrasts = _contrasts("bcg")
    weight, mean, variance = _dense(contrasts)
    stores = _sites(contrasts, 0.9).stores  # and integrated: the ends are the same
    for end, probability in ((stores.lo, 0.05), (stores.hi, 0.95)):
        below = weight @ ndtr((end - mean) / np.sqrt(variance))
        np.testing.assert_allclose(below, probability, atol=0.002)


def test_an_estimate_of_no_spread_is_told_and_does_not_pool_everything() -> None:
    sites = _sites(_contrasts("eight"))
    assert sites.boundary
    assert sites.fit.tau2 == 0
    # metafor's blups are all 7.69 with the same error; the posterior keeps the schools apart.
    assert np.ptp(sites.stores.mean) == pytest.approx(0, abs=1e-9)
    assert np.ptp(sites.integrated.mean) > 5
    assert sites.stores.sd.min() > 1.2 * sites.fit.se
    assert np.ptp(sites.stores.hi) > 5


def test_the_three_means_of_a_chain_are_three_questions() -> None:
    contrasts = _contrasts("bcg")
    shares = np.arange(1.0, len(contrasts) + 1)
    sites = pool_sites(contrasts, shares, 0.95)
    assert sites is not None
    share = shares / shares.sum()
    assert sites.these.effect == pytest.approx(float(share @ contrasts.mean))
    assert sites.these.sd == pytest.approx(math.sqrt(float(share**2 @ contrasts.variance)))
    # metafor's mu and prediction interval hold tau2 for known: the integrated ones are wider.
    theirs = SETS["bcg"]["REML"]
    assert sites.population.effect == pytest.approx(theirs["mu"], abs=0.02)
    assert 1 < sites.population.sd / theirs["se"] < 1.3
    width = theirs["pi"][1] - theirs["pi"][0]
    assert 1 < (sites.new_store.hi - sites.new_store.lo) / width < 1.3
    assert sites.these.sd < sites.population.sd < sites.new_store.sd


def test_a_single_store_keeps_its_own_effect_and_variance() -> None:
    sites = _sites(Measured(np.array([0.2]), np.array([0.04])))
    assert sites.stores.mean[0] == pytest.approx(0.2)
    assert sites.stores.sd[0] == pytest.approx(0.2)
    assert sites.these.sd == pytest.approx(0.2)
    assert sites.fit.hartung_knapp is None
    assert sites.new_store.sd > 0.2


def test_no_effect_is_more_than_sure_to_be_above_zero() -> None:
    random = np.random.default_rng(17)
    for stores in range(2, 30):
        clear = Measured(random.normal(5, 0.3, stores), np.full(stores, 0.01))
        sites = pool_sites(clear, np.ones(stores), 0.95)
        assert sites is not None
        assert sites.probability_above.max() <= 1


def test_a_silent_store_has_the_effect_of_a_new_one() -> None:
    contrasts = Measured(np.array([0.1, 0.3, 0.0]), np.array([0.01, 0.02, np.inf]))
    sites = _sites(contrasts)
    assert sites.stores.mean[2] == sites.fit.mu
    assert sites.integrated.mean[2] == pytest.approx(sites.new_store.effect)
    assert sites.integrated.sd[2] == pytest.approx(sites.new_store.sd)
    assert sites.stores.lo[2] == pytest.approx(sites.new_store.lo)
    assert np.isnan(sites.stores.raw[2])
    assert pool_sites(Measured.zeros(3), np.ones(3), 0.95) is None
    assert pool_sites(Measured.zeros(0), np.ones(0), 0.95) is None


def test_a_store_that_counts_for_nothing_does_not_leave_a_mean_over_nothing() -> None:
    contrasts = Measured(np.array([0.1, 0.3]), np.array([0.01, np.inf]))
    sites = pool_sites(contrasts, np.array([0.0, 1.0]), 0.95)
    assert sites is not None
    assert sites.these.effect == pytest.approx(0.1)


def test_thousands_of_stores_have_the_intervals_of_all_kernels() -> None:
    random = np.random.default_rng(6)
    variance = random.uniform(0.005, 0.2, 1_500)
    contrasts = Measured(random.normal(0.1, np.sqrt(variance + 0.01)), variance)
    many, some = _sites(contrasts), contrasts.take(slice(0, 50))
    kernels = tau_grid(sums_of(contrasts))
    all_kernels = posterior(some.mean, Variances(some.variance[:, None]), kernels, kernels, 0.95)
    width = all_kernels.hi - all_kernels.lo
    assert (np.abs(many.stores.lo[:50] - all_kernels.lo) < 2e-3 * width).all()


def test_contrasts_are_of_both_arms_within_the_store() -> None:
    y, n, y0, n0 = (np.array([one]) for one in (30.0, 500.0, 20.0, 480.0))
    odds = log_odds_ratio(y, n, y0, n0)
    assert odds.mean[0] == pytest.approx(math.log(30.5 * 460.5 / (470.5 * 20.5)))
    assert odds.variance[0] == pytest.approx(1 / 30.5 + 1 / 470.5 + 1 / 20.5 + 1 / 460.5)
    rate = log_rate_ratio(y, n, y0, n0)
    assert rate.mean[0] == pytest.approx(math.log(30.5 / 500 / (20.5 / 480)))
    assert rate.variance[0] == pytest.approx(1 / 30.5 + 1 / 20.5)
    one = ArmMean(np.array([3.0]), np.array([0.1]), n)
    other = ArmMean(np.array([2.0]), np.array([0.2]), n0)
    assert difference(one, other).mean[0] == 1
    assert difference(one, other).variance[0] == pytest.approx(0.3)
    assert log_ratio(one, other).mean[0] == pytest.approx(math.log(1.5))
    assert log_ratio(one, other).variance[0] == pytest.approx(0.1 / 9 + 0.2 / 4)


@pytest.mark.parametrize("make", [log_odds_ratio, log_rate_ratio])
def test_an_arm_without_a_unit_has_no_contrast(make: Any) -> None:
    zero, some = np.zeros(1), np.array([50.0])
    assert make(zero, zero, some / 10, some).variance[0] == np.inf
    assert make(some / 10, some, zero, zero).variance[0] == np.inf
    # An arm without an order has one.
    assert np.isfinite(make(zero, some, some / 10, some).variance[0])


def test_equal_observations_are_not_known_for_sure() -> None:
    one = ArmMean(np.array([3.0, -1.0]), np.array([0.0, 0.1]), np.array([4.0, 4.0]))
    assert (log_ratio(one, one).variance == np.inf).all()
    assert difference(one, one).variance.tolist() == [np.inf, 0.2]


def test_rates_of_arms_are_apart_by_the_shrunk_effect() -> None:
    level = log_odds_level(np.array([100.0, 0.0]), np.array([2000.0, 0.0]))
    rates = rates_of_arms(level, np.array([0.2, 0.1]), np.array([0.9, 0.5]), logit=True)
    odds = np.log(rates.arm / (1 - rates.arm)) - np.log(rates.control / (1 - rates.control))
    np.testing.assert_allclose(odds, [0.2, 0.1])
    common = float(np.log(100.5 / 1900.5))
    assert rates.arm[0] == pytest.approx(float(expit(common + 0.02)))
    assert rates.control[0] == pytest.approx(float(expit(common - 0.18)))
    level = log_rate_level(np.array([100.0]), np.array([2000.0]))
    counts = rates_of_arms(level, np.array([0.2]), np.array([0.5]), logit=False)
    assert float(counts.arm[0] / counts.control[0]) == pytest.approx(math.exp(0.2))
    assert rates_of_arms(Measured.zeros(1), np.zeros(1), np.ones(1), logit=True).arm[0] == 0.5
