"""Pools of groups with covariates for the tests of this room."""

from typing import Any

import numpy as np

from stream_hb.models.described import Described
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments


def covariates_of(count: int, columns: int, seed: int = 1) -> Floats:
    """Return covariates that differ, far from zero and of unequal scales."""
    rng = np.random.default_rng(seed)
    spread: Floats = rng.normal(size=(count, columns)) * 10.0 ** np.arange(columns) + 50
    return spread


def pool(name: str, count: int = 12, columns: int = 1, seed: int = 1) -> Described[Any]:
    """Return a pool of a family that varies with its first covariate, and besides."""
    rng = np.random.default_rng(seed)
    x = covariates_of(count, columns, seed)
    link = -1 + 0.5 * (x[:, 0] - 50) + rng.normal(0, 0.4, count)
    size: Floats = np.round(np.exp(rng.uniform(1, 6, count))).astype(np.float64)
    match name:
        case "beta-binomial":
            successes = rng.binomial(size.astype(int), 1 / (1 + np.exp(-link)))
            return Described.of(Counts(successes.astype(float), size), x)
        case "gamma-poisson":
            events = rng.poisson(size * np.exp(link))
            return Described.of(Exposure(events.astype(float), size), x)
        case "normal":
            size = size + 1
            m2 = rng.chisquare(size - 1)
            return Described.of(Moments(size, link + rng.normal(0, size**-0.5), m2), x)
        case _:
            mean = link + rng.normal(0, size**-0.5)
            return Described.of(Measured(mean, 1 / size), x)


def with_an_empty_group(described: Described[Any]) -> Described[Any]:
    """Return the pool with one group more that has no data, but covariates."""
    nothing = type(described.groups).zeros(1)
    return described.concatenate(Described.of(nothing, described.covariates[:1] + 0.5))
