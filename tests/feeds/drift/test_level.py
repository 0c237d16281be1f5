import numpy as np
import pytest
from scipy import stats

from stream_hb.feeds.drift.level import beyond_beta, beyond_normal, level

RNG = np.random.default_rng(3)
ESTIMATE = RNG.normal(0.5, 0.3, 12)
VARIANCE = RNG.uniform(0.001, 0.05, 12)
ALL = np.ones(12, bool)


def test_a_store_is_compared_with_the_mean_of_the_others() -> None:
    found = level(ESTIMATE, VARIANCE, spread=0.3, margin=0.4, valid=ALL)
    for row in range(12):
        rest = np.arange(12) != row
        weight = 1 / (0.09 + VARIANCE[rest])
        centre, unknown = (
            np.average(ESTIMATE[rest], weights=weight),
            VARIANCE[row] + 1 / weight.sum(),
        )
        gain = 0.09 / (0.09 + unknown)
        posterior = stats.norm(gain * (ESTIMATE[row] - centre), np.sqrt(gain * unknown))
        assert found.mean[row] == pytest.approx(posterior.mean())
        assert found.beyond[row] == pytest.approx(posterior.cdf(-0.4) + posterior.sf(0.4))
        assert found.lfsr[row] == pytest.approx(min(posterior.cdf(0), posterior.sf(0)))


def test_what_is_not_valid_is_neither_judged_nor_part_of_the_mean() -> None:
    valid = np.arange(12) > 0
    estimate = np.where(valid, ESTIMATE, 99.0)
    found = level(estimate, VARIANCE, spread=0.3, margin=0.4, valid=valid)
    assert found.beyond[0] == 0
    alone = level(ESTIMATE[1:], VARIANCE[1:], spread=0.3, margin=0.4, valid=ALL[1:])
    np.testing.assert_allclose(found.mean[1:], alone.mean)


def test_a_chain_of_one_store_is_far_from_nothing() -> None:
    found = level(np.array([3.0]), np.array([0.01]), 0.3, 0.4, np.ones(1, bool))
    assert found.beyond[0] == 0


def test_probabilities_beyond_a_margin_are_scipys() -> None:
    mean, sd = np.array([-0.3, 0.0, 2.0]), np.array([0.1, 1.0, 0.01])
    theirs = stats.norm.cdf(-0.5, mean, sd) + stats.norm.sf(0.5, mean, sd)
    np.testing.assert_allclose(beyond_normal(mean, sd, 0.5), theirs, rtol=1e-12)
    a, b = np.array([3.0, 30.0, 0.5]), np.array([40.0, 2.0, 0.5])
    theirs = stats.beta.cdf(0.03, a, b) + stats.beta.sf(0.2, a, b)
    np.testing.assert_allclose(beyond_beta(a, b, 0.03, 0.2), theirs, rtol=1e-12)
