"""What a pool's fit says of itself in the record of its refit."""

import numpy as np

from stream_hb.models.registry import FAMILIES
from stream_hb.pool_fit import PoolFit
from stream_hb.statistics.counts import Counts


def test_the_hyperparameters_intervals_have_the_level_of_the_settings() -> None:
    groups = Counts(np.array([3.0, 9.0, 5.0, 14.0]), np.full(4, 60.0))
    fit = FAMILIES["beta-binomial"].fit(groups, "bayes")
    pool = PoolFit(1, 1_000, "beta-binomial", fit, 240.0)
    for level in (0.5, 0.95):
        record = pool.record(("north", "conversion"), level)
        expected = FAMILIES["beta-binomial"].uncertainty(fit.hyper, level)
        for name, (sd, lo, hi) in expected.items():
            told = record.hyperparameters[name]
            assert (told.sd, told.interval) == (sd, (lo, hi))
