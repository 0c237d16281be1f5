"""Pools in regions or with covariates have the plain defaults, and refuse what plain ones do."""

from typing import Any

import numpy as np
import pytest

from stream_hb.errors import FitError
from stream_hb.models.covariates.registry import COVARIATE_FAMILIES
from stream_hb.models.described import Described
from stream_hb.models.hyperprior import HalfNormal, Hyperprior
from stream_hb.models.nested.registry import NESTED_FAMILIES
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments

KINDS: list[Any] = [NESTED_FAMILIES, COVARIATE_FAMILIES]


@pytest.mark.parametrize("families", KINDS)
@pytest.mark.parametrize(
    ("name", "groups", "median_se"),
    [
        # Standard errors 1 and 3, whose median is 2: that of the variances, 5, has the root 2.24.
        ("normal-known-variance", Measured(np.array([1.0, 1.5]), np.array([1.0, 9.0])), 2.0),
        # σ² = 4 of 8 degrees of freedom, n = 9 and 1: standard errors 2/3 and 2.
        ("normal", Moments(np.array([9.0, 1]), np.array([1.0, 1.5]), np.array([32.0, 0])), 4 / 3),
    ],
)
def test_the_spreads_default_is_twice_the_median_standard_error(
    families: Any, name: str, groups: Any, median_se: float
) -> None:
    stores, family = Described.of(groups, regions=np.zeros(2, dtype=np.intp)), families[name]
    default = family.fit(stores, "bayes")
    given = family.fit(stores, "bayes", Hyperprior(HalfNormal(2 * median_se)))
    assert default.log_likelihood == pytest.approx(given.log_likelihood, rel=1e-12)


@pytest.mark.parametrize("families", KINDS)
@pytest.mark.parametrize(
    ("name", "groups", "said"),
    [
        ("beta-binomial", Counts(np.array([1.0, 3]), np.array([4.0, 2])), "at most its trials, 2"),
        ("gamma-poisson", Exposure(np.array([1.0, 3]), np.array([4.0, 0])), "none without exp"),
    ],
)
def test_counts_that_contradict_each_other_are_refused(
    families: Any, name: str, groups: Any, said: str
) -> None:
    stores = Described.of(groups, regions=np.zeros(2, dtype=np.intp))
    for method in ("ml", "bayes"):
        with pytest.raises(FitError, match=f"row 1 has .*{said}"):
            families[name].fit(stores, method)
