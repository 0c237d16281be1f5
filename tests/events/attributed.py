"""Event logs as the attribution takes them, and what it makes of them in sum."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from stream_hb.events.arm_sets import ArmSets
from stream_hb.events.attribution import Attribution
from stream_hb.events.batch import Hashes
from stream_hb.events.id_hash import IdHash, group_hash, scoped
from stream_hb.events.mentions import OrderMentions, RefundMentions, VisitMentions
from stream_hb.events.moves import Moves, Signed
from tests.reference.event_rules import Event, Group, Rank

GROUPS: list[Group] = [("c", "a"), ("c", "b")]
ARMS = [("e", "a"), ("e", "b"), ("f", "a"), ("f", "b")]
SETS = ArmSets([(arm,) for arm in ARMS])
_KEY = b"tests"
_HASH = IdHash(_KEY)
_GROUP_HASHES = np.array([group_hash(*group, _KEY) for group in GROUPS], np.uint64)


def keys(events: Sequence[Event], name: str) -> Hashes:
    """Return the scoped hashes of an id of all events, 0 where they have none."""
    hashes = _HASH.of([event.get(name) for event in events])
    return np.where(hashes == 0, hashes, scoped(hashes, _GROUP_HASHES[rows(events)]))


def rank(group: Group) -> Rank:
    """Return what orders the ids of a group: their hash."""

    def of(text: str | None) -> int:
        event = {"chain_id": group[0], "store_id": group[1], "id": text}
        return int(keys([event], "id")[0])

    return of


def rows(events: Sequence[Event]) -> Any:
    return np.array([GROUPS.index((e["chain_id"], e["store_id"])) for e in events], np.intp)


def _column(events: Sequence[Event], name: str, kind: Any = np.int64) -> Any:
    return np.array([event.get(name, 0) for event in events], kind)


def _arm(events: Sequence[Event]) -> Any:
    named = [event.get("experiment") for event in events]
    numbers = [ARMS.index((arm["experiment_id"], arm["arm"])) if arm else -1 for arm in named]
    return np.array(numbers, np.int64)


def visit_mentions(events: Sequence[Event]) -> VisitMentions:
    return VisitMentions(
        keys(events, "visit_id"),
        rows(events),
        _column(events, "event_time_ms"),
        keys(events, "visitor_id"),
        _arm(events),
        _column(events, "is_bot", np.bool_),
    )


def order_mentions(events: Sequence[Event]) -> OrderMentions:
    return OrderMentions(
        keys(events, "order_id"),
        rows(events),
        _column(events, "event_time_ms"),
        _column(events, "revision"),
        _column(events, "amount_minor"),
        keys(events, "visit_id"),
        keys(events, "visitor_id"),
        _arm(events),
        _column(events, "is_bot", np.bool_),
        _column(events, "currency_code"),
    )


def refund_mentions(events: Sequence[Event]) -> RefundMentions:
    return RefundMentions(
        keys(events, "refund_id"),
        rows(events),
        keys(events, "order_id"),
        _column(events, "event_time_ms"),
        _column(events, "amount_minor"),
        _column(events, "cancels_order", np.bool_),
        _column(events, "currency_code"),
    )


@dataclass
class Counts:
    """The sum of all moves: how often each (row, time, value) counts."""

    visits: Counter[Any] = field(default_factory=Counter)
    conversions: Counter[Any] = field(default_factory=Counter)
    orders: Counter[Any] = field(default_factory=Counter)

    def add(self, moves: Moves) -> None:
        for name in ("visits", "conversions", "orders"):
            counter, signed = getattr(self, name), getattr(moves, name)
            for *key, sign in _listed(signed):
                counter[tuple(key)] += sign
                assert counter[tuple(key)] >= 0, "what was never counted was taken out"
                counter += Counter()  # leave out what is 0
        assert all(self.visits[key] >= number for key, number in self.conversions.items())


def _listed(signed: Signed) -> Iterable[tuple[int, ...]]:
    # Those that are put in come first: moves of a batch are a sum and have no order.
    order = np.argsort(-signed.signs, kind="stable")
    columns = (signed.rows, signed.times_ms, signed.values, signed.signs)
    return zip(*(column[order].tolist() for column in columns), strict=True)


def probe(attribution: Attribution, events: Sequence[Event]) -> Any:
    """Probe a batch."""
    kinds = [
        [e for e in events if e["event_type"] == kind] for kind in ("visit", "purchase", "refund")
    ]
    return attribution.probe(
        visit_mentions(kinds[0]), order_mentions(kinds[1]), refund_mentions(kinds[2]), SETS
    )


def feed(
    attribution: Attribution,
    log: Sequence[Event],
    cuts: Iterable[int] = (),
    counts: Counts | None = None,
) -> Counts:
    """Apply a log, cut into batches; return the sum of its moves."""
    counts = counts or Counts()
    places = sorted({0, *(cut for cut in cuts if cut < len(log)), len(log)})
    for start, end in pairwise(places):
        change = probe(attribution, log[start:end])
        counts.add(change.moves)
        attribution.apply(change)
    return counts


def units(attribution: Attribution) -> dict[Any, list[Any]]:
    """Return the units' facts by group, sorted: arm or crossover, visits, orders, revenue, time."""
    found: dict[Any, list[Any]] = {}
    u = attribution.units.all()
    for at, row in enumerate(u.row.tolist()):
        arms = SETS.known[u.arms[at]]
        experiment, arm = arms[0][0], "crossover" if len(arms) > 1 else arms[0][1]
        facts = (u.visits, u.orders, u.revenue_minor, u.first_ms)
        told = (experiment, arm, *(int(f[at]) for f in facts))
        found.setdefault(GROUPS[row], []).append(told)
    return {group: sorted(mine) for group, mine in found.items()}
