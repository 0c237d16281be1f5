"""What a tick tells of the units of experiments, by experiment and tick of first sight.

A unit is told of twice: its arm in the tick in which it is first seen, what it did in the tick at
whose end its window is over. What ticks tell adds up. A unit that turns out to be in several arms
before its window is over is taken back where it was counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from stream_hb.feeds.experiments.arm_statistics import ArmStatistics
from stream_hb.feeds.experiments.arm_sums import concatenated, plain, restored
from stream_hb.statistics.columns import Floats


class ArmKey(NamedTuple):
    """An experiment, and the tick in which the units were first seen that are told of."""

    experiment_id: str
    first_tick: int


@dataclass(frozen=True, slots=True)
class ArmPart:
    """What a tick tells of units that were first seen in one tick; a row a store.

    Attributes
    ----------
    stores
        Their ids.
    assigned
        Units more in each arm, shape (stores, arms); less where one turned out to be in several.
    crossovers, undeclared
        Units more that were in several arms, or in one that the experiment does not have.
    statistics
        Of units that are mature now.
    """

    stores: Sequence[str]
    assigned: Floats
    crossovers: float
    undeclared: float
    statistics: ArmStatistics

    def joined(self, other: "ArmPart") -> "ArmPart":
        """Return both; a store is in one of them only."""
        return ArmPart(
            [*self.stores, *other.stores],
            np.concatenate([self.assigned, other.assigned]),
            self.crossovers + other.crossovers,
            self.undeclared + other.undeclared,
            concatenated(self.statistics, other.statistics),
        )


Arms = Mapping[ArmKey, ArmPart]
"""What a tick tells of the experiments of a chain."""


def joined_arms(one: Arms, other: Arms) -> Arms:
    """Return what both tell."""
    both = {key: part.joined(other[key]) for key, part in one.items() if key in other}
    return {**one, **other, **both}


def plain_arms(arms: Arms) -> list[Any]:
    """Return what a tick tells as plain values and arrays."""
    return [
        [*key, list(p.stores), p.assigned, p.crossovers, p.undeclared, plain(p.statistics)]
        for key, p in sorted(arms.items(), key=lambda item: item[0])
    ]


def restored_arms(told: Sequence[Sequence[Any]]) -> Arms:
    """Undo :func:`plain_arms`."""
    return {
        ArmKey(experiment, first): ArmPart(
            stores, np.asarray(assigned, np.float64), crossovers, undeclared, restored(columns)
        )
        for experiment, first, stores, assigned, crossovers, undeclared, columns in told
    }
