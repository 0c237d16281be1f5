"""The likelihoods against their definitions in many digits; derivatives by differences."""

import numpy as np
import pytest

from stream_hb.models.covariates.link_likelihood import (
    BetaBinomialRegression,
    GammaPoissonRegression,
    LinkLikelihood,
    surfaces,
)
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from tests.reference import marginal

Y = np.array([0.0, 3.0, 1.0, 40.0])
SIZE = np.array([5.0, 3.0, 1.0, 900.0])
ROWS = np.column_stack([np.ones(4), [0.3, -1.2, 2.0, -0.4]])
BETA = np.array([-1.5, 0.6])
KINDS: dict[str, LinkLikelihood] = {
    "beta-binomial": BetaBinomialRegression.of(Counts(Y, SIZE), ROWS),
    "gamma-poisson": GammaPoissonRegression.of(Exposure(Y, SIZE), ROWS),
}


@pytest.mark.parametrize("log_concentration", [-6.0, 0.5, 5.0, 20.0])
def test_values_are_those_of_the_definition(log_concentration: float) -> None:
    c = float(np.exp(log_concentration))
    eta = ROWS @ BETA
    expected = {
        "beta-binomial": sum(
            marginal.beta_binomial([y], [n], float(m), c)
            for y, n, m in zip(Y, SIZE, 1 / (1 + np.exp(-eta)), strict=True)
        ),
        "gamma-poisson": sum(
            marginal.gamma_poisson([y], [t], float(mu), c)
            for y, t, mu in zip(Y, SIZE, np.exp(eta), strict=True)
        ),
    }
    for name, likelihood in KINDS.items():
        point = np.append(BETA, log_concentration)[np.newaxis]
        value = float(surfaces(likelihood, point).value[0])
        assert value + likelihood.constant == pytest.approx(expected[name], rel=1e-9), name
        alone = likelihood.values(eta[np.newaxis], point[:, -1:]).sum()
        assert alone == pytest.approx(value, rel=1e-12), name


@pytest.mark.parametrize("name", sorted(KINDS))
@pytest.mark.parametrize("log_concentration", [-4.0, 0.5, 5.0, 9.0])
def test_derivatives_are_those_of_the_value(name: str, log_concentration: float) -> None:
    likelihood = KINDS[name]
    point = np.append(BETA, log_concentration)
    here = surfaces(likelihood, point[np.newaxis])
    step = 1e-5
    for i in range(3):
        away: Floats = np.eye(3)[i] * step
        both = surfaces(likelihood, np.array([point + away, point - away]))
        slope = (both.value[0] - both.value[1]) / (2 * step)
        curve = (both.gradient[0] - both.gradient[1]) / (2 * step)
        assert here.gradient[0, i] == pytest.approx(slope, rel=1e-5, abs=1e-5)
        np.testing.assert_allclose(here.hessian[0, i], curve, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_limit_is_a_regression_without_spread_and_its_score_the_slope_towards_it(
    name: str,
) -> None:
    likelihood, eta = KINDS[name], (ROWS @ BETA)[np.newaxis]
    limit = likelihood.at_limit(eta)[0].sum()
    for log_concentration, rtol in ((14.0, 1e-2), (18.0, 1e-3)):
        near = likelihood.values(eta, np.full((1, 1), log_concentration)).sum()
        slope = (near - limit) * np.exp(log_concentration)
        assert slope == pytest.approx(likelihood.score_at_limit(eta), rel=rtol)
