import math

import numpy as np
import pytest
from scipy.special import gammainc

from stream_hb.errors import FitError, UsageError
from stream_hb.models.gamma_poisson import GammaHyper, GammaPoisson
from stream_hb.models.gamma_poisson_fit import log_likelihood
from stream_hb.statistics.exposure import Exposure
from tests.reference import marginal as reference

FAMILY = GammaPoisson()


def _exposure(events: list[float], exposure: list[float]) -> Exposure:
    return Exposure(np.array(events, dtype=float), np.array(exposure, dtype=float))


@pytest.mark.parametrize("shape", [0.02, 3.0, 250.0, 1e7])
def test_log_likelihood_has_all_its_constants(shape: float) -> None:
    y, t = [0.0, 3.0, 17.0], [4.0, 30.0, 2.5]
    expected = reference.gamma_poisson(y, t, 0.7, shape)
    assert log_likelihood(_exposure(y, t), 0.7, shape) == pytest.approx(expected, rel=1e-12)


def test_fit_has_no_slope_left() -> None:
    groups = _exposure([0, 3, 17, 40], [4, 30, 20, 90])
    hyper = FAMILY.fit(groups, "ml").hyper
    m, a = hyper.mean, hyper.shape
    top = log_likelihood(groups, m, a)
    for other in ((m * 1.001, a), (m * 0.999, a), (m, a * 1.001), (m, a * 0.999)):
        assert log_likelihood(groups, *other) < top


def test_moments_recover_a_shape() -> None:
    rng = np.random.default_rng(6)
    t = np.exp(rng.normal(5, 1, 20_000))
    y = rng.poisson(t * rng.gamma(4, 0.05, len(t))).astype(float)
    hyper = FAMILY.fit(Exposure(y, t), "moments").hyper
    assert hyper.mean == pytest.approx(0.2, rel=0.02)
    assert hyper.shape == pytest.approx(4, rel=0.1)


def test_rates_alike_are_pooled_completely_with_an_honest_interval() -> None:
    groups = _exposure([3, 3], [10, 10])
    fit = FAMILY.fit(groups, "ml")
    assert fit.boundary
    posterior = FAMILY.posterior(groups, fit.hyper, 0.9)
    assert posterior.weight.tolist() == [1, 1]
    np.testing.assert_allclose(posterior.mean, 0.3, rtol=1e-14)
    np.testing.assert_allclose(gammainc(6, 20 * posterior.lo), 0.05, rtol=1e-9)
    np.testing.assert_allclose(gammainc(6, 20 * posterior.hi), 0.95, rtol=1e-9)


@pytest.mark.parametrize("method", ["moments", "ml"])
def test_rates_that_vary_exactly_as_chance_makes_them_are_a_boundary(method: str) -> None:
    """(6 - 4)²·2 = 8: the score is zero, and 2e-15 by rounding."""
    fit = FAMILY.fit(_exposure([6, 2], [0.1, 0.1]), method)
    assert fit.boundary
    assert math.isinf(fit.hyper.shape)


@pytest.mark.parametrize("method", ["moments", "ml"])
def test_a_pool_without_any_event_is_a_boundary(method: str) -> None:
    groups = _exposure([0, 0], [5, 7])
    fit = FAMILY.fit(groups, method)
    assert (fit.boundary, fit.converged, fit.log_likelihood) == (True, True, 0.0)
    assert fit.hyper == GammaHyper(0.0, math.inf, 12.0)
    posterior = FAMILY.posterior(groups, fit.hyper, 0.95)
    np.testing.assert_allclose(posterior.mean, 0.5 / 12)
    assert (posterior.lo < posterior.mean).all()
    assert (posterior.mean < posterior.hi).all()
    assert FAMILY.parameters(fit.hyper) == {"shape": math.inf, "rate": math.inf, "mean": 0.0}


def test_a_group_without_exposure_has_the_prior_and_does_not_count() -> None:
    groups = _exposure([0, 3, 17, 40], [4, 30, 20, 90])
    fit = FAMILY.fit(groups.concatenate(Exposure.zeros(2)), "ml")
    assert fit == FAMILY.fit(groups, "ml")
    new = FAMILY.new_group(fit.hyper, 0.95)
    assert math.isnan(new.raw[0])
    assert new.weight[0] == 1
    assert new.mean[0] == pytest.approx(fit.hyper.mean)
    assert new.sd[0] == pytest.approx(fit.hyper.mean / math.sqrt(fit.hyper.shape))


def test_a_pool_without_data_cannot_be_fitted() -> None:
    with pytest.raises(FitError, match="no group has data"):
        FAMILY.fit(Exposure.zeros(3), "ml")


def test_given_hyperparameters_come_back_under_their_names() -> None:
    hyper = FAMILY.condition({"rate": 4, "shape": 2})
    assert FAMILY.parameters(hyper) == {"shape": 2.0, "rate": 4.0, "mean": 0.5}
    with pytest.raises(UsageError, match="did you mean 'shape'"):
        FAMILY.condition({"shap": 2, "rate": 4})
    with pytest.raises(UsageError, match="rate = -4"):
        FAMILY.condition({"shape": 2, "rate": -4})


@pytest.mark.parametrize("shape", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("exposure", [1e-6, 1.0, 1e9])
def test_intervals_are_ordered_at_the_extremes(shape: float, exposure: float) -> None:
    hyper = FAMILY.condition({"shape": shape, "rate": 2 * shape})
    posterior = FAMILY.posterior(_exposure([0, 1, 1e9], [exposure] * 3), hyper, 0.95)
    assert (posterior.lo >= 0).all()
    assert (posterior.lo <= posterior.hi).all()
    assert np.isfinite(posterior.hi).all()
    assert (posterior.sd > 0).all()


def test_screening_gives_the_posterior_mean_and_sd() -> None:
    hyper = FAMILY.condition({"shape": 2, "rate": 4})
    groups = _exposure([0, 3, 17], [0, 30, 20])
    posterior, (mean, sd) = FAMILY.posterior(groups, hyper, 0.95), FAMILY.screen(groups, hyper)
    assert mean.tolist() == posterior.mean.tolist()
    assert sd.tolist() == posterior.sd.tolist()
