"""Gamma-Poisson against MASS::glm.nb with a BFGS polish, on the ten pumps."""

import numpy as np
import pytest

from stream_hb.models.gamma_poisson import GammaPoisson
from stream_hb.statistics.exposure import Exposure
from tests.oracles.reading import assert_agree, oracle

FAMILY = GammaPoisson()


def test_pumps_agree_with_mass() -> None:
    content = oracle("pumps")
    groups = Exposure(*(np.array(content["data"][c], dtype=float) for c in ("x", "t")))
    values = content["oracle"]["mass"]["values"]
    fit = FAMILY.fit(groups, "ml")
    parameters = FAMILY.parameters(fit.hyper)
    assert parameters["shape"] == pytest.approx(values["alpha"], rel=1e-6)
    assert parameters["rate"] == pytest.approx(values["beta"], rel=1e-6)
    assert parameters["mean"] == pytest.approx(values["mean_rate"], rel=1e-6)
    assert fit.log_likelihood == pytest.approx(values["logLik"], abs=1e-9)
    posterior = FAMILY.posterior(groups, fit.hyper, 0.95)
    for ours, name in (
        (posterior.mean, "plugin_posterior_mean"),
        (posterior.weight, "shrinkage_weight_prior"),
    ):
        assert_agree(ours, values[name], 1e-6, name)
