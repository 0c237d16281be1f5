import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy.special import betaln

from stream_hb.errors import FitError
from stream_hb.models.beta_binomial import BetaHyper
from stream_hb.models.checks.nodes import GroupPriors
from stream_hb.models.checks.pool import GROUPS_MAX, check_pool
from stream_hb.models.checks.pool_check import RARE, PoolCheck
from stream_hb.models.checks.predicted import sizes
from stream_hb.models.family import Posterior
from stream_hb.models.gamma_poisson import GammaHyper
from stream_hb.models.normal import NormalHyper
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments

Make = Callable[[np.random.Generator, int], Any]

BETA, GAMMA, NORMAL = BetaHyper(0.05, 120, 1e5), GammaHyper(0.5, 8, 1e5), NormalHyper(8, 0.04, 0)
HYPERS = {"beta-binomial": BETA, "gamma-poisson": GAMMA, "normal": NORMAL}


def _sizes(rng: np.random.Generator, count: int) -> Floats:
    return np.rint(np.exp(rng.normal(5, 1, count))) + 1


def _counts(rng: np.random.Generator, count: int, factor: float | Floats = 1.0) -> Counts:
    n = _sizes(rng, count)
    theta = rng.beta(BETA.mean * 120, (1 - BETA.mean) * 120, count) * factor
    return Counts(rng.binomial(n.astype(int), theta).astype(float), n)


def _exposure(rng: np.random.Generator, count: int, factor: float | Floats = 1.0) -> Exposure:
    t = _sizes(rng, count) / 20
    theta = rng.gamma(8, 0.5 / 8, count) * factor
    return Exposure(rng.poisson(t * theta).astype(float), t)


def _measured(rng: np.random.Generator, count: int, shift: float | Floats = 0.0) -> Measured:
    v = 0.5 / _sizes(rng, count)
    return Measured(8 + shift + np.sqrt(0.04 + v) * rng.standard_normal(count), v)


MAKES: dict[str, Make] = {"beta-binomial": _counts, "gamma-poisson": _exposure, "normal": _measured}
FITTED = {**FAMILIES, "normal": FAMILIES["normal-known-variance"]}


def _p_values(check: PoolCheck) -> dict[str, float]:
    found = {name: getattr(check, name).p_above for name in ("variance", "largest", "shape")}
    return {**found, "covariates": check.covariates[0].p_value}


@pytest.mark.parametrize("family", HYPERS)
def test_under_the_true_model_every_p_value_is_uniform(family: str) -> None:
    rng = np.random.default_rng(11)
    found: dict[str, list[float]] = {}
    for _ in range(300):
        groups = MAKES[family](rng, 20)
        known = rng.standard_normal((20, 3))
        check = check_pool(family, groups, HYPERS[family], rng, known, ["a", "b", "c"])
        for name, p in _p_values(check).items():
            found.setdefault(name, []).append(p)
    steps = np.arange(1, 301) / 300
    for name, values in found.items():
        distance = np.abs(np.sort(values) - steps + 0.5 / 300).max()
        assert distance < 1.63 / math.sqrt(300), f"{name}: {distance:.3f}, 1 % point of Kolmogorov"


@pytest.mark.parametrize("family", HYPERS)
def test_with_fitted_hyperparameters_the_variance_is_matched_and_warnings_are_rare(
    family: str,
) -> None:
    rng = np.random.default_rng(12)
    p_values, warned = [], 0
    for _ in range(100):
        groups = MAKES[family](rng, 30)
        hyper = FITTED[family].fit(groups, "ml").hyper
        known = rng.standard_normal((30, 3))
        check = check_pool(family, groups, hyper, rng, known, ["a", "b", "c"])
        p_values.append(check.variance.p_value)
        warned += bool(check.warnings())
    assert np.median(p_values) > 0.6, "conservative: the fit has seen the variance"
    # One covariate check at 1 %, and others that need 3 sd besides.
    assert warned <= 6, f"{warned} of 100 right pools warned of"


