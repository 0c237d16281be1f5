"""What is known of an experiment's units at a time, the plain way: one event after the other.

As the README of the experiments says it: a unit is a visitor of a store, else a visit; it is new at
its first visit, and mature when its window is over; nothing after that is told of it. Before it is
mature its arm is what was seen in the tick in which it was new.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
Cell = tuple[str, str]


@dataclass
class Counts:
    """By store and arm."""

    assigned: Counter[Cell] = field(default_factory=Counter)
    units: Counter[Cell] = field(default_factory=Counter)
    visits: Counter[Cell] = field(default_factory=Counter)
    conversions: Counter[Cell] = field(default_factory=Counter)
    orders: Counter[Cell] = field(default_factory=Counter)
    revenue: Counter[Cell] = field(default_factory=Counter)
    crossovers: int = 0
    undeclared: int = 0


def count(log: list[Event], arms: str, at_ms: int, window_ms: int, tick_ms: int) -> Counts:
    """Count what is known when every tick before a time is closed; the log starts with it all."""
    found, units = Counts(), _units(log)
    orders, refunds = _orders(log), _refunds(log)
    for (store, _), visits in units.items():
        first = min(each["event_time_ms"] for each in visits)
        if first >= at_ms:
            continue
        is_mature = first + window_ms <= at_ms
        new_until = min((first // tick_ms + 1) * tick_ms, first + window_ms)
        until = first + window_ms if is_mature else new_until
        inside = {v["visit_id"]: v for v in visits if v["event_time_ms"] < until}
        seen = {v["experiment"]["arm"] for v in inside.values()}
        arm = seen.pop()
        if seen:
            found.crossovers += 1
            continue
        if arm not in arms:
            found.undeclared += 1
            continue
        found.assigned[store, arm] += 1
        if is_mature:
            _did(found, (store, arm), inside, orders, refunds, until)
    return found


def _did(
    found: Counts,
    cell: Cell,
    visits: dict[str, Event],
    orders: dict[Cell, list[Event]],
    refunds: dict[Cell, list[Event]],
    until: int,
) -> None:
    values = []
    for name in visits:
        for order in orders[cell[0], name]:
            if order["event_time_ms"] >= until:
                continue
            back = [
                each["amount_minor"]
                for each in refunds[cell[0], order["order_id"]]
                if each["event_time_ms"] < until
            ]
            left = order["amount_minor"] - sum(back)
            if not back or left > 0:
                values.append(left)
    found.units[cell] += 1
    found.visits[cell] += len(visits)
    found.conversions[cell] += bool(values)
    found.orders[cell] += len(values)
    found.revenue[cell] += sum(values)


def _units(log: list[Event]) -> dict[Cell, list[Event]]:
    units: dict[Cell, list[Event]] = defaultdict(list)
    for each in log:
        if each["event_type"] == "visit" and "is_bot" not in each:
            who = str(each.get("visitor_id", each["visit_id"]))
            units[each["store_id"], who].append(each)
    return units


def _orders(log: list[Event]) -> dict[Cell, list[Event]]:
    orders: dict[Cell, list[Event]] = defaultdict(list)
    for each in log:
        if each["event_type"] == "purchase":
            orders[each["store_id"], each["visit_id"]].append(each)
    return orders


def _refunds(log: list[Event]) -> dict[Cell, list[Event]]:
    refunds: dict[Cell, list[Event]] = defaultdict(list)
    for each in log:
        if each["event_type"] == "refund":
            refunds[each["store_id"], each["order_id"]].append(each)
    return refunds
