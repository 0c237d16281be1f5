"""Normal-Normal from observations against lme4's ``y ~ 1 + (1 | group)``."""

import math

import numpy as np
import pytest

from stream_hb.models.normal import NormalFromObservations
from stream_hb.statistics.moments import Moments
from tests.oracles.reading import assert_agree, oracle

FAMILY = NormalFromObservations()


def _dyestuff(name: str) -> Moments:
    data = oracle(name)["data"]
    batches = sorted(set(data["Batch"]))
    rows = np.array([batches.index(batch) for batch in data["Batch"]])
    return Moments.of(rows, np.array(data["Yield"], dtype=float), len(batches))


def _orders() -> Moments:
    data = oracle("orders_lognormal")["data"]
    n, total, squares = (np.array(data[c], float) for c in ("n", "sum_log", "sum_log2"))
    return Moments(n, total / n, squares - total**2 / n)


def test_orders_lognormal_agree_with_lme4() -> None:
    groups, expected = _orders(), oracle("orders_lognormal")["oracle"]["lme4"]["values"]["REML"]
    fit = FAMILY.fit(groups, "reml")
    assert fit.hyper.mu == pytest.approx(expected["mu"], rel=1e-6)
    assert fit.hyper.se_mu == pytest.approx(expected["se_mu"], rel=1e-6)
    assert math.sqrt(fit.hyper.tau2) == pytest.approx(expected["tau"], rel=1e-5)
    assert math.sqrt(fit.hyper.sigma2 or 0) == pytest.approx(expected["sigma"], rel=1e-5)
    assert fit.log_likelihood == pytest.approx(expected["logLik"], abs=1e-6)
    ours = FAMILY.posterior(groups, fit.hyper, 0.95).mean
    assert_agree(ours, expected["theta"], 1e-6, "theta")


def test_a_plugged_in_pooled_variance_would_miss_lme4s_spread() -> None:
    """The joint fit is the point: with σ² pooled first, τ is off by 2e-5."""
    groups, expected = _orders(), oracle("orders_lognormal")["oracle"]["lme4"]["values"]["REML"]
    plugged = math.sqrt(FAMILY.fit(groups, "pm").hyper.tau2)
    assert plugged != pytest.approx(expected["tau"], rel=1e-5)


@pytest.mark.parametrize("name", ["dyestuff", "dyestuff2"])
def test_dyestuffs_agree_with_lme4(name: str) -> None:
    groups, expected = _dyestuff(name), oracle(name)["oracle"]["lme4"]["values"]["REML"]
    fit = FAMILY.fit(groups, "reml")
    tau = {entry["grp"]: entry["sdcor"] for entry in expected["VarCorr"]}
    assert fit.hyper.mu == pytest.approx(expected["fixef"]["(Intercept)"], rel=1e-9)
    assert fit.hyper.se_mu == pytest.approx(expected["fixef_se"]["(Intercept)"], rel=1e-6)
    assert math.sqrt(fit.hyper.tau2) == pytest.approx(tau["Batch"], rel=1e-5)
    assert math.sqrt(fit.hyper.sigma2 or 0) == pytest.approx(expected["sigma"], rel=1e-5)
    assert fit.log_likelihood == pytest.approx(expected["logLik"], abs=1e-6)
    assert fit.boundary == expected["singular"]
    theta = [entry["(Intercept)"] for entry in expected["coef"]["Batch"]]
    ours = FAMILY.posterior(groups, fit.hyper, 0.95).mean
    assert_agree(ours, theta, 1e-6, "coef")


def test_dyestuff2_has_no_spread_between_batches() -> None:
    fit = FAMILY.fit(_dyestuff("dyestuff2"), "reml")
    assert fit.hyper.tau2 == 0
    assert fit.boundary
    posterior = FAMILY.posterior(_dyestuff("dyestuff2"), fit.hyper, 0.95)
    np.testing.assert_allclose(posterior.sd, fit.hyper.se_mu)
    assert (posterior.weight == 1).all()
