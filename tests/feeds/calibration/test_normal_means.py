"""Predictions of means against mpmath: numerical integration, and Student's t."""

import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose

from stream_hb.feeds.calibration.normal_means import MeanPredictive
from stream_hb.feeds.calibration.predictive import Belief, predict
from stream_hb.models.normal_own import NormalModerated
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.moments import Moments

mp.dps = 20

MIXTURE = MeanPredictive(
    np.array([[-1.0, 0.5, 4.0]]), np.array([[0.3, 1.0, 2.0]]), np.array([[0.2, 0.5, 0.3]])
)


def below(x: mpf) -> mpf:
    return sum(
        w * mp.ncdf((x - m) / s)
        for m, s, w in zip(MIXTURE.centre[0], MIXTURE.sd[0], MIXTURE.weight[0], strict=True)
    )


@pytest.mark.parametrize("y", [-4.0, 3.0])
def test_scores_are_those_of_numerical_integration(y: float) -> None:
    scores = MIXTURE.scores(np.array([y]))
    head = mp.quad(lambda x: below(x) ** 2, [-30, -3, -1, 0, y] if y > 0 else [-30, y])
    tail = mp.quad(lambda x: (1 - below(x)) ** 2, [y, y + 2, y + 6, 40])
    assert_allclose(scores.crps, float(head + tail), rtol=1e-7)
    assert_allclose(scores.below, float(below(mpf(y))), rtol=1e-12)
    assert_allclose(scores.log_score, float(mp.log(mp.diff(below, y))), rtol=1e-8)
    assert scores.mass == 0.0


def test_a_quantile_has_the_probability_below() -> None:
    for probability in (0.025, 0.5, 0.975):
        at = MIXTURE.quantile(probability)
        assert_allclose(MIXTURE.distribution(at), probability, atol=1e-7)


def t_distribution(x: float, nu: float) -> float:
    """P(T ≤ x) by mpmath's incomplete beta function."""
    tail = mp.betainc(nu / 2, 0.5, 0, nu / (nu + x**2), regularized=True) / 2
    return float(1 - tail if x > 0 else tail)


def test_a_mean_of_uncertain_variance_is_predicted_by_students_t() -> None:
    """Stores so unlike (τ² = 1e8) that each is alone: ȳ' ~ ȳ + s√(1/n + 1/k)·t(n - 1 + d0)."""
    family = NormalModerated()
    hyper = family.condition({"mu": 0.0, "tau2": 1e8, "d0": 4.0, "sigma2": 2.0})
    n, k, mean, variance = 7.0, 5.0, 3.0, 1.5
    store = Moments(np.array([n]), np.array([mean]), np.array([(n - 1) * variance]))
    tick = Moments(np.array([k]), np.zeros(1), np.zeros(1))
    predictive = predict(Belief(family, hyper, store), tick)
    nu = n - 1 + 4
    scale = np.sqrt(((n - 1) * variance + 4 * 2.0) / nu * (1 / n + 1 / k))
    for z in (-4.0, -1.5, 0.3, 2.5):
        found = predictive.distribution(np.array([mean + z * scale]))
        assert_allclose(found, t_distribution(z, nu), rtol=2e-3, atol=1e-6)


def test_a_store_without_data_is_predicted_by_what_the_others_say() -> None:
    """N(μ, τ² + σ²/k): with d0 infinite nothing is uncertain."""
    for name, given in (
        ("normal", {"mu": 4.0, "tau2": 0.25, "sigma2": 3.0}),
        ("normal-moderated", {"mu": 4.0, "tau2": 0.25, "sigma2": 3.0, "d0": 1e12}),
    ):
        family = FAMILIES[name]
        belief = Belief(family, family.condition(given), Moments.zeros(1))
        tick = Moments(np.array([6.0]), np.zeros(1), np.zeros(1))
        sd = np.sqrt(0.25 + 3.0 / 6)
        at = np.array([4.0 + 1.5 * sd])
        found = predict(belief, tick).distribution(at)
        assert_allclose(found, float(mp.ncdf(1.5)), rtol=1e-6, err_msg=name)
