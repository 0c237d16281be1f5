"""Quantiles of mixtures of normals, against the distribution function in 40 digits (mpmath)."""

from collections.abc import Callable

import numpy as np
import pytest
from mpmath import mp

from stream_hb.models.normal_mixture import Mixture
from stream_hb.statistics.columns import Floats

Made = Callable[[np.random.Generator], tuple[Floats, Floats, Floats]]

PROBABILITIES = [1e-6, 1e-3, 0.025, 0.3, 0.5, 0.9, 0.975]

ROUNDING = 1e-14
"""Of a distribution function in float64: where it is flat, any point so near to p is a quantile."""


def usual(random: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Kernels as a pool's nodes make them."""
    tau = np.exp(random.normal(0, 1, 12))
    pull = 1 / (1 + tau**2)
    return 3 * (1 - pull), tau * np.sqrt(pull), random.dirichlet(np.ones(12))


def far_apart(random: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Kernels with nothing between them."""
    return random.normal(0, 30, 5), np.exp(random.normal(0, 0.5, 5)), random.dirichlet(np.ones(5))


def narrow(random: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """One wide kernel, and others that a step over it does not see: 1e-2 to 1e-6 of its width."""
    sd = np.append(1.0, 10 ** random.uniform(-6, -2, 9))
    weight = np.append(0.5, np.full(9, 0.5 / 9))
    return np.append(0.0, random.normal(0, 1.5, 9)), sd, weight


@pytest.mark.parametrize("kernels", [usual, far_apart, narrow])
@pytest.mark.parametrize("probability", PROBABILITIES)
def test_a_quantile_is_within_1e_7_sd_of_the_exact_one(kernels: Made, probability: float) -> None:
    random = np.random.default_rng(7)
    mean, sd, weight = (
        np.stack(some) for some in zip(*(kernels(random) for _ in range(8)), strict=True)
    )
    mixture = Mixture(mean, sd, weight)
    close = 1e-7 * mixture.moments()[1]
    got = mixture.quantile(probability)
    for i in range(len(got)):
        below = distribution(got[i] - close[i], mean[i], sd[i], weight[i])
        above = distribution(got[i] + close[i], mean[i], sd[i], weight[i])
        assert below - ROUNDING <= probability <= above + ROUNDING


def distribution(at: float, mean: Floats, sd: Floats, weight: Floats) -> mp.mpf:
    with mp.workdps(40):
        z = [(mp.mpf(at) - mp.mpf(m)) / mp.mpf(s) for m, s in zip(mean, sd, strict=True)]
        return mp.fsum(mp.mpf(w) * mp.ncdf(x) for w, x in zip(weight, z, strict=True))


@pytest.mark.parametrize("probability", [0.025, 0.5])
def test_a_quantile_has_the_same_bits_alone_and_beside_others(probability: float) -> None:
    random = np.random.default_rng(8)
    mean, sd = random.normal(0, 1, (50, 700)), np.exp(random.normal(0, 1, (50, 700)))
    together = Mixture(mean, sd, np.full(700, 1 / 700)).quantile(probability)
    for i in (0, 22, 23, 24, 49):
        alone = Mixture(mean[[i]], sd[[i]], np.full(700, 1 / 700)).quantile(probability)
        assert alone[0] == together[i]


def test_equal_kernels_are_one_normal() -> None:
    # From R 4.2: qnorm(0.975, 5, 2)
    mixture = Mixture(np.full((1, 3), 5.0), np.full((1, 3), 2.0), np.full(3, 1 / 3))
    assert mixture.quantile(0.975)[0] == pytest.approx(8.919927969080108, abs=2e-7)


def test_kernels_of_hardly_any_width_are_found_all_the_same() -> None:
    mixture = Mixture(np.array([[3e-90, 5e-90]]), np.full((1, 2), 1e-90), np.array([0.5, 0.5]))
    assert mixture.quantile(0.5)[0] == pytest.approx(4e-90, rel=1e-7)
