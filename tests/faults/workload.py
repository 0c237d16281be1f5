"""W, the workload: visits, orders, refunds and repetitions of stores that convert unalike.

Everything follows from an event's number, so a feeder keeps nothing, and the amounts are whole
cents. Events are told apart by their ids alone: what a worker counts twice shows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from stream_hb.events.partitioner import murmur2_partition

START_MS = 1_760_000_000_000
STEP_MS = 100
REPEATED_EVERY = 97
REFUNDED_EVERY = 5  # of the orders


class Fed(NamedTuple):
    """An event, and where it belongs."""

    is_visit: bool
    partition: int
    payload: bytes


@dataclass(frozen=True)
class Workload:
    """Attributes: how many stores, into how many partitions they go, how far apart visits are."""

    stores: int
    partitions: int
    step_ms: int = STEP_MS
    places: list[int] = field(init=False)

    def __post_init__(self) -> None:
        names = (f"s{number}".encode() for number in range(self.stores))
        places = [murmur2_partition(name, self.partitions) for name in names]
        object.__setattr__(self, "places", places)

    def events(self, start: int, count: int) -> Iterator[Fed]:
        """Yield the events of so many numbers: one visit each, and what goes with it."""
        for number in range(start, start + count):
            yield from self.of(number)

    def of(self, number: int) -> Iterator[Fed]:
        """Yield a visit, perhaps its order and a refund, perhaps an older visit once more."""
        store = self._store(number)
        yield self._visit(store, number)
        if self._buys(store, number):
            yield self._order(store, number)
            if number % REFUNDED_EVERY == 0:
                yield self._refund(store, number)
        if number % REPEATED_EVERY == 0 and number >= REPEATED_EVERY:
            older = number - REPEATED_EVERY // 2
            yield self._visit(self._store(older), older)

    def _store(self, number: int) -> int:
        return (number * 2_654_435_761 >> 7) % self.stores

    def _buys(self, store: int, number: int) -> bool:
        return number * 7919 % (4 + store % 16) == 0

    def _visit(self, store: int, number: int) -> Fed:
        return self._event("visit", True, store, number, f'"visit_id":"v{number}"')

    def _order(self, store: int, number: int) -> Fed:
        amount = 500 + number % 997
        order = f'"order_id":"o{number}","visit_id":"v{number}"'
        money = f'"amount_minor":{amount},"currency":"EUR"'
        return self._event("purchase", False, store, number, f"{order},{money}")

    def _refund(self, store: int, number: int) -> Fed:
        order = f'"order_id":"o{number}","refund_id":"r{number}"'
        whole = ',"cancels_order":true' if number % 2 else ""
        money = f'"amount_minor":100,"currency":"EUR"{whole}'
        return self._event("refund", False, store, number, f"{order},{money}")

    def _event(self, kind: str, is_visit: bool, store: int, number: int, more: str) -> Fed:
        at_ms = START_MS + number * self.step_ms
        payload = (
            f'{{"schema_version":1,"event_type":"{kind}","event_id":"event-{number:06d}",'
            f'"chain_id":"north","store_id":"s{store}","event_time_ms":{at_ms},'
            f"{more}}}"
        )
        return Fed(is_visit, self.places[store], payload.encode())