@pytest.mark.parametrize("family", HYPERS)
def test_two_regions_are_found_and_named(family: str) -> None:
    rng = np.random.default_rng(13)
    north = np.repeat([0.0, 1.0], 30)
    away = 0.5 * north if family == "normal" else 1 + 1.5 * north
    makes: dict[str, Any] = {
        "beta-binomial": _counts,
        "gamma-poisson": _exposure,
        "normal": _measured,
    }
    groups = makes[family](rng, 60, away)
    known = np.column_stack([rng.standard_normal((60, 4)), north])
    hyper = FITTED[family].fit(groups, "ml").hyper
    check = check_pool(family, groups, hyper, rng, known, ["a", "b", "c", "d", "north"])
    first = check.covariates[0]
    assert (first.name, check.exchangeable) == ("north", False)
    assert first.p_value <= RARE < check.covariates[1].p_value
    assert first.share > 0.2
    assert any("north explains" in line for line in check.warnings())


NARROW = {
    "beta-binomial": BetaHyper(0.05, 1e5, 1e5),
    "gamma-poisson": GammaHyper(0.5, 1e4, 1e5),
    "normal": NormalHyper(8, 0.0, 0),
}
WIDE = {
    "beta-binomial": BetaHyper(0.05, 5, 1e5),
    "gamma-poisson": GammaHyper(0.5, 0.5, 1e5),
    "normal": NormalHyper(8, 0.8, 0),
}


@pytest.mark.parametrize("family", HYPERS)
def test_a_prior_too_narrow_is_over_pooled_and_one_too_wide_under_pooled(family: str) -> None:
    rng = np.random.default_rng(14)
    groups = MAKES[family](rng, 60)
    over = check_pool(family, groups, NARROW[family], rng)
    under = check_pool(family, groups, WIDE[family], rng)
    assert over.variance.too_large
    assert any(line.startswith("over-pooled") for line in over.warnings())
    assert under.variance.too_small
    assert any(line.startswith("under-pooled") for line in under.warnings())


def test_one_group_of_another_kind_is_an_outlier() -> None:
    rng = np.random.default_rng(15)
    groups = _counts(rng, 100)
    groups.successes[7], groups.trials[7] = 600.0, 1000.0
    check = check_pool("beta-binomial", groups, BETA, rng)
    assert check.largest.too_large
    assert not check.exchangeable
    assert any(line.startswith("an outlier") for line in check.warnings())


def test_two_kinds_without_a_name_show_in_the_shape() -> None:
    rng = np.random.default_rng(16)
    kind = np.repeat([-1.0, 1.0], 100)
    groups = Measured(8 + kind + 0.1 * rng.standard_normal(200), np.full(200, 0.01))
    hyper = FITTED["normal"].fit(groups, "reml").hyper
    check = check_pool("normal", groups, hyper, rng)
    assert check.shape.too_large
    assert not check.variance.too_large
    assert any("not distributed" in line for line in check.warnings())


def test_closed_stores_are_more_zeros_than_predicted() -> None:
    rng = np.random.default_rng(17)
    groups = _counts(rng, 200)
    groups.successes[:60] = 0.0
    check = check_pool("beta-binomial", groups, BETA, rng)
    assert check.zeros is not None
    assert check.zeros.too_large
    assert any(line.startswith("more groups without") for line in check.warnings())
    assert check_pool("normal", _measured(rng, 9), NORMAL, rng).zeros is None


def test_predicted_share_of_zeros_is_that_of_the_beta_binomial() -> None:
    rng = np.random.default_rng(18)
    groups = _counts(rng, 100)
    zeros = check_pool("beta-binomial", groups, BETA, rng).zeros
    a, b = BETA.mean * 120, (1 - BETA.mean) * 120
    expected = np.exp(betaln(a, b + groups.trials) - betaln(a, b)).mean()
    assert zeros is not None
    assert abs(zeros.predicted - expected) < 4 * zeros.predicted_sd / math.sqrt(999)


def test_predicted_variance_is_the_marginal_one() -> None:
    rng = np.random.default_rng(19)
    for family, variance in (
        ("beta-binomial", 0.05 * 0.95 / 121 * (1 + 120 / 50)),
        ("gamma-poisson", 0.5 / 50 + 0.25 / 8),
        ("normal", 0.04 + 1 / 50),
    ):
        n, y = np.full(40, 50.0), np.full(40, 3.0)
        groups = {
            "beta-binomial": Counts(y, n),
            "gamma-poisson": Exposure(y, n),
            "normal": Measured(8 + y, 1 / n),
        }[family]
        check = check_pool(family, groups, HYPERS[family], rng).variance
        assert abs(check.predicted - variance) < 4 * check.predicted_sd / math.sqrt(999), family
        assert check.observed == pytest.approx(0, abs=1e-20)


