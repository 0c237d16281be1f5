"""Covariates in the prior mean against metafor, lme4, MASS and VGAM."""

import math
from typing import Any

import numpy as np
import pytest

from stream_hb.models.covariates.normal import (
    CovariateNormalFromObservations,
    CovariateNormalKnownVariance,
)
from stream_hb.models.covariates.registry import COVARIATE_FAMILIES
from stream_hb.models.described import Described
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments
from tests.oracles.reading import oracle

METAFOR = oracle("covariates_metafor")["cases"]
LME4 = oracle("covariates_lme4")["cases"]
COUNTS = oracle("covariates_counts")


def _columns(data: dict[str, Any], *names: str) -> list[Floats]:
    return [np.array(data[name], dtype=np.float64) for name in names]


def _slopes(parameters: dict[str, float], count: int) -> list[float]:
    return [parameters[name] for name in ("intercept", *(f"beta_{i + 1}" for i in range(count)))]


@pytest.mark.parametrize("method", ["moments", "dl", "pm", "ml", "reml"])
@pytest.mark.parametrize("name", sorted(METAFOR))
def test_every_method_agrees_with_metafors_meta_regression(name: str, method: str) -> None:
    case = METAFOR[name]
    y, v, x = _columns(case["data"], "y", "v", "x")
    groups = Described.of(Measured(y, v), x)
    expected = case["values"][method]
    family = CovariateNormalKnownVariance()
    fit = family.fit(groups, method)
    rtol = 1e-9 if method in ("moments", "dl") else 1e-6
    ours = family.parameters(fit.hyper)
    assert ours["tau2"] == pytest.approx(expected["tau2"], rel=rtol, abs=1e-9)
    assert _slopes(ours, x.shape[1]) == pytest.approx(expected["beta"], rel=rtol)
    se = [ours["se_intercept"], *(ours[f"se_beta_{i + 1}"] for i in range(x.shape[1]))]
    assert se == pytest.approx(expected["se"], rel=rtol)
    likelihood = expected["logLik_REML" if method == "reml" else "logLik_ML"]
    assert fit.log_likelihood == pytest.approx(likelihood, abs=1e-8)
    assert fit.boundary == (expected["tau2"] < 1e-9)
    posterior = family.posterior(groups, fit.hyper, 0.95)
    np.testing.assert_allclose(posterior.mean, expected["blup"], rtol=rtol, atol=1e-12)
    np.testing.assert_allclose(posterior.sd, expected["blup_se"], rtol=max(rtol, 1e-8))


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("name", sorted(LME4))
def test_the_joint_fit_of_both_variances_agrees_with_lme4(name: str, method: str) -> None:
    case = LME4[name]
    n, mean, m2, x = _columns(case["data"], "n", "mean", "m2", "x")
    groups = Described.of(Moments(n, mean, m2), x)
    expected = case["values"][method]
    family = CovariateNormalFromObservations()
    fit = family.fit(groups, method)
    ours = family.parameters(fit.hyper)
    assert math.sqrt(ours["tau2"]) == pytest.approx(expected["tau"], rel=1e-5, abs=1e-5)
    assert math.sqrt(ours["sigma2"]) == pytest.approx(expected["sigma"], rel=1e-5)
    assert _slopes(ours, x.shape[1]) == pytest.approx(expected["beta"], rel=1e-5)
    assert fit.log_likelihood == pytest.approx(expected["logLik"], abs=1e-6)
    posterior = family.posterior(groups, fit.hyper, 0.95)
    np.testing.assert_allclose(posterior.mean, expected["coef"], rtol=1e-5)


@pytest.mark.parametrize("name", sorted(COUNTS["negative_binomial"]))
def test_gamma_poisson_is_masss_negative_binomial_regression(name: str) -> None:
    case = COUNTS["negative_binomial"][name]
    y, t, x = _columns(case["data"], "y", "t", "x")
    expected, family = case["values"], COVARIATE_FAMILIES["gamma-poisson"]
    fit = family.fit(Described.of(Exposure(y, t), x), "ml")
    ours = family.parameters(fit.hyper)
    assert _slopes(ours, x.shape[1]) == pytest.approx(expected["beta"], rel=1e-6)
    # glm.nb alternates and stops on its own tolerance.
    assert ours["shape"] == pytest.approx(expected["theta"], rel=1e-5)
    assert fit.log_likelihood == pytest.approx(expected["logLik"], abs=1e-7)


@pytest.mark.parametrize("name", sorted(COUNTS["beta_binomial"]))
def test_beta_binomial_is_vgams_with_a_constant_rho(name: str) -> None:
    case = COUNTS["beta_binomial"][name]
    y, n, x = _columns(case["data"], "y", "n", "x")
    expected, family = case["values"], COVARIATE_FAMILIES["beta-binomial"]
    fit = family.fit(Described.of(Counts(y, n), x), "ml")
    ours = family.parameters(fit.hyper)
    assert _slopes(ours, x.shape[1]) == pytest.approx(expected["beta"], rel=1e-5)
    assert ours["concentration"] == pytest.approx(expected["kappa"], rel=1e-4)
    assert fit.log_likelihood == pytest.approx(expected["logLik"], abs=1e-7)
