"""Experiments of which the truth is known, a batch of units at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from stream_hb.feeds.experiments.arm_statistics import ArmStatistics, UnitMoments, ValueMoments
from stream_hb.feeds.experiments.declaration import DeclaredArm, Experiment
from stream_hb.feeds.experiments.evalues import Tuning
from stream_hb.feeds.experiments.outcomes import METRICS
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.moments import Moments

START_MS = 1_700_000_000_000
DAY_MS = 86_400_000
SIGMA = 0.9
"""Sd of the logarithm of an order's value: its mean has a heavy tail."""


def declared(share: float = 0.5, units: float = 5_000.0) -> Experiment:
    """Return two arms and all metrics."""
    arms = DeclaredArm("a", 1 - share), DeclaredArm("b", share)
    return Experiment("ab", arms, "a", START_MS, METRICS, tuning=Tuning(units), cuped=False)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What comes in between two looks, of every row (a store of some experiment).

    Attributes
    ----------
    units
        Units of both arms, on average, shape (rows, 2).
    rates
        Share of units that order, shape (rows, 2).
    """

    units: Floats
    rates: Floats

    @classmethod
    def of(
        cls,
        rows: int,
        units: float = 400.0,
        rate: float = 0.05,
        relative: Floats | float = 0.0,
        share: float = 0.5,
        spread: float = 0.0,
        random: np.random.Generator | None = None,
    ) -> "Traffic":
        """Make rows alike but for a spread of their rates (on the logit) and relative effects.

        ``units`` are an arm's on average; arm b has this share of both arms'.
        """
        away = 0.0 if random is None else spread * random.normal(size=rows)
        base = expit(logit(rate) + away) * np.ones(rows)
        shares = 2 * np.array([1 - share, share])
        return cls(units * shares * np.ones((rows, 1)), np.stack([base, base * (1 + relative)], 1))

    def looks(self, looks: int, random: np.random.Generator) -> Iterator[ArmStatistics]:
        """Yield the statistics at each look, of everything so far.

        Everything is drawn from its own distribution: units, buyers among them, orders of a buyer
        (one and a Poisson more), the value of every order.
        """
        rows = len(self.rates) * 2
        units, buyers = np.zeros(rows), np.zeros(rows)
        orders, orders2, cross = np.zeros(rows), np.zeros(rows), np.zeros(rows)
        values, revenue = Moments.zeros(rows), Moments.zeros(rows)
        for _ in range(looks):
            more = random.poisson(self.units.ravel())
            bought = random.binomial(more, self.rates.ravel())
            units, buyers = units + more, buyers + bought
            row = np.repeat(np.arange(rows), bought)
            times = 1 + random.poisson(0.15, len(row)).astype(np.float64)
            logs = random.normal(8.0, SIGMA, len(row))
            paid: Floats = times * np.exp(logs)
            orders = orders + np.bincount(row, times, rows)
            orders2 = orders2 + np.bincount(row, times**2, rows)
            cross = cross + np.bincount(row, times * paid, rows)
            values = values.merge(Moments.of(row, logs, rows))
            revenue = revenue.merge(Moments.of(row, paid, rows))
            yield _statistics(units, buyers, (orders, orders2), values, revenue, cross)


def rows_of(statistics: ArmStatistics, rows: slice) -> ArmStatistics:
    """Return some of the rows: the stores of one experiment."""
    values, joint = statistics.values, statistics.joint
    assert values is not None
    assert joint is not None
    return ArmStatistics(
        statistics.units[rows],
        statistics.visits[rows],
        statistics.conversions[rows],
        statistics.orders[rows],
        ValueMoments(values.count[rows], values.mean[rows], values.m2[rows]),
        UnitMoments(joint.mean[rows], joint.comoment[rows], joint.has_pre),
    )


def _statistics(
    units: Floats,
    buyers: Floats,
    orders: tuple[Floats, Floats],
    values: Moments,
    revenue: Moments,
    cross: Floats,
) -> ArmStatistics:
    """Put sums over buyers together with the many units that bought nothing; a visit a unit."""
    n = np.maximum(units, 1.0)
    total, idle = revenue.weight * revenue.mean, 1 - buyers / n
    mean = np.stack([np.ones_like(n), buyers / n, orders[0] / n, total / n, 0 * n], axis=-1)
    squares = np.zeros((len(n), 5, 5))
    squares[:, 1, 1] = buyers * idle
    squares[:, 2, 2] = orders[1] - orders[0] ** 2 / n
    # Buyers' own squares, and the distance of their mean from the zeros of the others.
    squares[:, 3, 3] = revenue.m2 + revenue.mean**2 * buyers * idle
    squares[:, 1, 2] = squares[:, 2, 1] = orders[0] * idle
    squares[:, 1, 3] = squares[:, 3, 1] = total * idle
    squares[:, 2, 3] = squares[:, 3, 2] = cross - orders[0] * total / n
    table = len(n) // 2, 2
    return ArmStatistics(
        units.reshape(table),
        units.reshape(table),
        buyers.reshape(table),
        orders[0].reshape(table),
        ValueMoments(*(part.reshape(table) for part in values.columns().values())),
        UnitMoments(mean.reshape(*table, 5), squares.reshape(*table, 5, 5), has_pre=False),
    )
