"""The events of one candidate that have a row, over all its sources, as attribution takes them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from stream_hb.admission import Admission
from stream_hb.events.arm_sets import ArmSets
from stream_hb.events.batch import (
    Bools,
    ControlRows,
    Decoded,
    EventColumns,
    Hashes,
    Int64s,
    Purchases,
    RawBatch,
    Refunds,
    Reject,
    StoreKey,
    TotalsRows,
    Visits,
)
from stream_hb.events.controls import Collected, Controls, Waiting
from stream_hb.events.id_hash import in_currency, scoped
from stream_hb.events.mentions import (
    OrderMentions,
    RefundMentions,
    VisitMentions,
    no_orders,
    no_refunds,
    no_visits,
)
from stream_hb.events.totals import (
    Refusal,
    TotalsMentions,
    converted,
    money_of,
    no_totals,
    series_keys,
)
from stream_hb.money import Purse, codes_of
from stream_hb.settings import EVENTS, Input
from stream_hb.statistics.columns import Rows
from stream_hb.statistics.table import GroupTable, NewGroups

E = TypeVar("E", bound=EventColumns)
M = TypeVar("M", Purchases, Refunds)

VISITS = frozenset({"conversion", "order_rate"})
"""The metrics that read visits."""

ORDERS = frozenset({"conversion", "order_rate", "log_order_value"})
"""The metrics that read purchases and refunds."""

TOTALS = frozenset({"totals"})

UNREAD = "no metric of the chain reads events of this type"
NO_ALERTS = "no alerts are kept (drift.enabled)"
CURRENCY = "the group's orders are in another currency, and no rate converts this one"


class Readers:
    """What the metrics read of each chain.

    Parameters
    ----------
    metrics
        The metrics that are kept.
    inputs
        What they read; single events where nothing is said.
    default_chain
        Chain of the events that name none.
    controls
        Whether some feed reads control events.
    """

    def __init__(
        self,
        metrics: Collection[str],
        inputs: Mapping[str, Input],
        default_chain: str,
        controls: bool = False,
    ) -> None:
        self._metrics = metrics
        self._inputs = inputs
        self.default_chain = default_chain
        self.controls = controls
        # With every metric on events, which is the rule, nobody has to look at the chains.
        self._plain = all(inputs.get(name, EVENTS) == EVENTS for name in metrics)

    def totals(self, metric: str, chain: str) -> bool:
        """Tell whether a metric reads totals of a chain."""
        return self._inputs.get(metric, EVENTS).reads_totals(chain)

    def by_totals(self, table: GroupTable, rows: Rows, new: NewGroups) -> dict[str, Bools]:
        """Tell of each metric which of some groups, new ones among them, it reads totals of."""
        if self._plain:
            return dict.fromkeys(table.metrics, np.zeros(len(rows), np.bool_))
        chains, codes = table.chain_codes_with(new.keys)
        totals = {name: [self.totals(name, chain) for chain in chains] for name in table.metrics}
        return {name: np.array(told, np.bool_)[codes[rows]] for name, told in totals.items()}

    def unread(self, codes: Int64s, known: Sequence[StoreKey], kind: frozenset[str]) -> Bools:
        """Tell which events no metric reads; ``kind`` has the metrics that could."""
        if self._plain:
            return np.full(len(codes), kind == TOTALS or not kind & set(self._metrics))
        distinct, places = np.unique(codes, return_inverse=True)
        chains = [known[code][0] or self.default_chain for code in distinct.tolist()]
        unread = np.array([not self._reads(chain, kind) for chain in chains], np.bool_)
        return unread[places]

    def _reads(self, chain: str, kind: frozenset[str]) -> bool:
        if kind == TOTALS:
            return any(self.totals(name, chain) for name in self._metrics)
        return any(not self.totals(name, chain) for name in kind & set(self._metrics))


class Intake:
    """Collects events; changes nothing but the sets of arms.

    Parameters
    ----------
    admission
        Gives rows.
    sets
        The shard's sets of arms.
    purse
        The groups' currencies before.
    readers
        What the metrics read of each chain.

    Attributes
    ----------
    purse
        The groups' currencies, as far as the events that were taken tell.
    rejects
        What could not be used.
    other_currency_ms
        The clock of the source when money of a store came in another currency.
    """

    def __init__(self, admission: Admission, sets: ArmSets, purse: Purse, readers: Readers) -> None:
        self.rejects: list[Reject] = []
        self.purse = purse
        self.other_currency_ms: dict[StoreKey, int] = {}
        self._admission = admission
        self._sets = sets
        self._readers = readers
        self._visits: list[tuple[Rows, Visits]] = []
        self._purchases: list[tuple[Rows, Purchases, Int64s]] = []
        self._refunds: list[tuple[Rows, Refunds, Int64s]] = []
        self._totals: list[tuple[Rows, TotalsRows, RawBatch]] = []
        self._controls: list[tuple[ControlRows, RawBatch]] = []
        self._refused = 0
        self._foreign = 0

    def add(
        self, raw: RawBatch, decoded: Decoded, rejects: Sequence[Reject], clock_ms: int
    ) -> None:
        """Take one source's batch, what was rejected of it before, and the source's clock."""
        refused: list[Reject] = [*decoded.rejects, *rejects]
        if len(decoded.visits):
            self._visits.append(self._read(raw, decoded.visits, VISITS, refused))
        if len(decoded.purchases):
            self._purchases.append(self._paid(raw, decoded.purchases, refused, clock_ms))
        if len(decoded.refunds):
            self._refunds.append(self._paid(raw, decoded.refunds, refused, clock_ms))
        if len(decoded.totals):
            self._totals.append((*self._summed(raw, decoded.totals, refused, clock_ms), raw))
        if len(decoded.controls) and self._readers.controls:
            self._controls.append((decoded.controls, raw))
        elif len(decoded.controls):
            refused += _rejects(raw, decoded.controls, "unexpected_input", NO_ALERTS)
        self.rejects += sorted(refused, key=lambda reject: reject.offset)

    def _read(
        self, raw: RawBatch, events: E, kind: frozenset[str], refused: list[Reject]
    ) -> tuple[Rows, E]:
        """Leave out what no metric reads, and what gets no row."""
        unread = self._readers.unread(events.store_codes, events.known_stores, kind)
        if unread.any():
            refused += _rejects(raw, events.take(unread), "unexpected_input", UNREAD)
            events = events.take(~unread)
        rows, more = self._admission.rows(raw, events)
        if more:
            refused += more
            events, rows = events.take(rows >= 0), rows[rows >= 0]
        return rows, events

    def _paid(
        self, raw: RawBatch, events: M, refused: list[Reject], clock_ms: int
    ) -> tuple[Rows, M, Int64s]:
        """Refuse what is in another currency that no rate converts; add the currencies' numbers.

        What the rules alone refuse is left out: it must not make a group. What its group makes
        foreign is refused and kept: an earlier purchase may yet come and turn the group's currency.
        """
        taken = self.purse.rules.take(events.currencies, events.event_time_ms)
        if not taken.all():
            refused += self._foreign_rejects(raw, events.take(~taken), clock_ms)
            events = events.take(taken)
        rows, events = self._read(raw, events, ORDERS, refused)
        self.purse = self.purse.grown(self._admission.size)
        if self.purse.rules.rates is not None:
            return rows, events, self.purse.rules.rates.codes(events.currencies)
        codes = codes_of(events.currencies)
        if isinstance(events, Purchases):
            self._sell(rows, events, codes, clock_ms)
        self.purse = self.purse.based(rows, codes)
        foreign = self.purse.foreign(rows, codes)
        if foreign.any():
            refused += self._foreign_rejects(raw, events.take(foreign), clock_ms)
            self._foreign += int(foreign.sum())
        return rows, events, self.purse.numbers(rows, codes)

    def _summed(
        self, raw: RawBatch, totals: TotalsRows, refused: list[Reject], clock_ms: int
    ) -> tuple[Rows, TotalsRows]:
        """Refuse sums of values in another currency that no rate converts; convert the others.

        Unlike an order, what is refused is not remembered: no later event makes it good.
        """
        currencies, times_ms = money_of(totals)
        if not currencies.any():
            return self._read(raw, totals, TOTALS, refused)
        taken = self.purse.rules.take(currencies, times_ms) | (currencies == "")
        if not taken.all():
            refused += self._foreign_rejects(raw, totals.take(~taken), clock_ms)
        rows, totals = self._read(raw, totals.take(taken), TOTALS, refused)
        self.purse = self.purse.grown(self._admission.size)
        currencies, times_ms = money_of(totals)
        rates = self.purse.rules.rates
        if rates is not None:
            return rows, converted(totals, rates.factors(rates.codes(currencies), times_ms))
        codes = codes_of(currencies)
        first = (codes > 0) & (self.purse.current[rows] == 0)
        self.purse = self.purse.sold(rows[first], codes[first], times_ms[first])
        self.purse = self.purse.based(rows[first], codes[first])
        foreign = self.purse.foreign(rows, codes) & (codes > 0)
        if foreign.any():
            refused += self._foreign_rejects(raw, totals.take(foreign), clock_ms)
        return rows[~foreign], totals.take(~foreign)

    def _sell(self, rows: Rows, events: Purchases, codes: Int64s, clock_ms: int) -> None:
        """Let purchases say the groups' currencies; those of which one turns have a mixed one."""
        before = self.purse.current
        self.purse = self.purse.sold(rows, codes, events.event_time_ms)
        if self.purse.current is not before:
            turned = (before[rows] != 0) & (before[rows] != self.purse.current[rows])
            self._mark(events.take(turned), clock_ms)

    def _foreign_rejects(self, raw: RawBatch, others: EventColumns, clock_ms: int) -> list[Reject]:
        self._mark(others, clock_ms)
        return _rejects(raw, others, "mixed_currency", CURRENCY)

    def _mark(self, others: EventColumns, clock_ms: int) -> None:
        stores = (others.known_stores[code] for code in others.store_codes.tolist())
        self.other_currency_ms |= dict.fromkeys(stores, clock_ms)

    def _parts(self) -> Iterator[tuple[Rows, EventColumns]]:
        yield from self._visits
        for parts in (self._purchases, self._refunds, self._totals):
            yield from ((rows, events) for rows, events, _ in parts)

    @property
    def accepted(self) -> int:
        """Number of events."""
        controls = sum(len(events) for events, _ in self._controls)
        used = sum(len(rows) for rows, _ in self._parts()) + controls
        return used - self._refused - self._foreign

    @property
    def times_ms(self) -> list[tuple[Rows, Int64s]]:
        """Row and time of every event."""
        return [(rows, events.event_time_ms) for rows, events in self._parts()]

    def visits(self, groups: Hashes) -> VisitMentions:
        """Return the visits; ``groups`` is every row's hash."""
        if not self._visits:
            return no_visits()
        rows = _flat([rows for rows, _ in self._visits])
        of_row = groups[rows]
        return VisitMentions(
            key=scoped(self._column(self._visits, "visit_hash"), of_row),
            row=rows,
            time_ms=self._column(self._visits, "event_time_ms"),
            visitor=_if_any(self._column(self._visits, "visitor_hash"), of_row),
            arm=self._arm(self._visits),
            is_bot=self._column(self._visits, "is_bot"),
        )

    def orders(self, groups: Hashes) -> OrderMentions:
        """Return the orders; ``groups`` is every row's hash."""
        if not self._purchases:
            return no_orders()
        rows = _flat([rows for rows, _, _ in self._purchases])
        of_row = groups[rows]
        numbers = _flat([numbers for _, _, numbers in self._purchases])
        keys = scoped(self._column(self._purchases, "order_hash"), of_row)
        return OrderMentions(
            key=self._in_currency(keys, numbers),
            row=rows,
            time_ms=self._column(self._purchases, "event_time_ms"),
            revision=self._column(self._purchases, "revision"),
            amount_minor=self._column(self._purchases, "amount_minor"),
            visit_key=_if_any(self._column(self._purchases, "visit_hash"), of_row),
            visitor=_if_any(self._column(self._purchases, "visitor_hash"), of_row),
            arm=self._arm(self._purchases),
            is_bot=self._column(self._purchases, "is_bot"),
            currency=numbers,
        )

    def refunds(self, groups: Hashes) -> RefundMentions:
        """Return the refunds; ``groups`` is every row's hash."""
        if not self._refunds:
            return no_refunds()
        rows = _flat([rows for rows, _, _ in self._refunds])
        of_row = groups[rows]
        numbers = _flat([numbers for _, _, numbers in self._refunds])
        keys = scoped(self._column(self._refunds, "refund_hash"), of_row)
        order_keys = scoped(self._column(self._refunds, "order_hash"), of_row)
        return RefundMentions(
            key=self._in_currency(keys, numbers),
            row=rows,
            order_key=self._in_currency(order_keys, numbers),
            time_ms=self._column(self._refunds, "event_time_ms"),
            amount_minor=self._column(self._refunds, "amount_minor"),
            cancels=self._column(self._refunds, "cancels_order"),
            currency=numbers,
        )

    def _in_currency(self, keys: Hashes, numbers: Int64s) -> Hashes:
        """Return keys by currency: where rates convert, an order is one in whatever currency."""
        return in_currency(keys, numbers) if self.purse.rules.rates is None else keys

    def totals(self, groups: Hashes) -> TotalsMentions:
        """Return the totals; ``groups`` is every row's hash."""
        if not self._totals:
            return no_totals()
        rows = _flat([rows for rows, _, _ in self._totals])
        parts = [events for _, events, _ in self._totals]
        sets = self._sets
        arms = [sets.of(e.arm_codes, e.arms) for _, e, _ in self._totals]
        series = [
            series_keys(e.source_hash, sets.hashes(of_arm), groups[of_part])
            for (of_part, e, _), of_arm in zip(self._totals, arms, strict=True)
        ]
        totals = [each for events in parts for each in events.totals]
        return TotalsMentions(rows, _flat(series), totals, _flat(arms))

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        """Reject totals that contradict what is known, by their place among all of the batch."""
        if not refusals:
            return
        ends = np.cumsum([len(rows) for rows, _, _ in self._totals])
        for place, reason, detail in refusals:
            part = int(np.searchsorted(ends, place, side="right"))
            rows, events, raw = self._totals[part]
            at = place - int(ends[part]) + len(rows)
            chosen = np.array([at])
            self.rejects += _rejects(raw, events.take(chosen), reason, detail)
        self._refused += len(refusals)

    def controls(self, waiting: Waiting) -> Controls:
        """Return what waits for its tick when this has come; what does not fit is rejected."""
        collected = Collected(waiting)
        for events, raw in self._controls:
            for at, (chain, store) in enumerate(events.store_keys):
                chain = self._readers.default_chain if chain is None else chain
                refusal = collected.refusal(waiting.control(chain, store, events.accepts[at]))
                if refusal:
                    self.rejects += _rejects(raw, events.take(np.array([at])), *refusal)
                    self._refused += 1
        return collected.controls

    def _column(self, parts: Sequence[tuple[Any, ...]], name: str) -> Any:
        return _flat([getattr(part[1], name) for part in parts])

    def _arm(self, parts: Sequence[tuple[Any, ...]]) -> Int64s:
        codes = [self._sets.of(part[1].arm_codes, part[1].arms) for part in parts]
        arms: Int64s = _flat(codes)
        return arms


def _rejects(raw: RawBatch, events: EventColumns, reason: str, detail: str) -> list[Reject]:
    return [
        Reject(raw.topic, raw.partition, raw.offset_of(at), reason, detail, raw.payloads[at])
        for at in events.indexes.tolist()
    ]


def _if_any(hashes: Hashes, of_row: Hashes) -> Hashes:
    """Scope hashes to their groups; 0, which is none, stays."""
    if not hashes.any():
        return hashes
    return np.where(hashes == 0, hashes, scoped(hashes, of_row))


def _flat(arrays: Sequence[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
