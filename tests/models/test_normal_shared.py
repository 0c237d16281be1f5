"""Moments by the variances there are, against every group's sums over the kernels (mpmath)."""

import numpy as np
import pytest
from mpmath import mp

from stream_hb.models.normal_nodes import Kernels
from stream_hb.models.normal_shared import shared_moments


def kernels(origin: float) -> Kernels:
    random = np.random.default_rng(3)
    return Kernels(
        origin + random.normal(0, 0.3, 40),
        np.exp(random.normal(-2, 0.3, 40)),
        np.exp(random.normal(-1, 1.5, 40)),
        np.exp(random.normal(0, 0.2, 40)),
        random.dirichlet(np.ones(40)),
    )


def exact(mean: float, variance: float, of: Kernels) -> tuple[mp.mpf, mp.mpf, mp.mpf, mp.mpf]:
    """Return weight, pooled mean, mean and sd by the law of total variance, in 40 digits."""
    with mp.workdps(40):
        weight = pooled = centre = square = mp.mpf(0)
        columns = ([mp.mpf(float(x)) for x in column] for column in of)
        for mu, mu_sd, tau, sigma2, share in zip(*columns, strict=True):
            v = sigma2 * mp.mpf(variance)
            pull = 1 / (1 + tau**2 / v)
            share /= mp.fsum(map(float, of.weight))
            at = pull * mu + (1 - pull) * mp.mpf(mean)
            weight += share * pull
            pooled += share * pull * mu
            centre += share * at
            square += share * (pull * tau**2 + (pull * mu_sd) ** 2 + at**2)
        return weight, pooled / weight, centre, mp.sqrt(square - centre**2)


@pytest.mark.parametrize("origin", [0.0, 3.5, -1e6])
def test_moments_are_those_of_every_kernel_summed_up(origin: float) -> None:
    of = kernels(origin)
    away = np.array([-400.0, -2.0, 0.0, 0.1, 0.1, 5.0, 400.0])
    variance = np.array([0.5, 1e-4, 0.5, 0.5, 7.0, 0.5, 7.0])
    found = shared_moments(origin + away, variance, of)
    for i in range(len(away)):
        weight, pooled, mean, sd = exact(origin + away[i], variance[i], of)
        assert found.weight[i] == pytest.approx(float(weight), rel=1e-12)
        # A mean of a million has rounding errors of its own, 1e-10.
        assert found.pooled[i] == pytest.approx(float(pooled), rel=1e-12, abs=1e-12)
        assert found.mean[i] == pytest.approx(float(mean), rel=1e-12, abs=1e-12)
        assert found.sd[i] == pytest.approx(float(sd), rel=1e-9)


def test_a_group_without_data_is_the_kernels_themselves() -> None:
    of = kernels(3.5)
    found = shared_moments(np.zeros(1), np.array([np.inf]), of)
    mean = float((of.weight * of.mu).sum())
    variance = float((of.weight * (of.tau**2 + of.mu_sd**2 + (of.mu - mean) ** 2)).sum())
    assert found.weight[0] == 1.0
    assert found.pooled[0] == found.mean[0] == pytest.approx(mean, rel=1e-14)
    assert found.sd[0] == pytest.approx(variance**0.5, rel=1e-13)
