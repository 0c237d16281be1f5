"""Order values of a chain: log-normal with a few bulk orders, and stores whose prices move."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stream_hb.feeds.drift.tick import Tick
from stream_hb.statistics.columns import Floats
from tests.drift200.harness import tick_of
from tests.drift200.world import World

SIGMA = 0.9
BULK_SHARE = 0.002
BULK_FACTOR = 20.0
SHIFT = float(np.log(1.2))


def values(world: World, seed: int, bulk_share: float = BULK_SHARE) -> Iterator[Tick]:
    """Return the daily means of log values of as many orders as the chain has.

    The chain's own price level walks and jumps with its promotions; the drifting stores' values
    move by a fifth, in the sign of their drift.
    """
    rng = np.random.default_rng([seed, 2])
    stores = world.visits.shape[1]
    store = rng.normal(3.5, 0.2, stores)
    walk = np.cumsum(rng.normal(0, 0.02, len(world.visits)))
    shift = np.zeros(world.visits.shape)
    for row, size, day in zip(world.drifting, world.shift, world.day, strict=True):
        shift[day:, row] = np.sign(size) * SHIFT
    for day, orders in enumerate(world.orders):
        mean = store + walk[day] - 0.1 * world.promotion[day] + shift[day]
        size, average, m2 = _moments(rng, orders, mean, bulk_share)
        yield tick_of(day, size, average, m2)


def _moments(
    rng: np.random.Generator, orders: NDArray[np.int64], mean: Floats, bulk_share: float
) -> tuple[Floats, Floats, Floats]:
    """Return n, mean and sum of squared deviations of each store's log values."""
    rows = np.repeat(np.arange(len(orders)), orders)
    logs = mean[rows] + rng.normal(0, SIGMA, len(rows))
    logs += np.log(BULK_FACTOR) * (rng.random(len(rows)) < bulk_share)
    n = orders.astype(np.float64)
    total = np.bincount(rows, logs, len(orders))
    average = np.divide(total, n, out=np.zeros(len(orders)), where=n > 0)
    m2: Floats = np.bincount(rows, (logs - average[rows]) ** 2, len(orders)).astype(np.float64)
    return n, average, m2
