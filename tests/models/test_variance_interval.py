"""The interval of a variance common to all groups is that of its χ², however few nodes carry it."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from stream_hb.models.covariates.registry import COVARIATE_FAMILIES
from stream_hb.models.described import Described
from stream_hb.models.nested.registry import NESTED_FAMILIES
from stream_hb.models.registry import FAMILIES
from stream_hb.models.variance_interval import variance_interval
from stream_hb.statistics.moments import Moments

GROUPS = 12
MEANS = 3 * np.sqrt(np.arange(GROUPS)) * np.resize([1.0, -1.0], GROUPS)
FAMILIES_BY_KIND: dict[str, Any] = {
    "plain": FAMILIES["normal"],
    "covariates": COVARIATE_FAMILIES["normal"],
    "regions": NESTED_FAMILIES["normal"],
}


def described(kind: str, groups: Moments) -> Any:
    match kind:
        case "covariates":
            return Described.of(groups, np.cos(np.arange(GROUPS))[:, np.newaxis])
        case "regions":
            return Described.of(groups, None, np.repeat(np.arange(4), 3))
    return groups


@pytest.mark.parametrize("kind", FAMILIES_BY_KIND)
@pytest.mark.parametrize("size", [3, 10, 40, 90, 3000])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_sigma2_has_the_interval_that_the_observations_within_groups_leave_it(
    kind: str, size: int, level: float
) -> None:
    """Groups that differ a lot say next to nothing of σ²: 24 to 35,988 degrees of freedom do."""
    groups = Moments(np.full(GROUPS, float(size)), MEANS, np.full(GROUPS, size - 1.0))
    degrees = GROUPS * (size - 1.0)
    family = FAMILIES_BY_KIND[kind]
    _, lo, hi = family.uncertainty(family.fit(described(kind, groups), "bayes").hyper, level)[
        "sigma2"
    ]
    expected = degrees / chi2.isf([(1 - level) / 2, (1 + level) / 2], degrees)
    width = expected[1] - expected[0]
    assert [lo, hi] == pytest.approx(expected, abs=0.05 * width)


@pytest.mark.parametrize("degrees", [1.0, 4.5, 30.0, 1000.0])
def test_nodes_of_a_scaled_inverse_chi_square_give_its_quantiles(degrees: float) -> None:
    logs = np.linspace(-8, 60, 4001) / math.sqrt(degrees)
    weight = np.exp(-degrees / 2 * (logs + np.exp(-logs) - 1))
    sd, lo, hi = variance_interval(7 * np.exp(logs), weight / weight.sum(), math.nan, 0.9)
    assert [lo, hi] == pytest.approx(7 * degrees / chi2.isf([0.05, 0.95], degrees), rel=1e-6)
    assert sd > 0


def test_one_node_is_as_wide_as_its_degrees_of_freedom_say() -> None:
    one = 2 * np.exp([0.0, 1e-7, -1e-7]), np.full(3, 1 / 3)  # it moves a little with τ
    sd, lo, hi = variance_interval(*one, 800.0, 0.95)
    assert [lo, hi] == pytest.approx(2 * 800 / chi2.isf([0.025, 0.975], 800), rel=1e-9)
    assert sd == pytest.approx(2 * 800 / 798 * math.sqrt(2 / 796), rel=1e-9)


def test_a_variance_that_is_taken_as_known_has_no_width() -> None:
    sd, lo, hi = variance_interval(np.full(2, 2.0), np.full(2, 0.5), math.nan, 0.95)
    assert sd == 0
    assert lo == hi == pytest.approx(2.0)
