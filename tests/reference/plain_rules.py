"""The simple rules of counting, plain and slow: dictionaries and one loop, an event at a time.

A visit adds one to n; the first purchase of a visit adds one to y; every purchase adds an order,
and its value where it has one. A purchase without a visit id converts nothing. Repeated events
count again.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Group = tuple[str, str]
"""(chain id, store id)."""


@dataclass
class PlainGroup:
    visits: int = 0
    converted: set[str] = field(default_factory=set)
    orders: int = 0
    log_values: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        return math.fsum(self.log_values) / len(self.log_values) if self.log_values else 0.0

    @property
    def m2(self) -> float:
        return math.fsum((value - self.mean) ** 2 for value in self.log_values)


def count(
    events: Iterable[dict[str, Any]], default_chain: str = "default"
) -> dict[Group, PlainGroup]:
    groups: dict[Group, PlainGroup] = {}
    for event in events:
        key = (event.get("chain_id", default_chain), event["store_id"])
        group = groups.setdefault(key, PlainGroup())
        if event["event_type"] == "visit":
            group.visits += 1
            continue
        group.orders += 1
        if "visit_id" in event:
            group.converted.add(event["visit_id"])
        if event["amount_minor"] > 0:
            group.log_values.append(math.log(event["amount_minor"]))
    return groups
