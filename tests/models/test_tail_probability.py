"""P(θ > x) of every family, against mpmath."""

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

ONE = np.ones(1)


def above(name: str, groups: Statistic, given: dict[str, float], x: float) -> float:
    family: Any = FAMILIES[name]
    return float(family.tail_probability(groups, family.condition(given), x)[0])


@pytest.mark.parametrize("x", [0.02, 0.06, 0.2])
def test_beta_binomial_is_the_tail_of_the_beta_posterior(x: float) -> None:
    got = above("beta-binomial", Counts(2 * ONE, 20 * ONE), {"alpha": 5, "beta": 95}, x)
    want = mp.betainc(7, 113, x, 1, regularized=True)  # mpmath
    assert math.isclose(got, float(want), rel_tol=1e-12)


@pytest.mark.parametrize("x", [0.1, 0.5, 2.0])
def test_gamma_poisson_is_the_tail_of_the_gamma_posterior(x: float) -> None:
    got = above("gamma-poisson", Exposure(3 * ONE, 5 * ONE), {"shape": 2, "rate": 4}, x)
    want = mp.gammainc(5, 9 * mp.mpf(x), mp.inf, regularized=True)  # mpmath
    assert math.isclose(got, float(want), rel_tol=1e-12)


@pytest.mark.parametrize("x", [8.0, 11.0, 13.0])
def test_normal_is_the_tail_of_the_normal_posterior(x: float) -> None:
    given = {"mu": 10.0, "tau2": 4.0}
    known = above("normal-known-variance", Measured(12 * ONE, 0.9 * ONE), given, x)
    seen = Moments(10 * ONE, 12 * ONE, 81 * ONE)
    observed = above("normal", seen, given | {"sigma2": 9.0}, x)
    mean, variance = (
        (4 * 12 + mp.mpf("0.9") * 10) / mp.mpf("4.9"),
        4 * mp.mpf("0.9") / mp.mpf("4.9"),
    )
    want = mp.ncdf((mean - x) / mp.sqrt(variance))  # mpmath
    assert math.isclose(known, float(want), rel_tol=1e-12)
    assert math.isclose(observed, float(want), rel_tol=1e-12)


def test_outside_the_parameters_range_it_is_certain() -> None:
    counts, given = Counts(ONE, 2 * ONE), {"alpha": 1.0, "beta": 1.0}
    assert above("beta-binomial", counts, given, -0.5) == 1
    assert above("beta-binomial", counts, given, 1.5) == 0
    assert above("gamma-poisson", Exposure(ONE, ONE), {"shape": 1.0, "rate": 1.0}, -1.0) == 1
