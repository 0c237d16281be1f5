"""The rules of ``stream_hb/events/README.md``, plain and slow: sets, dictionaries and loops.

Everything is computed from the set of events at once: nothing is remembered, so nothing can depend
on the order in which they came.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
Group = tuple[str, str]
"""(chain id, store id)."""


@dataclass
class PlainOrder:
    """What the purchases and refunds of one order come to."""

    time_ms: int
    amount: int
    visit_id: str | None
    is_bot: bool
    refunds: list[Event]

    @property
    def value(self) -> int:
        refunded: int = sum(refund["amount_minor"] for refund in self.refunds)
        return max(0, self.amount - refunded)

    @property
    def live(self) -> bool:
        cancelled = any(refund.get("cancels_order") for refund in self.refunds)
        return not cancelled and (self.value > 0 or not self.refunds)


@dataclass
class PlainVisit:
    """What the events and orders of one visit come to."""

    time_ms: int
    visitor: str | None
    is_bot: bool
    arms: set[tuple[str, str]]
    orders: list[PlainOrder]


@dataclass
class PlainGroup:
    """What counts of a group: times of visits and conversions, (time, value) of live orders."""

    visits: list[int] = field(default_factory=list)
    conversions: list[int] = field(default_factory=list)
    orders: list[tuple[int, int]] = field(default_factory=list)
    bot_visits: int = 0
    bot_orders: int = 0
    units: dict[tuple[str, str], list[Any]] = field(default_factory=dict)


def count(
    events: Iterable[Event], default_chain: str = "default", visits_per_hour: int = 60
) -> dict[Group, PlainGroup]:
    """Count a set of events by group."""
    by_group: dict[Group, list[Event]] = {}
    for event in events:
        key = (event.get("chain_id", default_chain), event["store_id"])
        by_group.setdefault(key, []).append(event)
    return {key: _group(mine, visits_per_hour) for key, mine in by_group.items()}


def _of(events: list[Event], kind: str, key: str) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in events:
        if event["event_type"] == kind:
            found.setdefault(event[key], []).append(event)
    return found


def _group(events: list[Event], visits_per_hour: int) -> PlainGroup:
    orders = _orders(events)
    visits = _visits(events, orders)
    named = (visit for visit in visits.values() if visit.visitor)
    hours = Counter((str(visit.visitor), visit.time_ms // 3_600_000) for visit in named)
    group = PlainGroup()
    bots = set()
    for visit_id, visit in visits.items():
        crowd = hours[str(visit.visitor), visit.time_ms // 3_600_000]
        if visit.is_bot or crowd > visits_per_hour:
            bots.add(visit_id)
            group.bot_visits += 1
            continue
        group.visits.append(visit.time_ms)
        counted = [order for order in visit.orders if order.live and not order.is_bot]
        if counted:
            group.conversions.append(visit.time_ms)
    for order in orders.values():
        if order.live:
            if order.is_bot or order.visit_id in bots:
                group.bot_orders += 1
            else:
                group.orders.append((order.time_ms, order.value))
    _units(group, visits, bots)
    return group


def _orders(events: list[Event]) -> dict[str, PlainOrder]:
    refunds: dict[str, list[Event]] = {}
    for repeated in _of(events, "refund", "refund_id").values():
        first = min(
            repeated,
            key=lambda r: (r["event_time_ms"], r["amount_minor"], r.get("cancels_order", False)),
        )
        refunds.setdefault(first["order_id"], []).append(first)
    orders = {}
    for order_id, repeated in _of(events, "purchase", "order_id").items():
        first = min(
            repeated,
            key=lambda p: (-p.get("revision", 0), p["event_time_ms"], p["amount_minor"]),
        )
        orders[order_id] = PlainOrder(
            first["event_time_ms"],
            first["amount_minor"],
            first.get("visit_id"),
            first.get("is_bot", False),
            refunds.get(order_id, []),
        )
    return orders


def _visits(events: list[Event], orders: dict[str, PlainOrder]) -> dict[str, PlainVisit]:
    seen = _of(events, "visit", "visit_id")
    bought = _of([e for e in events if e.get("visit_id")], "purchase", "visit_id")
    visits = {}
    for visit_id in seen.keys() | {order.visit_id for order in orders.values() if order.visit_id}:
        own = seen.get(visit_id, [])
        told = own + bought.get(visit_id, [])
        mine = [order for order in orders.values() if order.visit_id == visit_id]
        visits[visit_id] = PlainVisit(
            min([e["event_time_ms"] for e in own] + [order.time_ms for order in mine]),
            next((e["visitor_id"] for e in told if e.get("visitor_id")), None),
            any(e.get("is_bot", False) for e in own),
            {tuple(e["experiment"].values()) for e in told if e.get("experiment")},
            mine,
        )
    return visits


def _units(group: PlainGroup, visits: dict[str, PlainVisit], bots: set[str]) -> None:
    """Add (arms, visits, orders, revenue, first time) of every unit, by experiment and whom."""
    for visit_id, visit in visits.items():
        if not visit.arms:
            continue
        experiment = min(visit.arms)[0]
        unit = group.units.setdefault(
            (experiment, visit.visitor or visit_id), [set(), 0, 0, 0, visit.time_ms]
        )
        unit[0] |= visit.arms
        unit[4] = min(unit[4], visit.time_ms)
        if visit_id not in bots:
            live = [order for order in visit.orders if order.live and not order.is_bot]
            unit[1] += 1
            unit[2] += len(live)
            unit[3] += sum(order.value for order in live)
