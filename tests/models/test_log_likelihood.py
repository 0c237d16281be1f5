"""The log-likelihood at any hyperparameters: the fits', and mpmath's."""

import math
from typing import Any

import numpy as np
import pytest
from mpmath import mp

from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.columns import Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments

N = np.array([20.0, 30.0, 50.0, 60.0, 0.0])
Y = np.array([1.0, 9.0, 2.0, 30.0, 0.0])
POOLS: dict[str, Statistic] = {
    "beta-binomial": Counts(Y, N),
    "gamma-poisson": Exposure(Y, N),
    "normal": Moments(N, Y, 2 * N),
    "normal-known-variance": Measured(Y, np.array([1.0, 2.0, 1.0, 3.0, np.inf])),
}


@pytest.mark.parametrize("name", POOLS)
def test_at_the_fit_it_is_the_fits(name: str) -> None:
    family: Any = FAMILIES[name]
    fit = family.fit(POOLS[name], "ml")
    assert math.isclose(family.log_likelihood(POOLS[name], fit.hyper), fit.log_likelihood)


def test_beta_binomial_is_the_product_of_its_probabilities() -> None:
    family: Any = FAMILIES["beta-binomial"]
    got = family.log_likelihood(POOLS["beta-binomial"], family.condition({"alpha": 2, "beta": 9}))
    want = sum(  # mpmath
        mp.log(mp.binomial(int(n), int(y)) * mp.beta(2 + y, 9 + n - y) / mp.beta(2, 9))
        for y, n in zip(Y, N, strict=True)
    )
    assert math.isclose(got, float(want), rel_tol=1e-12)


def test_normal_is_the_product_of_its_densities() -> None:
    family: Any = FAMILIES["normal-known-variance"]
    pool = POOLS["normal-known-variance"]
    got = family.log_likelihood(pool, family.condition({"mu": 3, "tau2": 0}))
    want = sum(  # mpmath
        mp.log(mp.npdf(y, 3, mp.sqrt(v))) for y, v in zip(Y[:4], (1, 2, 1, 3), strict=True)
    )
    assert math.isclose(got, float(want), rel_tol=1e-12)
