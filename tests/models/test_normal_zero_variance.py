"""Observations that are all equal, and weights below one: an answer in any unit, or a named row."""

from typing import Any

import numpy as np
import pytest

from stream_hb.errors import FitError
from stream_hb.models.covariates.registry import COVARIATE_FAMILIES
from stream_hb.models.described import Described
from stream_hb.models.nested.registry import NESTED_FAMILIES
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments

OWN = ("normal", "normal-separate", "normal-moderated")
MEANS = np.array([9.0, 11.0, 10.0, 3.0])
SIZES = np.array([5.0, 5.0, 5.0, 1.0])
VARIANCES = {
    "none": np.zeros(4),
    "one of three": np.array([0.0, 2.0, 1.0, 0.0]),
    "two of three": np.array([0.0, 2.0, 0.0, 0.0]),
}


def _groups(variance: Floats, unit: float = 1.0) -> Moments:
    return Moments(SIZES, MEANS * unit, variance * unit**2 * (SIZES - 1))


@pytest.mark.parametrize("variance", list(VARIANCES.values()), ids=list(VARIANCES))
@pytest.mark.parametrize("method", ["dl", "reml", "bayes"])
@pytest.mark.parametrize("name", OWN)
def test_equal_observations_have_an_answer_between_raw_and_pooled(
    name: str, method: str, variance: Floats
) -> None:
    family, groups = FAMILIES[name], _groups(variance)
    posterior = family.posterior(groups, family.fit(groups, method).hyper, 0.95)
    assert np.isfinite([posterior.mean, posterior.sd, posterior.pooled]).all()
    assert ((posterior.weight >= 0) & (posterior.weight <= 1)).all()
    assert (posterior.lo <= posterior.mean).all()
    assert (posterior.mean <= posterior.hi).all()


@pytest.mark.parametrize("variance", list(VARIANCES.values()), ids=list(VARIANCES))
@pytest.mark.parametrize("name", OWN)
def test_the_unit_of_money_is_irrelevant_to_equal_observations(name: str, variance: Floats) -> None:
    family = FAMILIES[name]
    answers = []
    for unit in (1.0, 2.0**-20):
        groups = _groups(variance, unit)
        answers.append(family.posterior(groups, family.fit(groups, "bayes").hyper, 0.95))
    ours, theirs = answers
    np.testing.assert_allclose(theirs.mean / 2.0**-20, ours.mean, rtol=1e-6)
    rounding = float(np.spacing(MEANS.max()))  # what a mean itself is uncertain by
    np.testing.assert_allclose(theirs.sd / 2.0**-20, ours.sd, rtol=1e-6, atol=rounding)


def test_no_variance_at_all_is_the_same_to_every_family() -> None:
    """All say that the means are what they are, to rounding."""
    groups = _groups(VARIANCES["none"])
    for name in OWN:
        family = FAMILIES[name]
        posterior = family.posterior(groups, family.fit(groups, "bayes").hyper, 0.95)
        np.testing.assert_allclose(posterior.mean, MEANS, rtol=1e-12)


def _pools(groups: Any) -> dict[str, tuple[Any, Any]]:
    known = "normal-known-variance" if isinstance(groups, Measured) else "normal"
    regions = Described.of(groups, regions=np.array([0, 0, 1, 1]))
    return {
        "plain": (FAMILIES[known], groups),
        "regions": (NESTED_FAMILIES[known], regions),
        "covariates": (
            COVARIATE_FAMILIES[known],
            Described.of(groups, np.array([[1.0], [2.0], [4.0], [3.0]])),
        ),
    }


@pytest.mark.parametrize("method", ["reml", "bayes"])
@pytest.mark.parametrize("kind", ["plain", "regions", "covariates"])
def test_a_mean_known_for_sure_is_refused_with_its_row(kind: str, method: str) -> None:
    family, pool = _pools(Measured(MEANS, np.array([1.0, 2.0, 0.0, np.inf])))[kind]
    with pytest.raises(FitError, match=r"row 2 \(mean 10\) has variance = 0"):
        family.fit(pool, method)


@pytest.mark.parametrize("method", ["reml", "bayes"])
@pytest.mark.parametrize("kind", ["plain", "regions", "covariates"])
def test_less_than_one_observation_takes_nothing_away_from_the_variance_of_others(
    kind: str, method: str
) -> None:
    """Three stores of 2 and one of a tenth: σ² has three degrees of freedom, not 2.1."""
    sigma2 = []
    for last in (0.1, 1.0):
        n = np.array([2.0, 2.0, 2.0, last])
        family, pool = _pools(Moments(n, np.full(4, 5.0), np.array([4.0, 4.0, 4.0, 0.0])))[kind]
        sigma2.append(family.parameters(family.fit(pool, method).hyper)["sigma2"])
    assert sigma2[0] == pytest.approx(sigma2[1], rel=0.05)
