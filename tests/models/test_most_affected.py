"""The group that the hyperprior moves most is named with the power that moves it."""

from dataclasses import replace

import numpy as np

from stream_hb.models.hyperprior import HalfNormal, Hyperprior
from stream_hb.models.normal import NormalKnownVariance
from stream_hb.models.sensitivity import most_affected
from stream_hb.statistics.measured import Measured


def test_its_estimate_is_the_one_under_the_prior_to_that_power() -> None:
    """Half a prior allows more spread, and lets go of the group that stands out."""
    family = NormalKnownVariance()
    groups = Measured(np.array([0.0, 0.1, -0.1, 3.0]), np.full(4, 0.5))
    fit = family.fit(groups, "bayes", Hyperprior(HalfNormal(0.3)))
    assert fit.sensitivity is not None
    found = most_affected(family, groups, fit.hyper, fit.sensitivity)
    weights = {0.5: fit.sensitivity.halved_weight, 2.0: fit.sensitivity.doubled_weight}
    shifts = {}
    mean, sd = family.screen(groups, fit.hyper)
    for power, weight in weights.items():
        moved, _ = family.screen(groups, replace(fit.hyper, weight=weight))
        shifts[power] = (moved - mean) / sd
    assert shifts[0.5][3] > 0 > shifts[2.0][3]
    assert found.row == 3
    assert found.shift == shifts[found.power][3]
    assert abs(found.shift) == max(np.abs(shift).max() for shift in shifts.values())
    assert (found.shift > 0) == (found.power == 0.5)
