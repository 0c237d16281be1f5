"""Full Bayes for known variances against bayesmeta, dense quadrature and JAGS.

The priors are the oracles' own: τ uniform (improper there; on (0, 1e4) here, where its tail is
empty), half-Cauchy or half-normal; μ flat.
"""

from typing import Any

import numpy as np
import pytest

from stream_hb.models.family import Posterior
from stream_hb.models.hyperprior import HalfCauchy, HalfNormal, Hyperprior, SpreadPrior, Uniform
from stream_hb.models.normal import NormalKnownVariance
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured
from tests.oracles.reading import oracle

FAMILY = NormalKnownVariance()

CASES: list[tuple[str, str, SpreadPrior]] = [
    ("eight_schools", "uniform_tau", Uniform(1e4)),
    ("eight_schools", "halfcauchy5", HalfCauchy(5.0)),
    ("eight_schools_3", "halfcauchy5", HalfCauchy(5.0)),
    ("eight_schools_3", "halfnormal10", HalfNormal(10.0)),
    ("bcg", "halfcauchy0.5", HalfCauchy(0.5)),
    ("bcg", "halfnormal0.5", HalfNormal(0.5)),
]


def _groups(name: str) -> Measured:
    data = oracle(name)["data"]
    if name == "bcg":
        return Measured(np.array(data["yi"]), np.array(data["vi"]))
    return Measured(np.array(data["y"], float), np.array(data["se"], float) ** 2)


def _fit(name: str, prior: SpreadPrior) -> Any:
    return FAMILY.fit(_groups(name), "bayes", Hyperprior(prior)).hyper


def _posterior(name: str, prior: SpreadPrior, level: float) -> Posterior:
    return FAMILY.posterior(_groups(name), _fit(name, prior), level)


def _rows(values: list[Any]) -> Floats:
    """Return an array with NaN for what is held out: whole rows, or numbers."""
    width = max(len(row) for row in values if row)
    return np.array([row or [None] * width for row in values], dtype=np.float64)


def _assert_ends(posterior: Posterior, lo: Floats, hi: Floats, share: float) -> None:
    there = ~np.isnan(lo + hi)
    assert there.any()
    count = len(lo)
    width = (hi - lo)[there]
    for ours, theirs in ((posterior.lo, lo), (posterior.hi, hi)):
        error = np.abs(ours[:count][there] - theirs[there]) / width
        assert error.max() <= share, error


@pytest.mark.parametrize(("name", "key", "prior"), CASES)
def test_interval_ends_are_bayesmetas(name: str, key: str, prior: SpreadPrior) -> None:
    expected = _rows(oracle(name)["oracle"]["bayesmeta"]["values"][key]["theta_q"])
    _assert_ends(_posterior(name, prior, 0.95), expected[:, 0], expected[:, 4], 2e-4)
    _assert_ends(_posterior(name, prior, 0.5), expected[:, 1], expected[:, 3], 3e-4)


@pytest.mark.parametrize(("name", "key", "prior"), CASES)
def test_hyperparameters_are_bayesmetas(name: str, key: str, prior: SpreadPrior) -> None:
    expected = oracle(name)["oracle"]["bayesmeta"]["values"][key]
    found = FAMILY.uncertainty(_fit(name, prior), 0.95)
    for parameter in ("mu", "tau"):
        quantiles = np.array(expected[f"{parameter}_q"], dtype=np.float64)
        width = quantiles[4] - quantiles[0]
        _, lo, hi = found[parameter]
        np.testing.assert_allclose([lo, hi], quantiles[[0, 4]], atol=1e-3 * width)


@pytest.mark.parametrize(("name", "key", "prior"), CASES)
def test_posteriors_are_those_of_dense_quadrature(name: str, key: str, prior: SpreadPrior) -> None:
    expected = oracle(name)["oracle"]["quadrature"]["values"][key]
    posterior = _posterior(name, prior, 0.95)
    theta = [group for group in expected["theta"] if group]
    ends = _rows([group["q"] for group in theta])
    _assert_ends(posterior, ends[:, 0], ends[:, 4], 2e-4)
    for ours, their in ((posterior.mean, "mean"), (posterior.sd, "sd"), (posterior.weight, "EB")):
        values = [group[their] for group in theta]
        np.testing.assert_allclose(ours[: len(values)], values, rtol=2e-4, err_msg=their)
    assert FAMILY.parameters(_fit(name, prior))["tau"] == pytest.approx(
        expected["tau"]["mean"], rel=1e-4
    )


@pytest.mark.parametrize(("key", "prior"), [(key, prior) for _, key, prior in CASES[:2]])
def test_means_are_within_five_monte_carlo_errors_of_jags(key: str, prior: SpreadPrior) -> None:
    expected = oracle("eight_schools")["oracle"]["jags"]["values"][key]
    ours = FAMILY.parameters(_fit("eight_schools", prior))
    posterior = _posterior("eight_schools", prior, 0.95)
    answers = {f"theta[{i + 1}]": float(mean) for i, mean in enumerate(posterior.mean)} | ours
    compared = answers.keys() & expected.keys()
    assert len(compared) >= 5
    for name in compared:
        theirs = expected[name]
        assert abs(answers[name] - theirs["mean"]) <= 5 * theirs["mcse_mean"], name
