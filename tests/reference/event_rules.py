"""The rules of ``stream_hb/events/README.md``, plain and slow, computed from the set of events."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

Event = dict[str, Any]
Group = tuple[str, str]  # (chain id, store id)
Rank = Callable[[str | None], Any]  # what orders ids where nothing else does; None: the least
Worth = Callable[[Event, list[Event]], tuple[int, int]]  # what refunds leave: own currency, group's
HOUR_MS = 3_600_000


@dataclass
class PlainGroup:
    """What counts: times of visits and conversions; (time, value) of live orders; bots' visits and
    live orders; units by (experiment, visitor or visit): [arms, visits, orders, revenue, first].
    """

    visits: list[int] = field(default_factory=list)
    conversions: list[int] = field(default_factory=list)
    orders: list[tuple[int, int]] = field(default_factory=list)
    bot_visits: int = 0
    bot_orders: int = 0
    units: dict[tuple[str, str], list[Any]] = field(default_factory=dict)


class PlainOrder(NamedTuple):
    event: Event
    value: int
    live: bool


class PlainVisit(NamedTuple):
    time_ms: int
    visitor: str | None
    is_bot: bool
    arms: set[tuple[str, str]]
    orders: list[PlainOrder]


def count(
    events: Iterable[Event],
    default_chain: str = "default",
    visits_per_hour: int = 60,
    rank: Callable[[Group], Rank] = lambda _: lambda text: text or "",
    worth: Worth = lambda order, refunds: (_left(order, refunds),) * 2,
) -> dict[Group, PlainGroup]:
    """Count a set of events by group."""
    by_group = _by(lambda e: (e.get("chain_id", default_chain), e["store_id"]), events)
    return {key: _group(mine, visits_per_hour, rank(key), worth) for key, mine in by_group.items()}


def _by(key: Callable[[Any], Any], things: Iterable[Any]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = {}
    for thing in things:
        found.setdefault(key(thing), []).append(thing)
    return found


def _of(events: list[Event], kind: str, key: str) -> dict[str, list[Event]]:
    return _by(itemgetter(key), (event for event in events if event["event_type"] == kind))


def _in_one_currency(events: list[Event]) -> list[Event]:
    """Leave out what is in another currency than the earliest purchase, the first by name."""
    sold = [event for event in events if event["event_type"] == "purchase"]
    first = min(sold, key=lambda e: (e["event_time_ms"], e.get("currency")), default=Event())
    return [event for event in events if event.get("currency") in (None, first.get("currency"))]


def _group(events: list[Event], visits_per_hour: int, rank: Rank, worth: Worth) -> PlainGroup:
    events = _in_one_currency(events)
    orders = _orders(events, rank, worth)
    visits = _visits(events, orders, rank)
    hours = Counter((visit.visitor, visit.time_ms // HOUR_MS) for visit in visits.values())
    group, bots = PlainGroup(), set()
    for visit_id, visit in visits.items():
        crowd = hours[visit.visitor, visit.time_ms // HOUR_MS] if visit.visitor else 0
        if visit.is_bot or crowd > visits_per_hour:
            bots.add(visit_id)
            group.bot_visits += 1
            continue
        counted = [o for o in visit.orders if o.live and not o.event.get("is_bot")]
        group.visits.append(visit.time_ms)
        group.conversions += [visit.time_ms] * bool(counted)
        for experiment in {experiment for experiment, _ in visit.arms}:
            key = (experiment, visit.visitor or visit_id)
            unit = group.units.setdefault(key, [set(), 0, 0, 0, visit.time_ms])
            unit[0] |= {arm for arm in visit.arms if arm[0] == experiment}
            unit[1] += 1
            unit[2] += len(counted)
            unit[3] += sum(order.value for order in counted)
            unit[4] = min(unit[4], visit.time_ms)
    for order in orders:
        if order.live and (order.event.get("is_bot") or order.event.get("visit_id") in bots):
            group.bot_orders += 1
        elif order.live:
            group.orders.append((order.event["event_time_ms"], order.value))
    return group


def _orders(events: list[Event], rank: Rank, worth: Worth) -> list[PlainOrder]:
    def first_refund(r: Event) -> Any:
        what = (r["event_time_ms"], r["amount_minor"], r.get("cancels_order", False))
        return *what, rank(r["order_id"]), r.get("currency_code", 0)

    def first_purchase(p: Event) -> Any:
        when = (-p.get("revision", 0), p["event_time_ms"], p["amount_minor"])
        who = (p.get("is_bot", False), rank(p.get("visitor_id")))
        return *when, rank(p.get("visit_id")), *who, sorted(_arms([p])), p.get("currency_code", 0)

    told = [min(each, key=first_refund) for each in _of(events, "refund", "refund_id").values()]
    refunds, orders = _by(itemgetter("order_id"), told), []
    for order_id, repeated in _of(events, "purchase", "order_id").items():
        event, mine = min(repeated, key=first_purchase), refunds.get(order_id, [])
        left, value = worth(event, mine)
        cancelled = any(refund.get("cancels_order") for refund in mine)
        orders.append(PlainOrder(event, value, not cancelled and (left > 0 or not mine)))
    return orders


def _left(order: Event, refunds: list[Event]) -> int:
    return int(max(0, order["amount_minor"] - sum(refund["amount_minor"] for refund in refunds)))


def _visits(events: list[Event], orders: list[PlainOrder], rank: Rank) -> dict[str, PlainVisit]:
    seen = _of(events, "visit", "visit_id")
    named = _by(lambda o: o.event["visit_id"], (o for o in orders if o.event.get("visit_id")))
    visits = {}
    for visit_id in sorted(seen.keys() | named.keys()):
        own, mine = seen.get(visit_id, []), named.get(visit_id, [])
        told = own + [order.event for order in mine]
        visitors = [[e["visitor_id"] for e in es if e.get("visitor_id")] for es in (own, told)]
        visits[visit_id] = PlainVisit(
            min(e["event_time_ms"] for e in told),
            min(visitors[0] or visitors[1], key=rank, default=None),
            any(e.get("is_bot", False) for e in own),
            _arms(told),
            mine,
        )
    return visits


def _arms(events: list[Event]) -> set[tuple[str, str]]:
    named = [event["experiment"] for event in events if event.get("experiment")]
    return {(each["experiment_id"], each["arm"]) for each in named}
