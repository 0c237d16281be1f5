import math

import numpy as np
import pytest
from scipy.special import betainc, betaincinv

from stream_hb.errors import FitError, UsageError
from stream_hb.models.beta_binomial import BetaBinomial, BetaHyper
from stream_hb.models.beta_binomial_fit import log_likelihood
from stream_hb.statistics.counts import Counts
from tests.reference import marginal as reference

FAMILY = BetaBinomial()


def _counts(successes: list[float], trials: list[float]) -> Counts:
    return Counts(np.array(successes, dtype=float), np.array(trials, dtype=float))


def test_worked_example_beta_5_95_with_2_of_20() -> None:
    hyper = FAMILY.condition({"alpha": 5, "beta": 95})
    posterior = FAMILY.posterior(_counts([2], [20]), hyper, 0.95)
    assert posterior.mean[0] == pytest.approx(7 / 120, rel=1e-15)
    assert posterior.lo[0] == pytest.approx(betaincinv(7, 113, 0.025), rel=1e-12)
    assert posterior.hi[0] == pytest.approx(betaincinv(7, 113, 0.975), rel=1e-12)


def test_worked_example_beta_6_114_with_3_of_30_and_20_of_200() -> None:
    hyper = FAMILY.condition({"alpha": 6, "beta": 114})
    posterior = FAMILY.posterior(_counts([3, 20], [30, 200]), hyper, 0.95)
    np.testing.assert_allclose(posterior.mean, [0.06, 0.08125], rtol=1e-14)
    np.testing.assert_allclose(posterior.weight, [0.8, 0.375], rtol=1e-14)


@pytest.mark.parametrize("concentration", [0.02, 3.0, 250.0, 1e7])
def test_log_likelihood_has_all_its_constants(concentration: float) -> None:
    y, n = [0.0, 3.0, 17.0], [4.0, 30.0, 20.0]
    expected = reference.beta_binomial(y, n, 0.2, concentration)
    assert log_likelihood(_counts(y, n), 0.2, concentration) == pytest.approx(expected, rel=1e-12)


def test_fit_has_no_slope_left() -> None:
    groups = _counts([0, 3, 17, 40], [4, 30, 20, 90])
    hyper = FAMILY.fit(groups, "ml").hyper
    m, k = hyper.mean, hyper.concentration
    top = log_likelihood(groups, m, k)
    for other in ((m * 1.001, k), (m * 0.999, k), (m, k * 1.001), (m, k * 0.999)):
        assert log_likelihood(groups, *other) < top


def test_moments_recover_a_concentration() -> None:
    rng = np.random.default_rng(5)
    n = np.ceil(np.exp(rng.normal(5, 1, 20_000)))
    y = rng.binomial(n.astype(int), rng.beta(4, 76, len(n))).astype(float)
    hyper = FAMILY.fit(Counts(y, n), "moments").hyper
    assert hyper.mean == pytest.approx(0.05, rel=0.02)
    assert hyper.concentration == pytest.approx(80, rel=0.1)


def test_groups_alike_are_pooled_completely_with_an_honest_interval() -> None:
    groups = _counts([3, 3], [10, 10])
    fit = FAMILY.fit(groups, "ml")
    assert fit.boundary
    assert math.isinf(fit.hyper.concentration)
    posterior = FAMILY.posterior(groups, fit.hyper, 0.9)
    assert posterior.weight.tolist() == [1, 1]
    np.testing.assert_allclose(posterior.mean, 0.3, rtol=1e-14)
    np.testing.assert_allclose(betainc(6, 14, posterior.lo), 0.05, rtol=1e-9)
    np.testing.assert_allclose(betainc(6, 14, posterior.hi), 0.95, rtol=1e-9)


@pytest.mark.parametrize("method", ["moments", "ml"])
def test_groups_that_vary_exactly_as_chance_makes_them_are_a_boundary(method: str) -> None:
    """(4 - 2.5)²·2 / (.1·.9) = 50: the score is zero, and 7e-15 by rounding. The concentration of
    3e16 that this gave has intervals of no width, and had none at all by scipy."""
    groups = _counts([4, 1], [25, 25])
    fit = FAMILY.fit(groups, method)
    assert fit.boundary
    assert math.isinf(fit.hyper.concentration)


@pytest.mark.parametrize("ones", range(1, 40))
def test_single_trials_say_nothing_of_the_concentration(ones: int) -> None:
    """Their score is zero, and by rounding often is not."""
    groups = _counts([1.0] * ones + [0.0] * 7, [1.0] * (ones + 7))
    assert math.isinf(FAMILY.fit(groups, "moments").hyper.concentration)


