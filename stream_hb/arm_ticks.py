"""The units of a shard's experiments by the ticks that tell of them: when new, and when mature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from stream_hb.arm_parts import ArmKey, ArmPart, Arms
from stream_hb.contributions import Share, Sums
from stream_hb.events.arm_sets import ArmSet, ArmSets
from stream_hb.events.batch import Bools, Int64s
from stream_hb.events.ticks import TickClock
from stream_hb.events.totals import ABSENT, Summed
from stream_hb.events.unit_outcomes import (
    CROSSED,
    UNDECLARED,
    Asked,
    Outcomes,
    SeenVisits,
    outcomes,
)
from stream_hb.events.units import Units
from stream_hb.feeds.experiments.arm_statistics import ArmStatistics, ValueMoments
from stream_hb.feeds.experiments.unit_statistics import UnitColumns, statistics_of_units
from stream_hb.settings import UnitRule
from stream_hb.shard import Shard
from stream_hb.statistics.columns import Floats, Rows, sum_by_row
from stream_hb.statistics.forgetting import Never
from stream_hb.statistics.moments import Moments

_NOT_OF = -3


@dataclass(frozen=True, slots=True)
class _Ticks:
    """Consecutive ticks; those from ``closed`` on are told now, the others were."""

    first: int
    ends_ms: Int64s
    closed: int

    @classmethod
    def until(cls, clock: TickClock, earliest_ms: int, closed: int, closing: int) -> Self:
        """Return the ticks from before a time to the last one that is closed."""
        day = clock.numbers(np.zeros(1, np.intp), np.array([earliest_ms]))
        first = min(int(day[0]) - 2, closing - 1)  # two: the zones are up to a day apart
        ends_ms = np.array([clock.end_ms(tick) for tick in range(first, closing)], np.int64)
        return cls(first, ends_ms, closed)

    def of(self, times_ms: Int64s) -> Int64s:
        """Return the tick that each time is in, one too many where it is not over."""
        return self.first + np.searchsorted(self.ends_ms, times_ms, side="right")

    def over(self, times_ms: Int64s) -> Int64s:
        """Return the first tick that ends no earlier than each time."""
        return self.first + np.searchsorted(self.ends_ms, times_ms, side="left")

    def told(self, ticks: Int64s) -> Bools:
        """Tell which ticks are told of now."""
        return (ticks >= self.closed) & (ticks < self.first + len(self.ends_ms))

    def end_ms(self, ticks: Int64s) -> Int64s:
        """Return when ticks end; of those that are not over, when the last one did."""
        return self.ends_ms[np.minimum(ticks - self.first, len(self.ends_ms) - 1)]


@dataclass(frozen=True, slots=True)
class _Assigned:
    """Units more (or less) in an arm: tick, tick of first sight, group, arm, how many."""

    tick: Int64s
    first: Int64s
    row: Rows
    arm: Int64s
    number: Int64s

    @classmethod
    def of(cls, parts: Sequence[tuple[Any, ...]]) -> Self:
        """Put some together."""
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))


@dataclass(frozen=True, slots=True)
class _Mature:
    """Mature units, or totals: tick, tick of first sight, group, arm, and what they did."""

    tick: Int64s
    first: Int64s
    row: Rows
    arm: Int64s
    did: "Outcomes | Summed"

    def take(self, rows: Any) -> Self:
        """Return some of them."""
        return type(self)(
            self.tick[rows], self.first[rows], self.row[rows], self.arm[rows], self.did.take(rows)
        )


def arms_of_ticks(shard: Shard, clock: TickClock, closing: int) -> dict[int, dict[str, Arms]]:
    """Return what the ticks before one tell of a shard's units: by tick, by chain.

    Those that the shard has closed before were told then.
    """
    found: dict[int, dict[str, dict[ArmKey, ArmPart]]] = {}
    closed = shard.ledger.closed if shard.ledger else 0
    if not shard.units or closing <= closed:
        return {}
    after_ms = clock.end_ms(closed - 1) if closed else 0
    for rule, assigned, mature in _told(shard, clock, after_ms, closed, closing):
        for tick, chain, first, part in _parts(shard, rule, assigned, mature):
            by_chain = found.setdefault(tick, {}).setdefault(chain, {})
            by_chain[ArmKey(rule.experiment_id, first)] = part
    return {tick: dict(by_chain) for tick, by_chain in found.items()}


def _told(
    shard: Shard, clock: TickClock, after_ms: int, closed: int, closing: int
) -> list[tuple[UnitRule, _Assigned, _Mature]]:
    rules = shard.units
    longest_ms = max(rule.window_ms for rule in rules)
    units = shard.attribution.units.since(max(after_ms - longest_ms, 0))
    totals = shard.totals.of_arms()
    times_ms = np.concatenate([units.first_ms, totals.start_ms])
    if not len(times_ms):
        return []
    ticks = _Ticks.until(clock, int(times_ms.min()), closed, closing)
    seen = None
    found = []
    for rule in rules:
        mine = _of_rule(shard, rule, units, ticks)
        if len(mine.key):
            seen = seen or SeenVisits.between(
                shard.attribution,
                shard.arms,
                int(units.first_ms.min()),
                int(ticks.ends_ms[-1]) + longest_ms,
            )
            part = seen.part(_is_of(shard.arms, rule, seen.units.arms))
            found.append((rule, *_of_units(shard, rule, mine, ticks, part)))
        some = _totals_of_rule(shard, rule, totals, ticks)
        if len(some.row):
            found.append((rule, *_of_totals(shard, rule, some, ticks)))
    return found


def _codes(sets: ArmSets, rule: UnitRule, numbers: Int64s) -> Int64s:
    """Return the arm that each set of arms is, ``_NOT_OF`` where it is of other experiments."""
    arms = {name: at for at, name in enumerate(rule.arms)}
    each = [_code(some, rule.experiment_id, arms) for some in sets.known]
    return np.array([*each, _NOT_OF], np.int64)[numbers]  # the last place is the empty set's


def _code(some: ArmSet, experiment_id: str, arms: Mapping[str, int]) -> int:
    """Return the arm of a set; all arms of a set are of one experiment."""
    if some[0][0] != experiment_id:
        return _NOT_OF
    return CROSSED if len(some) > 1 else arms.get(some[0][1], UNDECLARED)


def _is_of(sets: ArmSets, rule: UnitRule, numbers: Int64s) -> Bools:
    """Tell which sets of arms are an experiment's."""
    mine: Bools = _codes(sets, rule, numbers) != _NOT_OF
    return mine