def test_the_largest_deviation_is_in_sds_of_the_prediction() -> None:
    n = np.array([50.0, 400.0])
    y = np.array([10.0, 12.0])
    for family, groups, away in (
        ("beta-binomial", Counts(y, n), 0.15 / math.sqrt(0.05 * 0.95 / 121 * (1 + 120 / 50))),
        ("gamma-poisson", Exposure(y, n), 0.47 / math.sqrt(0.5 / 400 + 0.25 / 8)),
        ("normal", Measured(y, 1 / n), 4 / math.sqrt(0.04 + 1 / 400)),
    ):
        check = check_pool(family, groups, HYPERS[family], np.random.default_rng(1)).largest
        assert check.observed == pytest.approx(away, rel=1e-12), family


@dataclass(frozen=True)
class _Nodes:
    location: Floats
    concentration: Floats
    weight: Floats


def test_nodes_of_an_integrated_fit_widen_the_prediction() -> None:
    groups = Counts(np.full(10, 50.0), np.full(10, 1000.0))
    nodes = _Nodes(np.array([[0.05, 0.05]]), np.array([[20.0, 2000.0]]), np.array([[0.5, 0.5]]))
    mixed = check_pool("beta-binomial", groups, nodes, np.random.default_rng(20)).variance
    means = [0.05 * 0.95 / (k + 1) * (1 + k / 1000) for k in (20.0, 2000.0)]
    error = mixed.predicted_sd / math.sqrt(999)
    assert abs(mixed.predicted - sum(means) / 2) < 4 * error
    assert mixed.predicted_sd > (means[0] - means[1]) / 2


@pytest.mark.parametrize("family", HYPERS)
def test_each_groups_own_prior_explains_what_the_pools_cannot(family: str) -> None:
    rng = np.random.default_rng(27)
    north = np.repeat([0.0, 1.0], 40)
    factor = 1 + 2 * north
    regions: dict[str, Any] = {
        "beta-binomial": _counts(rng, 80, factor),
        "gamma-poisson": _exposure(rng, 80, factor),
        "normal": _measured(rng, 80, factor),
    }
    groups = regions[family]
    model, rows = FITTED[family], (north == 0, north == 1)
    fits = [
        model.posterior(part, model.fit(part, "ml").hyper, 0.95)
        for part in (groups.take(row) for row in rows)
    ]
    both = Posterior(
        *(np.concatenate([getattr(fit, name) for fit in fits]) for name in Posterior.__slots__)
    )
    priors = GroupPriors.of(family, sizes(family, groups), both)
    check = check_pool(family, groups, priors, rng, north[:, None], ["north"])
    assert check.warnings() == ()
    assert check.covariates[0].share < 0.05
    assert not check_pool(
        family, groups, model.fit(groups, "ml").hyper, rng, north[:, None], ["north"]
    ).exchangeable


@pytest.mark.parametrize("family", HYPERS)
def test_own_priors_that_are_all_the_pools_are_the_pools(family: str) -> None:
    groups = MAKES[family](np.random.default_rng(28), 20)
    posterior = FITTED[family].posterior(groups, HYPERS[family], 0.95)
    priors = GroupPriors.of(family, sizes(family, groups), posterior)
    ours, pools = (
        check_pool(family, groups, hyper, np.random.default_rng(1)).variance
        for hyper in (priors, HYPERS[family])
    )
    assert ours.observed == pytest.approx(pools.observed, rel=1e-9)
    assert abs(ours.predicted - pools.predicted) < 5 * ours.predicted_sd / math.sqrt(999)


def test_own_priors_of_groups_that_do_not_differ_have_no_spread() -> None:
    groups = Measured(np.array([3.0, 4.0, 0.0]), np.array([1.0, 2.0, np.inf]))
    posterior = FITTED["normal"].posterior(groups, NormalHyper(3.0, 0.0, 0.1), 0.95)
    priors = GroupPriors.of("normal", 1 / groups.variance, posterior)
    np.testing.assert_array_equal(priors.concentration, np.zeros(3))


