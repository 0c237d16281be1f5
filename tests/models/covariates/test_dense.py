"""Full Bayes with a covariate against dense integration."""

from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr

from stream_hb.models.covariates.registry import COVARIATE_FAMILIES
from stream_hb.models.described import Described
from stream_hb.models.hyperprior import DEFAULT, HalfNormal, Hyperprior, Uniform
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments
from tests.models.covariates.pools import pool
from tests.oracles.reading import oracle
from tests.reference.covariate_posterior import Pool, _log_density

CASES = oracle("covariates_dense")["cases"]


def _name(case: dict[str, Any]) -> str:
    return f"{case['data']['kind']}-{len(case['data']['y'])}"


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_counts_agree_with_a_dense_grid_over_all_three_hyperparameters(
    case: dict[str, Any],
) -> None:
    data, values = case["data"], case["values"]
    y, size, z = (np.array(data[name]) for name in ("y", "size", "z"))
    groups = (Counts if data["kind"] == "beta-binomial" else Exposure)(y, size)
    described, family = Described.of(groups, z[:, np.newaxis]), COVARIATE_FAMILIES[data["kind"]]
    fit = family.fit(described, "bayes")
    posterior = family.posterior(described, fit.hyper, 0.95)
    lo, hi, mean = (np.array(values[name]) for name in ("lo", "hi", "mean"))
    # One kernel per spread is what errs: 1.4 % of the width with 5 groups, .4 % with 20.
    share = 0.005 if len(y) >= 20 else 0.015
    for ours, theirs in ((posterior.lo, lo), (posterior.hi, hi)):
        assert (np.abs(ours - theirs) <= share * (hi - lo)).all()
    assert (np.abs(posterior.mean - mean) <= 0.002 * (hi - lo)).all()
    parameters = family.parameters(fit.hyper)
    sd, *_ = family.uncertainty(fit.hyper, 0.95)["beta_1"]
    assert parameters["beta_1"] == pytest.approx(values["slope"], abs=0.005 * sd)
    log_concentration = "log_concentration" if "log_concentration" in parameters else "log_shape"
    assert parameters[log_concentration] == pytest.approx(values["log_concentration"], abs=0.005)
    assert fit.log_likelihood == pytest.approx(values["log_evidence"], abs=0.005)


def test_the_stored_values_are_of_the_reference_in_the_tree() -> None:
    """A coarser grid of the reference's own density has the stored evidence to a few percent."""
    case = CASES[1]
    data = case["data"]
    kept = Pool(data["kind"], *(np.array(data[name]) for name in ("y", "size", "z")))
    b0, b1, log_s = np.meshgrid(
        np.linspace(-3, -1, 31), np.linspace(-0.4, 1.6, 31), np.linspace(-7, 0.7, 40), indexing="ij"
    )
    value, _ = _log_density(kept, b0, b1, log_s)
    step = (2 / 30) * (2 / 30) * (7.7 / 39)
    evidence = float(np.logaddexp.reduce(value.ravel()) + np.log(step))
    assert evidence == pytest.approx(case["values"]["log_evidence"], abs=0.05)


def test_means_agree_with_a_dense_sum_over_the_spread() -> None:
    described = pool("normal-known-variance", count=8)
    family = COVARIATE_FAMILIES["normal-known-variance"]
    fit = family.fit(described, "bayes")
    posterior = family.posterior(described, fit.hyper, 0.95)
    mean, sd, weight, evidence = _dense_normal(described, fit.hyper.design.rows)
    assert fit.log_likelihood == pytest.approx(evidence, abs=1e-5)
    np.testing.assert_allclose(posterior.mean, weight @ mean, rtol=1e-5)
    width = posterior.hi - posterior.lo
    for ends, probability in ((posterior.lo, 0.025), (posterior.hi, 0.975)):
        below = weight @ ndtr((ends - mean) / sd)
        density = weight @ (np.exp(-(((ends - mean) / sd) ** 2) / 2) / sd) / np.sqrt(2 * np.pi)
        assert (np.abs(below - probability) / density < 2e-4 * width).all()


def _dense_normal(described: Described[Any], rows_of: Any) -> tuple[Floats, Floats, Floats, float]:
    """Kernels given each of 3,000 spreads, straight from the definition."""
    groups: Measured = described.groups
    y, v, rows = groups.mean, groups.variance, rows_of(described.covariates)
    scale = 2 * np.median(np.sqrt(v))
    log_tau = np.linspace(np.log(1e-7 * scale), np.log(30.0), 3000)
    means, sds, log_density = [], [], []
    for tau in np.exp(log_tau):
        dense = np.diag(v + tau**2)
        information = rows.T @ np.linalg.solve(dense, rows)
        covariance = np.linalg.inv(information)
        beta = covariance @ rows.T @ np.linalg.solve(dense, y)
        r = y - rows @ beta
        log_dets = np.linalg.slogdet(dense)[1] + np.linalg.slogdet(information)[1]
        degrees = len(y) - rows.shape[1]
        value = -(degrees * np.log(2 * np.pi) + log_dets + r @ np.linalg.solve(dense, r)) / 2
        prior = 0.5 * np.log(2 / np.pi) - np.log(scale) - 0.5 * (tau / scale) ** 2
        log_density.append(value + prior + np.log(tau))
        b = v / (v + tau**2)
        means.append(b * (rows @ beta) + (1 - b) * y)
        spread = ((rows @ covariance) * rows).sum(axis=1)
        sds.append(np.sqrt(b * tau**2 + b**2 * spread))
    density = np.exp(np.array(log_density) - max(log_density))
    evidence = max(log_density) + np.log(density.sum() * (log_tau[1] - log_tau[0]))
    return np.array(means), np.array(sds), density / density.sum(), float(evidence)


@pytest.mark.parametrize("name", ["normal", "normal-known-variance"])
def test_tiny_standard_errors_do_not_hold_the_default_spread_down(name: str) -> None:
    """What the covariate leaves is a hundred standard errors wide, what it explains a thousand."""
    rng = np.random.default_rng(5)
    x = np.arange(8.0)
    mean, n = 10 * x + rng.normal(size=8), np.full(8, 400.0)
    groups = Measured(mean, 0.04 / n) if name != "normal" else Moments(n, mean, 0.04 * (n - 1))
    described, family = Described.of(groups, x[:, np.newaxis]), COVARIATE_FAMILIES[name]
    tau, held_down = (
        family.parameters(family.fit(described, "bayes", prior).hyper)["tau"]
        for prior in (DEFAULT, Hyperprior(HalfNormal(0.02)))
    )
    open_minded = family.fit(described, "bayes", Hyperprior(Uniform(20.0))).hyper
    _, lo, hi = family.uncertainty(open_minded, 0.95)["tau"]
    assert held_down < lo < tau < hi
