"""The feed of experiments: units add up tick by tick, and every closed tick is a look.

A look is of one experiment in one chain, at the end of a tick, at the units that are mature then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

import msgspec
import numpy as np

from stream_hb.arm_parts import ArmPart
from stream_hb.chain_ticks import ChainTick
from stream_hb.events.calendar import DAY_MS, HOUR_MS
from stream_hb.feeds.estimates import OutRecord
from stream_hb.feeds.experiments.analysis import Seen, look
from stream_hb.feeds.experiments.chain_record import chain_record
from stream_hb.feeds.experiments.declaration import Experiment
from stream_hb.feeds.experiments.outcomes import METRICS
from stream_hb.feeds.experiments.past import Past
from stream_hb.feeds.experiments.record import Provenance
from stream_hb.feeds.experiments.store_belief import all_store_beliefs
from stream_hb.feeds.experiments.store_record import store_records
from stream_hb.feeds.experiments.told import Told
from stream_hb.running_experiment import Running
from stream_hb.settings import EmissionRule
from stream_hb.statistics.table import GroupKey
from stream_hb.tick_feeds import TickMoment

Place = tuple[str, str]
"""An experiment's id, and a chain."""


@dataclass(frozen=True, slots=True)
class ExperimentsFeed:
    """See :class:`stream_hb.tick_feeds.TickFeed`.

    Attributes
    ----------
    experiments
        As declared.
    emission
        Which changes of a store are worth a record; the chain has one at every look.
    running
        What is remembered, by experiment and chain; of experiments that are declared no more too,
        for one that comes back is the one that it was.
    past
        What the stores of chains did before experiments began.
    """

    experiments: tuple[Experiment, ...]
    emission: EmissionRule = field(default_factory=EmissionRule)
    running: Mapping[Place, Running] = field(default_factory=lambda: MappingProxyType({}))
    past: Mapping[Place, Past] = field(default_factory=lambda: MappingProxyType({}))

    reads_arms = True
    """Ticks are shown in which stores did nothing and units became mature."""

    @property
    def srm(self) -> frozenset[GroupKey]:
        """The stores that have arms without the shares that they should have."""
        declared = {experiment.experiment_id for experiment in self.experiments}
        return frozenset(
            (chain, running.stores[row])
            for (experiment, chain), running in self.running.items()
            if experiment in declared
            for row in np.flatnonzero(running.refuted).tolist()
        )

    def step(self, tick: ChainTick, moment: TickMoment) -> tuple[Self, list[OutRecord]]:
        """Look at every experiment that has units in the chain."""
        running, past, records = dict(self.running), dict(self.past), []
        for experiment in self.experiments:
            place = experiment.experiment_id, tick.chain
            if experiment.cuped and tick.end_ms <= experiment.start_ms:
                past[place] = _longer(past.get(place, Past.nothing()), tick, experiment.metrics[0])
            mine = {
                key.first_tick: part
                for key, part in tick.arms.items()
                if key.experiment_id == experiment.experiment_id
            }
            known = running.get(place)
            if known is None and not mine:
                continue
            known = known or Running.begun(experiment, _first(mine, tick.number))
            known = known.under(experiment, tick.number)
            parts = [part for first, part in sorted(mine.items()) if first >= known.since_tick]
            running[place], told = self._looked(experiment, known.with_units(parts), tick, moment)
            records += told
        return replace(self, running=running, past=past), records

    def _looked(
        self, experiment: Experiment, known: Running, tick: ChainTick, moment: TickMoment
    ) -> tuple[Running, list[OutRecord]]:
        past = self.past.get((experiment.experiment_id, tick.chain))
        seen = Seen(
            known.statistics,
            known.assigned,
            tick.end_ms,
            known.crossovers,
            known.undeclared,
            pre_rate=None if past is None else past.rates(known.stores),
            begun_ms=_begun_ms(known.since_tick, tick),
        )
        state, found = look(experiment, known.state, seen)
        beliefs = all_store_beliefs(experiment, known.statistics)
        said = Told.of_look(experiment, found, beliefs, len(known.stores))
        worth = known.told.worth(said, experiment.analysed, self.emission)
        after = replace(
            known,
            state=state,
            seq=known.seq + 1,
            told=known.told.replaced(said, experiment.analysed, worth),
            refuted=found.srm_stores | (found.srm.status == "alert"),
        )
        shared = Provenance(
            tick.chain,
            known.stores,
            moment.epoch,
            tick.end_ms,
            moment.now_ms,
            msgspec.Raw(msgspec.json.encode(moment.offsets)),
        )
        records = [chain_record(shared, after.seq, experiment, state, seen, found, beliefs)]
        for place, metric in enumerate(experiment.analysed):
            rows = np.flatnonzero(worth[place])
            seqs = after.told.seq[METRICS.index(metric)][rows].tolist()
            records += store_records(
                shared, seqs, experiment, state, found, metric, beliefs[metric], rows.tolist()
            )
        return after, records

    def snapshot(self) -> Any:
        """Return what is remembered as plain values and arrays."""
        running = [[*place, known.snapshot()] for place, known in self.running.items()]
        return [running, [[*place, past.snapshot()] for place, past in self.past.items()]]

    def restored(self, state: Any) -> Self:
        """Return the feed that remembers a :meth:`snapshot`."""
        running, past = state
        return replace(
            self,
            running={(name, chain): Running.restored(told) for name, chain, told in running},
            past={(name, chain): Past.restored(told) for name, chain, told in past},
        )


def _longer(past: Past, tick: ChainTick, metric: str) -> Past:
    """Return what stores did before with one tick more, where it tells of the metric."""
    if metric not in tick.statistics:
        return past
    columns = tick.statistics[metric].columns()
    if "trials" in columns:
        return past.after(tick.stores, columns["trials"], columns["successes"])
    if "exposure" in columns:
        return past.after(tick.stores, columns["exposure"], columns["events"])
    return past.after(tick.stores, columns["weight"], columns["weight"] * columns["mean"])


def _begun_ms(since_tick: int, tick: ChainTick) -> int:
    """Return when an earlier tick began, from one that is over.

    Ticks are numbered from 1970 on: days by days, hours by hours.
    """
    length_ms = DAY_MS if tick.end_ms >= tick.number * DAY_MS else HOUR_MS
    return tick.end_ms - (tick.number - since_tick + 1) * length_ms


def _first(parts: Mapping[int, ArmPart], tick: int) -> int:
    """Return the tick whose units are the first to take part: of others only a half is known.

    Where the feed was turned on while units came, those of before will become mature, but nobody
    has told of their arms.
    """
    return min((first for first, part in parts.items() if part.assigned.sum() > 0), default=tick)