def test_observations_are_checked_as_their_means() -> None:
    rng = np.random.default_rng(21)
    moments = Moments(np.full(12, 5.0), 8 + 0.2 * rng.standard_normal(12), np.full(12, 1.6))
    hyper = NormalHyper(8, 0.04, 0.1, sigma2=0.4)
    of_moments = check_pool("normal", moments, hyper, np.random.default_rng(1))
    measured = Measured(moments.mean, np.full(12, 0.08))
    assert of_moments == check_pool("normal", measured, hyper, np.random.default_rng(1))
    with pytest.raises(FitError, match="sigma2"):
        check_pool("normal", moments, NORMAL, rng)


@pytest.mark.parametrize("name", ["normal", "normal-moderated", "normal-separate"])
@pytest.mark.parametrize("method", ["reml", "bayes"])
def test_means_of_few_observations_raise_no_alarm_under_any_variance_model(
    name: str, method: str
) -> None:
    rng = np.random.default_rng(29)
    theta = 8 + 0.3 * rng.standard_normal(40)
    rows = np.repeat(np.arange(40), 4)
    groups = Moments.of(rows, theta[rows] + 0.7 * rng.standard_normal(160), 40)
    hyper = FAMILIES[name].fit(groups, method).hyper
    assert check_pool("normal", groups, hyper, rng).warnings() == ()
    groups.mean[:20] += 3.0
    hyper = FAMILIES[name].fit(groups, method).hyper
    known = (np.arange(40) < 20).astype(np.float64)[:, None]
    lines = check_pool("normal", groups, hyper, rng, known, ["north"]).warnings()
    assert any("north explains" in line for line in lines)


def test_a_large_pool_is_sampled_and_the_generator_is_the_only_chance() -> None:
    groups = _counts(np.random.default_rng(22), 5_000)
    known = np.arange(5_000.0)[:, None]
    first, again = (
        check_pool("beta-binomial", groups, BETA, np.random.default_rng(3), known, ["row"])
        for _ in range(2)
    )
    assert first == again
    assert (first.groups_count, first.draws) == (GROUPS_MAX, 99)
    assert first.covariates[0].share < 0.02


@pytest.mark.parametrize("family", HYPERS)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_groups_and_boundaries_raise_no_alarm(family: str, count: int) -> None:
    rng = np.random.default_rng(23)
    groups = MAKES[family](rng, count).concatenate(type(MAKES[family](rng, 1)).zeros(2))
    known = np.ones((count + 2, 1))
    check = check_pool(family, groups, HYPERS[family], rng, known, ["constant"])
    assert (check.groups_count, check.warnings()) == (count, ())


def test_a_pool_without_any_success_is_as_predicted() -> None:
    rng = np.random.default_rng(24)
    n = np.full(5, 100.0)
    for family, groups, hyper in (
        ("beta-binomial", Counts(np.zeros(5), n), BetaHyper(0.0, math.inf, 500)),
        ("beta-binomial", Counts(n, n), BetaHyper(1.0, math.inf, 500)),
        ("gamma-poisson", Exposure(np.zeros(5), n), GammaHyper(0.0, math.inf, 500)),
    ):
        assert check_pool(family, groups, hyper, rng).warnings() == ()


def test_means_that_are_all_equal_vary_too_little_but_are_exchangeable() -> None:
    groups = Measured(np.full(9, 3.0), np.full(9, 0.01))
    hyper = NormalHyper(3.0, 0.0, 0.0)
    check = check_pool("normal", groups, hyper, np.random.default_rng(26))
    assert (check.variance.too_small, check.exchangeable) == (True, True)


def test_what_does_not_fit_is_refused() -> None:
    rng = np.random.default_rng(25)
    groups = _counts(rng, 4)
    with pytest.raises(FitError, match="no checks for family"):
        check_pool("beta", groups, BETA, rng)
    with pytest.raises(FitError, match="no group has data"):
        check_pool("beta-binomial", Counts.zeros(3), BETA, rng)
    with pytest.raises(FitError, match=r"expected covariates of shape \(4, 1\), got \(3, 1\)"):
        check_pool("beta-binomial", groups, BETA, rng, np.zeros((3, 1)), ["a"])
    with pytest.raises(FitError, match="NaN"):
        check_pool("beta-binomial", groups, BETA, rng, np.full((4, 1), np.nan), ["a"])
    with pytest.raises(FitError, match="cannot check a pool by str"):
        check_pool("beta-binomial", groups, "hyper", rng)
