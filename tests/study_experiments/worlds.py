"""Experiments of which the truth is known, a batch of units at a time.

Ten thousand experiments are one experiment in ten thousand stores: a store's evidence is its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stream_hb.feeds.experiments.arm_statistics import ArmStatistics, UnitMoments, ValueMoments
from stream_hb.feeds.experiments.declaration import DeclaredArm, Experiment
from stream_hb.feeds.experiments.evalues import Tuning
from stream_hb.feeds.experiments.outcomes import METRICS
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.moments import Moments

START_MS = 1_700_000_000_000
SIGMA = 0.9
"""Sd of the logarithm of an order's value: its mean has a heavy tail."""


def declared(metrics: tuple[str, ...] = METRICS, units: float = 5_000.0) -> Experiment:
    """Return two arms of equal weight."""
    arms = DeclaredArm("a", 0.5), DeclaredArm("b", 0.5)
    return Experiment("ab", arms, "a", START_MS, metrics, tuning=Tuning(units), cuped=False)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What comes in between two looks.

    Attributes
    ----------
    units
        Units an arm and batch, on average.
    rate
        Share of units that order.
    effects
        Of each experiment on the logit of arm b's rate, shape (experiments,).
    """

    units: float
    rate: float
    effects: Floats

    def looks(self, looks: int, random: np.random.Generator) -> Iterator[ArmStatistics]:
        """Yield the statistics at each look, of everything so far.

        Everything is drawn from its own distribution: buyers among the units, orders of a buyer (1
        and a Poisson more), every order's value.
        """
        count = len(self.effects)
        logit = np.log(self.rate / (1 - self.rate)) + np.stack([0 * self.effects, self.effects], 1)
        rate = 1 / (1 + np.exp(-logit))
        rows = count * 2
        units, buyers = np.zeros((count, 2)), np.zeros((count, 2))
        orders, orders2 = np.zeros(rows), np.zeros(rows)
        values, revenue = Moments.zeros(rows), Moments.zeros(rows)
        cross = np.zeros(rows)
        for _ in range(looks):
            more = random.poisson(self.units, (count, 2))
            bought = random.binomial(more, rate)
            units, buyers = units + more, buyers + bought
            row = np.repeat(np.arange(rows), bought.ravel())
            times = 1.0 + random.poisson(0.15, len(row)).astype(np.float64)
            paid: Floats = times * np.exp(random.normal(8.0, SIGMA, len(row)))
            orders += np.bincount(row, times, rows)
            orders2 += np.bincount(row, times**2, rows)
            cross += np.bincount(row, times * paid, rows)
            values = values.merge(Moments.of(row, np.log(paid / times), rows))
            revenue = revenue.merge(Moments.of(row, paid, rows))
            yield _statistics(units, buyers, (orders, orders2), values, revenue, cross)


def _statistics(
    units: Floats,
    buyers: Floats,
    orders: tuple[Floats, Floats],
    values: Moments,
    revenue: Moments,
    cross: Floats,
) -> ArmStatistics:
    """Put sums over buyers together with the many units that bought nothing; a visit a unit."""
    n, y = np.maximum(units.ravel(), 1.0), buyers.ravel()
    total = revenue.weight * revenue.mean
    mean = np.stack([np.ones_like(n), y / n, orders[0] / n, total / n, 0 * n], axis=-1)
    comoment = np.zeros((len(n), 5, 5))
    comoment[:, 1, 1] = y - y**2 / n
    comoment[:, 2, 2] = orders[1] - orders[0] ** 2 / n
    # Buyers' own squares, and the distance of their mean from the zeros of the others.
    comoment[:, 3, 3] = revenue.m2 + revenue.mean**2 * y * (1 - y / n)
    comoment[:, 1, 2] = comoment[:, 2, 1] = orders[0] * (1 - y / n)
    comoment[:, 1, 3] = comoment[:, 3, 1] = total * (1 - y / n)
    comoment[:, 2, 3] = comoment[:, 3, 2] = cross - orders[0] * total / n
    shape = units.shape
    moments = (values.weight, values.mean, values.m2)
    return ArmStatistics(
        units,
        units,
        buyers,
        orders[0].reshape(shape),
        ValueMoments(*(one.reshape(shape) for one in moments)),
        UnitMoments(mean.reshape(*shape, 5), comoment.reshape(*shape, 5, 5), has_pre=False),
    )
