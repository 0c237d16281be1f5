"""Intervals of hyperparameters without covariates are the plain families', to 1 % of the width."""

from typing import Any

import numpy as np
import pytest

from stream_hb.models.covariates.registry import COVARIATE_FAMILIES
from stream_hb.models.described import Described
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.measured import Measured

Y = np.array([2.0, 9, 4, 30, 26, 41, 3, 11])
N = np.array([40.0, 100, 60, 120, 90, 200, 30, 80])
POOLS: dict[str, Any] = {
    "beta-binomial": Counts(Y, N),
    "gamma-poisson": Exposure(Y, N),
    "normal-known-variance": Measured(Y / N, 0.2 / N),
}
NAMES = {
    "beta-binomial": ("mean", "log_concentration"),
    "gamma-poisson": ("mean", "log_shape"),
    "normal-known-variance": ("tau",),
}


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("name", POOLS)
def test_they_are_those_of_the_plain_family(name: str, level: float) -> None:
    """Two quadratures of their own; the plain family's is held to dense grids by its own tests."""
    plain, regression = FAMILIES[name], COVARIATE_FAMILIES[name]
    expected = plain.uncertainty(plain.fit(POOLS[name], "bayes").hyper, level)
    fit = regression.fit(Described.of(POOLS[name]), "bayes")
    found = regression.uncertainty(fit.hyper, level)
    for parameter in NAMES[name]:
        _, lo, hi = expected[parameter]
        assert found[parameter][1:] == pytest.approx((lo, hi), abs=0.01 * (hi - lo))