def _of_rule(shard: Shard, rule: UnitRule, units: Units, ticks: _Ticks) -> Units:
    """Return the units of an experiment that are told of now, their keys ascending."""
    mine = _is_of(shard.arms, rule, units.arms) & (units.first_ms >= rule.start_ms)
    mine &= ~_read_totals(shard, rule, units.row)
    mine &= ticks.told(ticks.of(units.first_ms)) | ticks.told(
        ticks.over(_until_ms(rule, units.first_ms))
    )
    places = np.flatnonzero(mine)
    return units.take(places[np.argsort(units.key[places])])


def _read_totals(shard: Shard, rule: UnitRule, rows: Rows) -> Bools:
    """Tell in which groups an experiment reads totals."""
    chains, codes = shard.table.chain_codes_with([])
    totals = np.array([shard.reads_totals(rule.metrics[0], chain) for chain in chains], np.bool_)
    return totals[codes[rows]]


def _until_ms(rule: UnitRule, first_ms: Int64s) -> Int64s:
    # At least the instant of the first visit belongs to a unit.
    return first_ms + max(rule.window_ms, 1)


def _of_units(
    shard: Shard, rule: UnitRule, units: Units, ticks: _Ticks, seen: SeenVisits
) -> tuple[_Assigned, _Mature]:
    until_ms = _until_ms(rule, units.first_ms)
    first, over = ticks.of(units.first_ms), ticks.over(until_ms)
    early_ms = np.minimum(ticks.end_ms(first), until_ms)
    did = outcomes(
        shard.attribution,
        seen,
        Asked(units.key, early_ms, until_ms),
        lambda numbers: _codes(shard.arms, rule, numbers),
    )
    new = np.flatnonzero(ticks.told(first))
    told = ticks.told(over)
    turned = np.flatnonzero(told & (did.early_arm != did.arm))
    assigned = _Assigned.of(
        [
            (tick[rows], first[rows], units.row[rows], arm[rows], np.full(len(rows), number))
            for rows, tick, arm, number in (
                (new, first, did.early_arm, 1),
                (turned, over, did.early_arm, -1),
                (turned, over, did.arm, 1),
            )
        ]
    )
    rows = np.flatnonzero(told & (did.arm >= 0))
    return assigned, _Mature(over, first, units.row, did.arm, did).take(rows)


