"""Ticks of whole chains: what the feeds are told, once, when a tick is over everywhere."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from types import MappingProxyType

import numpy as np

from stream_hb.arm_parts import Arms, joined_arms
from stream_hb.arm_ticks import arms_of_ticks
from stream_hb.events.batch import Int64s
from stream_hb.events.controls import Controls
from stream_hb.events.ticks import TickClock, Zones
from stream_hb.shard import Shard
from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.tick_cells import rows_of


@dataclass(frozen=True, slots=True)
class ChainTick:
    """What the stores of a chain did in one tick; stores that did nothing are left out.

    Attributes
    ----------
    chain
        The chain.
    number
        The tick, as its clock counts: hours in UTC, or local days.
    end_ms
        When it was over in every zone.
    stores
        Ids, ascending.
    hours
        Length of the tick at each store: a local day may have 23 or 25.
    weekdays
        Its local weekday at each store; 0 is Monday.
    statistics
        By metric, a row a store: the plain statistics.
    arms
        What it tells of the units of experiments.
    controls
        What operators said of stores in it.
    """

    chain: str
    number: int
    end_ms: int
    stores: Sequence[str]
    hours: Floats
    weekdays: Int64s
    statistics: Mapping[str, Statistic]
    arms: Arms = field(default_factory=lambda: MappingProxyType({}))
    controls: Controls = ()


@dataclass(frozen=True, slots=True)
class TickPart:
    """What the stores of a chain in one shard did in one tick, a row a store; and was said."""

    stores: Sequence[str]
    zones: Zones
    statistics: Mapping[str, Statistic]
    arms: Arms = field(default_factory=lambda: MappingProxyType({}))
    controls: Controls = ()

    def joined(self, other: "TickPart") -> "TickPart":
        """Return both; a store is in one shard only, what is said of it may be in any."""
        statistics = {
            name: kept.concatenate(other.statistics[name]) for name, kept in self.statistics.items()
        }
        zones = np.concatenate([self.zones, other.zones])
        arms = joined_arms(self.arms, other.arms)
        controls = tuple(sorted({*self.controls, *other.controls}))
        return TickPart([*self.stores, *other.stores], zones, statistics, arms, controls)

    def told(self, chain: str, number: int, clock: TickClock) -> ChainTick:
        """Return it as all there is of the chain in the tick."""
        order = np.argsort(np.array(self.stores, np.str_))
        return ChainTick(
            chain,
            number,
            clock.end_ms(number),
            [self.stores[at] for at in order.tolist()],
            clock.hours(number, self.zones)[order],
            clock.weekdays(number, self.zones)[order],
            {name: kept.take(order) for name, kept in self.statistics.items()},
            self.arms,
            self.controls,
        )


def closing_parts(shard: Shard, clock: TickClock, closing: int) -> dict[int, dict[str, TickPart]]:
    """Return what a shard's stores did in the open ticks before one, by tick and chain.

    Where units of experiments become mature in a tick, it is told of too, whatever else there was.
    """
    arms = arms_of_ticks(shard, clock, closing)
    ticks = {tick for tick in open_ticks([shard]) if tick < closing} | arms.keys()
    return {tick: _with_arms(shard, parts_of(shard, tick), arms.get(tick, {})) for tick in ticks}


def _with_arms(
    shard: Shard, parts: dict[str, TickPart], arms: Mapping[str, Arms]
) -> dict[str, TickPart]:
    nothing = np.empty(0, np.intp)
    for chain, told in arms.items():
        statistics = {name: shard.table.kind(name).zeros(0) for name in shard.table.metrics}
        parts[chain] = replace(parts.get(chain, TickPart([], nothing, statistics)), arms=told)
    return parts


def parts_of(shard: Shard, number: int) -> dict[str, TickPart]:
    """Return what a shard's stores did in an open tick, by chain; not what units did."""
    if shard.ledger is None:
        return {}
    cells = shard.ledger.cells.of_tick(number)
    rows = rows_of(cells.codes)
    keys = [shard.table.keys[row] for row in rows.tolist()]
    zones = shard.membership.zones_with([])[rows]
    chains = np.array([chain for chain, _ in keys], np.str_)
    said = [control for control in shard.ledger.controls if control.tick == number]
    found = {}
    for chain in dict.fromkeys([*(chain for chain, _ in keys), *(c.chain for c in said)]):
        mine = np.flatnonzero(chains == chain)
        some = cells.take(mine)
        stores = [keys[at][1] for at in mine.tolist()]
        controls = tuple(control for control in said if control.chain == chain)
        found[chain] = TickPart(stores, zones[mine], some.statistics, controls=controls)
    return found


def open_ticks(shards: Iterable[Shard]) -> list[int]:
    """Return the ticks in which something was done or said and that are not closed, ascending."""
    ledgers = [shard.ledger for shard in shards if shard.ledger is not None]
    return sorted({tick for ledger in ledgers for tick in ledger.ticks()})


def chain_ticks(shards: Sequence[Shard], clock: TickClock, closing: int) -> Iterator[ChainTick]:
    """Yield the open ticks before one, ascending: of every chain, by the chains' names."""
    in_order = sorted(shards, key=lambda shard: shard.number)
    parts = [closing_parts(shard, clock, closing) for shard in in_order]
    for number in sorted(set().union(*parts)):
        yield from joined([of_shard.get(number, {}) for of_shard in parts], number, clock)


def joined(
    parts: Iterable[Mapping[str, TickPart]], number: int, clock: TickClock
) -> Iterator[ChainTick]:
    """Yield one tick of every chain from the parts of all shards, by the chains' names."""
    by_chain: dict[str, list[TickPart]] = {}
    for of_shard in parts:
        for chain, part in of_shard.items():
            by_chain.setdefault(chain, []).append(part)
    for chain, some in sorted(by_chain.items()):
        yield reduce(TickPart.joined, some).told(chain, number, clock)
