"""Full Bayes for counts against JAGS and dense quadrature, each with its own hyperprior.

A part of every list of answers is held out: compare by what is there. The quadratures' grids end
where the density is 1e-4 of its top (``edge_density_ratio``), so their digits do too.
"""

from typing import Any

import numpy as np
import pytest

from stream_hb.models.beta_binomial import BetaBinomial
from stream_hb.models.family import Fit, Posterior
from stream_hb.models.gamma_poisson import GammaPoisson
from stream_hb.models.hyperprior import BDA, JointPrior
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from tests.oracles.reading import oracle

COLUMNS = {
    "rat_tumor": ("y", "n"),
    "bball2006": ("hits", "at_bats"),
    "efron_morris": ("Hits", "AB"),
    "surgical": ("r", "n"),
    "pumps": ("x", "t"),
}
BUGS_PUMPS = JointPrior(lambda shape, rate: -shape - 0.9 * np.log(rate) - rate)
"""shape ~ Exponential(1), rate ~ Gamma(0.1, 1)."""


class Case:
    def __init__(self, name: str, is_audit: bool) -> None:
        content = oracle(name)
        total, size = (np.array(content["data"][c], dtype=float) for c in COLUMNS[name])
        family: Any = GammaPoisson() if name == "pumps" else BetaBinomial()
        groups: Any = Exposure(total, size) if name == "pumps" else Counts(total, size)
        prior = BUGS_PUMPS if name == "pumps" else BDA
        self.fit: Fit[Any] = (
            family.audit(groups, prior) if is_audit else family.fit(groups, "bayes", prior)
        )
        self.posterior: Posterior = family.posterior(groups, self.fit.hyper, 0.95)
        self.parameters = family.parameters(self.fit.hyper)
        self.uncertainty = family.uncertainty(self.fit.hyper, 0.95)
        self.quadrature = content["oracle"]["quadrature"]["values"]
        jags = content["oracle"].get("jags", {}).get("values", {})
        self.jags = jags.get("beta_binomial_bda", jags)
        self.error_max = 3.5e-3 if is_audit else 5e-3


@pytest.fixture(
    params=[(name, audit) for name in COLUMNS for audit in (False, True)],
    ids=lambda p: f"{p[0]}-{'audit' if p[1] else 'streaming'}",
    scope="module",
)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def test_estimates_are_those_of_dense_quadrature(case: Case) -> None:
    rows = [i for i, theta in enumerate(case.quadrature["theta"]) if theta]
    theirs = [case.quadrature["theta"][i] for i in rows]
    mean, sd = ([theta[key] for theta in theirs] for key in ("mean", "sd"))
    np.testing.assert_allclose(case.posterior.mean[rows], mean, rtol=3e-4)
    np.testing.assert_allclose(case.posterior.sd[rows], sd, rtol=2e-3)


def test_interval_ends_are_those_of_dense_quadrature(case: Case) -> None:
    """Within 0.5 % of the width (streaming) and 0.35 % (audit)."""
    rows = [i for i, theta in enumerate(case.quadrature["theta"]) if theta]
    quantiles = np.array([case.quadrature["theta"][i]["q"] for i in rows])
    width = quantiles[:, 4] - quantiles[:, 0]
    limit = max(case.error_max, 3.5e-3)
    for ours, theirs in (
        (case.posterior.lo, quantiles[:, 0]),
        (case.posterior.hi, quantiles[:, 4]),
    ):
        assert (np.abs(ours[rows] - theirs) / width).max() < limit


def test_estimates_are_within_five_monte_carlo_errors_of_jags(case: Case) -> None:
    if not case.jags:
        pytest.skip("no JAGS run of this file")
    compared = 0
    for i, ours in enumerate(case.posterior.mean):
        theirs = case.jags.get(f"theta[{i + 1}]") or case.jags.get(f"p[{i + 1}]")
        if theirs and theirs.get("mean") is not None:
            assert abs(ours - theirs["mean"]) < 5 * theirs["mcse_mean"], i
            compared += 1
    assert compared > 0


def test_hyperparameters_are_those_of_dense_quadrature(case: Case) -> None:
    theirs = case.quadrature.get("log_kappa")
    if theirs is None or theirs["sd"] > 2:
        pytest.skip("no log concentration, or one whose upper tail the oracle's grid cuts off")
    assert case.parameters["log_concentration"] == pytest.approx(theirs["mean"], abs=5e-4)
    sd, lo, hi = case.uncertainty["log_concentration"]
    assert sd == pytest.approx(theirs["sd"], rel=3e-3)
    assert lo < case.parameters["log_concentration"] < hi
    mean = case.quadrature["mean"]
    assert case.parameters["mean"] == pytest.approx(mean["mean"], rel=1e-4)
    assert case.uncertainty["mean"][0] == pytest.approx(mean["sd"], rel=5e-3)


def test_the_rate_of_pumps_has_the_interval_of_dense_quadrature() -> None:
    case = Case("pumps", is_audit=True)
    lo, hi = case.uncertainty["mean"][1:]
    quantiles = case.quadrature["mean_rate"]["q"]
    width = quantiles[4] - quantiles[0]
    assert abs(lo - quantiles[0]) < 0.02 * width
    assert abs(hi - quantiles[4]) < 0.02 * width
