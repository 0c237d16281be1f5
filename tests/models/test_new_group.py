"""A group never seen is as unsure as the prior: by all of the spread, and by the location's sd."""

from typing import Any

import numpy as np
import pytest

from stream_hb.models.beta_binomial import BetaBinomial
from stream_hb.models.covariates.registry import COVARIATE_FAMILIES
from stream_hb.models.described import Described
from stream_hb.models.gamma_poisson import GammaPoisson
from stream_hb.models.nested.registry import NESTED_FAMILIES
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from tests.models.covariates.pools import pool

NORMALS = ("normal", "normal-known-variance", "normal-moderated", "normal-separate")


def total(mean: Floats, variance: Floats, weight: Floats) -> tuple[float, float]:
    """Return mean and sd of a mixture, by the law of total variance."""
    share = weight / weight.sum()
    centre = float((share * mean).sum())
    return centre, float(np.sqrt((share * (variance + (mean - centre) ** 2)).sum()))


def groups_of(name: str) -> Any:
    return pool(name.removesuffix("-moderated").removesuffix("-separate"), 20, seed=7)


def assert_predicts(new: Any, expected: tuple[float, float], rel: float) -> None:
    assert new.mean[0] == pytest.approx(expected[0], rel=rel)
    assert new.sd[0] == pytest.approx(expected[1], rel=rel)
    assert new.lo[0] < expected[0] - 0.5 * expected[1]
    assert new.hi[0] > expected[0] + 0.9 * expected[1]


@pytest.mark.parametrize("name", NORMALS)
def test_of_means_it_has_the_spread_and_the_locations_variance(name: str) -> None:
    family: Any = FAMILIES[name]
    groups = groups_of(name).groups
    point = family.fit(groups, "reml").hyper
    expected = point.mu, float(np.hypot(np.sqrt(point.tau2), point.se_mu))
    assert point.se_mu > 0.1  # three quarters of a spread over √20: it is not to be forgotten
    assert_predicts(family.new_group(point, 0.95), expected, 1e-12)
    nodes = family.fit(groups, "bayes").hyper.kernels()
    mixed = total(nodes.mu, nodes.tau**2 + nodes.mu_sd**2, nodes.weight)
    new = family.new_group(family.fit(groups, "bayes").hyper, 0.95)
    assert_predicts(new, mixed, 1e-9)


@pytest.mark.parametrize("name", ["normal", "normal-known-variance"])
@pytest.mark.parametrize("method", ["reml", "bayes"])
def test_of_means_with_covariates_it_has_both_too(name: str, method: str) -> None:
    """At the average covariates the location is the intercept of the centred design."""
    family = COVARIATE_FAMILIES[name]
    hyper = family.fit(groups_of(name), method).hyper
    variance = hyper.tau2 + hyper.covariance[:, 0, 0]
    expected = total(hyper.beta[:, 0], variance, hyper.weight[:, 0])
    assert_predicts(family.new_group(hyper, 0.95), expected, 1e-9)


def test_of_rates_it_is_the_mixture_of_the_nodes_priors() -> None:
    groups = groups_of("beta-binomial").groups
    hyper = BetaBinomial().fit(groups, "bayes").hyper
    m, c = hyper.location, hyper.concentration
    expected = total(m, m * (1 - m) / (c + 1), hyper.weight)
    assert_predicts(BetaBinomial().new_group(hyper, 0.95), expected, 1e-9)


def test_of_events_it_is_the_mixture_of_the_nodes_priors() -> None:
    groups = groups_of("gamma-poisson").groups
    hyper: Any = GammaPoisson().fit(groups, "bayes").hyper
    expected = total(hyper.location, hyper.location**2 / hyper.concentration, hyper.weight)
    assert_predicts(GammaPoisson().new_group(hyper, 0.95), expected, 1e-9)


@pytest.mark.parametrize("name", ["beta-binomial", "gamma-poisson"])
def test_of_counts_with_covariates_it_has_the_priors_variance(name: str) -> None:
    family = COVARIATE_FAMILIES[name]
    hyper = family.fit(groups_of(name), "bayes").hyper
    c = np.broadcast_to(hyper.concentration, hyper.weight.shape)
    if name == "beta-binomial":
        mean = 1 / (1 + np.exp(-hyper.location))
        variance = mean * (1 - mean) / (c + 1)
    else:
        mean = np.exp(hyper.location)
        variance = mean**2 / c
    expected = total(mean, variance, hyper.weight)
    new = family.new_group(hyper, 0.95)
    assert new.mean[0] == pytest.approx(expected[0], rel=1e-9)
    assert new.sd[0] == pytest.approx(expected[1], rel=1e-9)


@pytest.mark.parametrize(
    ("name", "spread", "variance"),
    [
        ("beta-binomial", {"concentration": 20.0}, 0.3 * 0.7 / 21),
        ("gamma-poisson", {"shape": 20.0}, 0.3**2 / 20),
    ],
)
def test_in_regions_that_do_not_differ_it_has_the_spread_of_the_stores(
    name: str, spread: dict[str, float], variance: float
) -> None:
    family = NESTED_FAMILIES[name]
    hyper = family.condition({"mean": 0.3, "tau_region": 1e-6, **spread})
    assert_predicts(family.new_group(hyper, 0.95), (0.3, float(np.sqrt(variance))), 1e-6)


@pytest.mark.parametrize("name", ["beta-binomial", "gamma-poisson"])
def test_in_regions_at_the_boundary_it_is_a_number(name: str) -> None:
    kind: Any = {"beta-binomial": Counts, "gamma-poisson": Exposure}[name]
    alike = kind(np.array([8.0, 65.0]), np.array([14.0, 140.0]))
    family = NESTED_FAMILIES[name]
    fit = family.fit(Described.of(alike, regions=np.arange(2)), "ml")
    assert fit.boundary
    assert np.isfinite(family.new_group(fit.hyper, 0.95).mean).all()
