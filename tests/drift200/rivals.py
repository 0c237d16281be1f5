"""Detectors beside ours, each on the same chains: alerts as (days, stores)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from stream_hb.statistics.columns import Floats
from tests.drift200.world import WARM_UP_DAYS, World

Alerts = NDArray[np.bool_]


def oracle(world: World, seed: int, threshold: float) -> Alerts:
    """CUSUM of the log likelihood ratio, which knows every store's log-odds, size and sign.

    Of a store that does not drift it looks for a size and sign drawn as theirs are.
    """
    rng = np.random.default_rng(seed)
    stores = world.visits.shape[1]
    shift = rng.choice(world.plan.sizes, stores) * rng.choice([-1, 1], stores)
    shift[world.drifting] = world.shift
    grown = np.logaddexp(0, world.truth + shift) - np.logaddexp(0, world.truth)
    return _cusum(world.orders * shift - world.visits * grown, threshold)


def cusum(z: Floats, slack: float, threshold: float) -> Alerts:
    """Two-sided CUSUM of standardised innovations."""
    z = np.where(np.isfinite(z), z, slack)
    up, down = _cusum(z - slack, threshold), _cusum(-z - slack, threshold)
    return up | down


def _cusum(steps: Floats, threshold: float) -> Alerts:
    total, alerts = np.zeros(steps.shape[1]), np.zeros(steps.shape, bool)
    for day in range(WARM_UP_DAYS, len(steps)):
        total = np.maximum(total, 0) + steps[day]
        alerts[day] = total > threshold
        total[alerts[day]] = 0
    return alerts


def of_river(z: Floats, make: Any) -> Alerts:
    """Return the alerts of one of river's detectors a store, given the innovations."""
    alerts = np.zeros(z.shape, bool)
    for store in range(z.shape[1]):
        detector = make()
        for day in range(WARM_UP_DAYS, len(z)):
            if np.isfinite(z[day, store]):
                detector.update(float(z[day, store]))
                alerts[day, store] = detector.drift_detected
    return alerts


def published_innovations(
    world: World, lag: int = 14, half_life: float = 42.0, noise_sd: float = 0.05 * 2**0.5
) -> Floats:
    """Return z as the benchmark's description has it: log rate ratios added to log-odds.

    Ours adds log odds ratios. The description's rows of CUSUM come out with this formula, a lag of
    14 days and a half-life of 42.
    """
    visits, orders = world.visits, world.orders
    prior = 1 / 0.3**2
    observed, expected = np.zeros(visits.shape[1]), np.zeros(visits.shape[1])
    offset, z = float(logit(world.plan.base)), np.zeros(visits.shape)
    offsets: list[float] = []
    for day in range(len(visits)):
        observed, expected = observed * 2 ** (-1 / half_life), expected * 2 ** (-1 / half_life)
        if day >= lag:
            observed += orders[day - lag]
            expected += visits[day - lag] * expit(offsets[day - lag])
        relation = np.log((observed + prior) / (expected + prior))
        for _ in range(4):
            share = expit(offset + relation)
            weight = visits[day] * share * (1 - share)
            offset += (orders[day].sum() - (visits[day] * share).sum()) / weight.sum()
        offsets.append(offset)
        share = expit(offset + relation)
        weight = visits[day] * share * (1 - share)
        others = weight.sum() - weight
        share = expit(offset - (orders[day] - visits[day] * share) / others + relation)
        variance = 1 / (observed + prior) + 1 / others + noise_sd**2
        z[day] = _standardised(orders[day], visits[day], share, variance)
    return z


def _standardised(orders: Any, visits: Any, share: Floats, variance: Floats) -> Floats:
    precision = np.maximum(1 / (share * (1 - share) * variance) - 1, 2)
    scale = visits * share * (1 - share) * (1 + (visits - 1) / (precision + 1))
    z: Floats = (orders - visits * share) / np.sqrt(np.maximum(scale, 1e-12))
    return z
