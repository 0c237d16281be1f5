"""An experiment in a chain between two looks: its units so far, and what was said of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.arm_parts import ArmPart
from stream_hb.feeds.experiments.arm_statistics import ArmStatistics
from stream_hb.feeds.experiments.arm_sums import added, no_units, plain, restored
from stream_hb.feeds.experiments.declaration import Experiment
from stream_hb.feeds.experiments.state import State
from stream_hb.feeds.experiments.told import Told
from stream_hb.statistics.columns import Floats


@dataclass(frozen=True, slots=True)
class Running:
    """An experiment in a chain, after its last look.

    Attributes
    ----------
    stores
        Ids by row, in the order in which units were first seen there.
    since_tick
        Units first seen in earlier ticks do not take part.
    assigned, statistics
        Units so far, and what the mature ones did.
    crossovers, undeclared
        Units in several arms, and in arms that were never declared.
    state
        What the analysis remembers.
    seq
        Number of the chain's last record.
    told
        What was said of stores.
    refuted
        The stores whose sample ratio is refuted, by row.
    """

    stores: tuple[str, ...]
    since_tick: int
    assigned: Floats
    statistics: ArmStatistics
    crossovers: float
    undeclared: float
    state: State
    seq: int
    told: Told
    refuted: NDArray[np.bool_]

    @classmethod
    def begun(cls, experiment: Experiment, since_tick: int) -> Self:
        """Return one without a unit."""
        arms, metrics = len(experiment.arms), len(experiment.analysed)
        return cls(
            (),
            since_tick,
            np.zeros((0, arms)),
            no_units(0, arms),
            0.0,
            0.0,
            State.fresh(experiment),
            0,
            Told.nothing(metrics, 0, len(experiment.treatments)),
            np.zeros(0, np.bool_),
        )

    def under(self, experiment: Experiment, tick: int) -> "Running":
        """Return it as the declaration has it: another one begins with the units after a tick."""
        if experiment.fingerprint() == self.state.fingerprint:
            return self
        new = Running.begun(experiment, tick + 1).with_stores(self.stores)
        told = replace(new.told, seq=self.told.seq)
        return replace(new, state=self.state, seq=self.seq, told=told)

    def with_stores(self, more: Sequence[str]) -> "Running":
        """Return it with further stores."""
        stores = (*self.stores, *more)
        assigned = np.zeros((len(stores), self.assigned.shape[1]))
        assigned[: len(self.stores)] = self.assigned
        nobody = no_units(0, assigned.shape[1], self.statistics)
        return replace(
            self,
            stores=stores,
            assigned=assigned,
            statistics=added(self.statistics, np.empty(0, np.intp), nobody, len(stores)),
            told=self.told.with_stores(len(stores)),
            refuted=np.append(self.refuted, np.zeros(len(more), np.bool_)),
        )

    def with_units(self, parts: Iterable[ArmPart]) -> "Running":
        """Return it with the units that a tick tells of."""
        parts = list(parts)
        new = sorted({store for part in parts for store in part.stores} - set(self.stores))
        after = self.with_stores(new) if new else self
        row_of = {store: row for row, store in enumerate(after.stores)}
        assigned, statistics = after.assigned.copy(), after.statistics
        for part in parts:
            rows = np.array([row_of[store] for store in part.stores], np.intp)
            assigned[rows] += part.assigned
            statistics = added(statistics, rows, part.statistics, len(after.stores))
        return replace(
            after,
            assigned=assigned,
            statistics=statistics,
            crossovers=after.crossovers + sum(part.crossovers for part in parts),
            undeclared=after.undeclared + sum(part.undeclared for part in parts),
        )

    def snapshot(self) -> list[Any]:
        """Return it as plain values and arrays."""
        told = self.told
        return [
            list(self.stores),
            self.since_tick,
            self.assigned,
            plain(self.statistics),
            self.crossovers,
            self.undeclared,
            self.state.snapshot(),
            self.seq,
            [told.seq, told.effect, told.sd, told.marked],
            self.refuted,
        ]

    @classmethod
    def restored(cls, told: Sequence[Any]) -> Self:
        """Undo :meth:`snapshot`."""
        stores, since, assigned, columns, crossovers, undeclared, state, seq, last, refuted = told
        return cls(
            tuple(stores),
            since,
            assigned,
            restored(columns),
            crossovers,
            undeclared,
            State.restore(state),
            seq,
            Told(*last),
            refuted,
        )