def _totals_of_rule(shard: Shard, rule: UnitRule, totals: Summed, ticks: _Ticks) -> Summed:
    """Return the totals of an experiment that are told of now and say all that it analyses."""
    mine = _is_of(shard.arms, rule, totals.arm) & (totals.start_ms >= rule.start_ms)
    mine &= _read_totals(shard, rule, totals.row)
    mine &= ticks.told(ticks.over(totals.end_ms + rule.window_ms))
    mine &= totals.conversions != ABSENT
    if "order_rate" in rule.metrics:
        mine &= totals.orders != ABSENT
    if "log_order_value" in rule.metrics:
        mine &= totals.log_count != ABSENT
    return totals.take(np.flatnonzero(mine))


def _of_totals(
    shard: Shard, rule: UnitRule, totals: Summed, ticks: _Ticks
) -> tuple[_Assigned, _Mature]:
    order = np.lexsort((totals.start_ms, totals.arm, totals.row))
    totals = totals.take(order)
    first, over = ticks.of(totals.start_ms), ticks.over(totals.end_ms + rule.window_ms)
    arm = _codes(shard.arms, rule, totals.arm)
    mature = _Mature(over, first, totals.row, arm, totals)
    return _Assigned(over, first, totals.row, arm, totals.visits), mature.take(arm >= 0)


def _parts(
    shard: Shard, rule: UnitRule, assigned: _Assigned, mature: _Mature
) -> list[tuple[int, str, int, ArmPart]]:
    """Take apart by tick, chain and tick of first sight."""
    chains, codes = shard.table.chain_codes_with([])
    places = [
        np.stack([some.tick, codes[some.row].astype(np.int64), some.first])
        for some in (assigned, mature)
    ]
    distinct, which = np.unique(np.concatenate(places, axis=1), axis=1, return_inverse=True)
    which = which.reshape(-1)
    found = []
    for at, (tick, chain, first) in enumerate(distinct.T.tolist()):
        new = np.flatnonzero(which[: len(assigned.row)] == at)
        old = np.flatnonzero(which[len(assigned.row) :] == at)
        some = _Assigned(*(getattr(assigned, field.name)[new] for field in fields(assigned)))
        part = _part(shard, rule, some, mature.take(old))
        found.append((tick, chains[chain], first, part))
    return found


def _part(shard: Shard, rule: UnitRule, assigned: _Assigned, mature: _Mature) -> ArmPart:
    rows = np.unique(np.concatenate([assigned.row, mature.row]))
    arms, size = len(rule.arms), len(rows)
    live = assigned.arm >= 0
    cells = np.searchsorted(rows, assigned.row[live]) * arms + assigned.arm[live]
    number = assigned.number.astype(np.float64)
    did, store = mature.did, np.searchsorted(rows, mature.row)
    return ArmPart(
        [shard.table.keys[row][1] for row in rows.tolist()],
        sum_by_row(cells, number[live], size * arms).reshape(size, arms),
        float(number[assigned.arm == CROSSED].sum()),
        float(number[assigned.arm == UNDECLARED].sum()),
        _statistics_of_totals(did, store, mature.arm, size, arms)
        if isinstance(did, Summed)
        else _statistics_of_units(rule, did, store, mature.arm, size),
    )


def _statistics_of_units(
    rule: UnitRule, did: Outcomes, store: Rows, arm: Int64s, size: int
) -> ArmStatistics:
    counts = (did.visits, did.orders, did.revenue_minor)
    visits, orders, revenue = (count.astype(np.float64) for count in counts)
    nobody = np.zeros(len(store), np.int64)
    columns = UnitColumns(store, arm.astype(np.intp), visits, orders, revenue, nobody)
    return statistics_of_units(columns, size, len(rule.arms), rule.cap_minor)


def _statistics_of_totals(
    did: Summed, store: Rows, arm: Int64s, size: int, arms: int
) -> ArmStatistics:
    cells, shape = store * arms + arm, (size, arms)

    def summed(counts: Int64s) -> Floats:
        numbers = np.maximum(counts, 0).astype(np.float64)
        return sum_by_row(cells, numbers, size * arms).reshape(shape)

    return ArmStatistics.of_totals(
        summed(did.visits),
        summed(did.conversions),
        summed(did.orders),
        _values_of_totals(did, cells, shape),
    )


def _values_of_totals(did: Summed, cells: Rows, shape: tuple[int, int]) -> ValueMoments | None:
    if (did.log_count == ABSENT).any():
        return None
    share = Share(cells, did.end_ms, did.log_count.astype(np.float64))
    nothing = Moments.zeros(shape[0] * shape[1])
    whole = Sums(share, did.log_mean, did.log_m2).merged(Never(), 0, len(nothing), nothing)
    return ValueMoments(*(column.reshape(shape) for column in whole.columns().values()))