@pytest.mark.parametrize("method", ["moments", "ml"])
@pytest.mark.parametrize(("successes", "mean"), [(0.0, 0.0), (1.0, 1.0)])
def test_a_pool_without_any_success_or_failure_is_a_boundary(
    method: str, successes: float, mean: float
) -> None:
    groups = _counts([5 * successes, 7 * successes], [5, 7])
    fit = FAMILY.fit(groups, method)
    assert (fit.boundary, fit.converged, fit.log_likelihood) == (True, True, 0.0)
    assert fit.hyper == BetaHyper(mean, math.inf, 12.0)
    posterior = FAMILY.posterior(groups, fit.hyper, 0.95)
    np.testing.assert_allclose(posterior.mean, abs(mean - 0.5 / 13))
    assert (posterior.lo < posterior.mean).all()
    assert (posterior.mean < posterior.hi).all()
    parameters = FAMILY.parameters(fit.hyper)
    assert not any(math.isnan(value) for value in parameters.values())


def test_single_trials_do_not_identify_the_concentration() -> None:
    for method in FAMILY.methods:
        assert FAMILY.fit(_counts([1, 0, 1, 1], [1, 1, 1, 1]), method).boundary


def test_stores_with_nothing_in_common_keep_their_own_rates() -> None:
    groups = _counts([0, 10, 0, 10], [10, 10, 10, 10])
    fit = FAMILY.fit(groups, "ml")
    assert fit.converged
    assert fit.hyper.concentration == pytest.approx(1e-3)
    np.testing.assert_allclose(
        FAMILY.posterior(groups, fit.hyper, 0.95).mean, [0, 1, 0, 1], atol=1e-3
    )


def test_a_group_without_trials_has_the_prior_and_does_not_count() -> None:
    groups = _counts([0, 3, 17, 40], [4, 30, 20, 90])
    fit = FAMILY.fit(groups.concatenate(Counts.zeros(2)), "ml")
    assert fit == FAMILY.fit(groups, "ml")
    empty, new = (
        FAMILY.posterior(Counts.zeros(1), fit.hyper, 0.95),
        FAMILY.new_group(fit.hyper, 0.95),
    )
    assert math.isnan(empty.raw[0])
    assert empty.weight[0] == 1
    assert empty.mean[0] == pytest.approx(fit.hyper.mean)
    assert (new.lo, new.hi, new.sd) == (empty.lo, empty.hi, empty.sd)


def test_a_pool_without_data_cannot_be_fitted() -> None:
    with pytest.raises(FitError, match="no group has data"):
        FAMILY.fit(Counts.zeros(3), "ml")


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(FitError, match="did you mean 'moments'"):
        FAMILY.fit(_counts([1], [2]), "moment")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alpha": 1, "betta": 2}, "unknown hyperparameter 'betta': did you mean 'beta'"),
        ({"alpha": 1}, "missing: beta"),
        ({"alpha": 0, "beta": 2}, "alpha = 0.0: expected a finite number > 0"),
        ({"alpha": 1, "beta": math.nan}, "beta = nan"),
        ({"alpha": 1, "beta": math.inf}, "beta = inf"),
    ],
)
def test_wrong_given_hyperparameters_are_named(given: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        FAMILY.condition(given)


def test_parameters_have_the_commands_names() -> None:
    parameters = FAMILY.parameters(FAMILY.condition({"alpha": 5, "beta": 95}))
    assert parameters == pytest.approx(
        {"alpha": 5, "beta": 95, "mean": 0.05, "concentration": 100}, rel=1e-14
    )


@pytest.mark.parametrize("alpha", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("trials", [1.0, 1e4, 1e9])
def test_intervals_are_ordered_at_the_extremes(alpha: float, trials: float) -> None:
    hyper = FAMILY.condition({"alpha": alpha, "beta": 19 * alpha})
    groups = _counts([0, trials, trials / 2], [trials] * 3)
    posterior = FAMILY.posterior(groups, hyper, 0.95)
    assert (posterior.lo >= 0).all()
    assert (posterior.lo <= posterior.hi).all()
    assert (posterior.hi <= 1).all()
    assert (posterior.sd > 0).all()


def test_screening_gives_the_posterior_mean_and_sd() -> None:
    hyper = FAMILY.condition({"alpha": 5, "beta": 95})
    groups = _counts([0, 3, 17], [0, 30, 20])
    posterior, (mean, sd) = FAMILY.posterior(groups, hyper, 0.95), FAMILY.screen(groups, hyper)
    assert mean.tolist() == posterior.mean.tolist()
    assert sd.tolist() == posterior.sd.tolist()
