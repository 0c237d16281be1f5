"""Ticks across workers: the feeds see the chain, once, whoever has which shard and dies when."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from stream_hb.events.calendar import HOUR_MS
from stream_hb.events.clock import TimeRules
from stream_hb.events.ticks import TickClock
from stream_hb.runtime.client import Polled, TopicPartition, TransactionAbortedError
from tests.runtime.test_shared_pooling import PARTITIONS, Member, together
from tests.support.fake_client import FakeBroker
from tests.support.fake_transactions import FakeTransactions, Logs
from tests.support.logs import START_MS, purchase, visit
from tests.support.running import SETTINGS
from tests.test_tick_feeds import Counting

HOURS = 30
HOURLY = replace(SETTINGS, ticks=TickClock("hour"), time=TimeRules(lateness_ms=0))


def hours(first: int, last: int) -> dict[int, list[bytes]]:
    """Return what comes in some hours to each partition: of two chains, not every store always."""
    found: dict[int, list[bytes]] = {number: [] for number in range(PARTITIONS)}
    for hour in range(first, last):
        source = np.random.default_rng(hour)
        for store in range(2 * PARTITIONS):
            number, chain = store % PARTITIONS, "cd"[store // PARTITIONS]
            for place in range(int(source.integers(1, 4))):
                name, at_ms = f"v{hour}-{place}", START_MS + hour * HOUR_MS + place * 60_000
                found[number].append(visit(f"s{store}", name, at_ms, chain))
                if source.random() < 0.5:
                    order = purchase(f"s{store}", f"o{name}", at_ms, chain, visit_id=name)
                    found[number].append(order)
    return found


def fed(broker: FakeBroker, first: int, last: int) -> None:
    for number, payloads in hours(first, last).items():
        broker.append(payloads, "events", number)


def told(broker: FakeBroker) -> list[tuple[bytes, bytes | None]]:
    return [(w.key or b"", w.value) for w in broker.written if w.topic == "counting"]


def logs_of() -> Logs:
    return FakeTransactions(FakeBroker()).logs


def members_of(
    broker: FakeBroker, logs: Logs, shares: Sequence[tuple[int, ...]], first: int = 0
) -> list[Member]:
    return [
        Member(
            broker,
            logs,
            share,
            writer=f"g-{slot}",
            settings=HOURLY,
            feeds={"counting": Counting()},
        )
        for slot, share in enumerate(shares, first)
    ]


@pytest.fixture(scope="module")
def alone() -> list[tuple[bytes, bytes | None]]:
    """What one worker tells of all hours."""
    broker = FakeBroker()
    fed(broker, 0, HOURS)
    members = members_of(broker, logs_of(), [(0, 1, 2)])
    together(members, 60)
    return told(broker)


def test_one_worker_shows_every_tick_of_every_chain(
    alone: list[tuple[bytes, bytes | None]],
) -> None:
    assert [key for key, _ in alone] == [b"c", b"d"] * (HOURS - 1)
    numbers = [int((value or b"").rpartition(b" ")[2]) for _, value in alone]
    assert numbers == list(range(2 * (HOURS - 1)))


def test_what_ends_with_a_polls_batches_is_read_before_its_ticks_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wrong before, at a start with a backlog, if the fetches came like that (seen on a broker).

    Partition 0 comes alone; the others come with the word that they end there. The word was taken
    before their batches, so that the clock of the first closed all ticks, and the rest was late.
    """
    expected, broker, few = FakeBroker(), FakeBroker(), 5
    fed(expected, 0, few)
    together(members_of(expected, logs_of(), [(0, 1, 2)]), 10)
    fed(broker, 0, few)
    (member,) = members_of(broker, logs_of(), [(0, 1, 2)])
    poll, waiting = member.inputs.poll, deque[Polled]()

    def uneven(_messages_max: int, timeout_seconds: float) -> Polled:
        if waiting:
            return waiting.popleft()
        polled = poll(1_000, timeout_seconds)
        first, others = polled.batches[:1], polled.batches[1:]
        ended = [TopicPartition(other.topic, other.partition) for other in others]
        if others:
            waiting.append(Polled(others, [], [], [], ended))
        return replace(polled, batches=first)

    monkeypatch.setattr(member.inputs, "poll", uneven)
    together([member], 10)
    assert len(told(expected)) == 2 * (few - 1)
    assert told(broker) == told(expected)
    assert member.engine.tallies["late_for_tick"] == 0


def test_three_workers_show_what_one_shows(alone: list[tuple[bytes, bytes | None]]) -> None:
    broker = FakeBroker()
    fed(broker, 0, HOURS)
    members = members_of(broker, logs_of(), [(0,), (1,), (2,)])
    together(members, 60)
    assert told(broker) == alone


def test_the_next_owner_of_the_first_shard_goes_on_where_the_feeds_were(
    alone: list[tuple[bytes, bytes | None]],
) -> None:
    broker, logs = FakeBroker(), logs_of()
    fed(broker, 0, 12)
    members = members_of(broker, logs, [(0,), (1, 2)])
    together(members, 40)
    before = len(told(broker))
    assert 0 < before < len(alone)
    fed(broker, 12, HOURS)
    members[1].step()  # closes, and tells, what nobody looks at now
    (heir,) = members_of(broker, logs, [(0,)], first=2)
    heir.now_ms = members[1].now_ms
    together([members[1], heir], 60)
    assert told(broker) == alone


def test_a_shard_that_moves_takes_its_open_ticks_along(
    alone: list[tuple[bytes, bytes | None]],
) -> None:
    broker, logs = FakeBroker(), logs_of()
    members = members_of(broker, logs, [(0, 1), (2,)])
    for hour in range(HOURS):
        fed(broker, hour, hour + 1)
        together(members, 4)
        giver, taker = (members[0], members[1]) if hour % 2 == 0 else (members[1], members[0])
        giver.take(1)
        giver.step()
        taker.give(1)
        together(members, 4)
    together(members, 20)
    assert told(broker) == alone


def test_an_aborted_transaction_shows_nothing_twice(
    alone: list[tuple[bytes, bytes | None]],
) -> None:
    broker, source = FakeBroker(), np.random.default_rng(4)
    members = members_of(broker, logs_of(), [(0,), (1,), (2,)])
    for hour in range(HOURS):
        fed(broker, hour, hour + 1)
        for member in members:
            if source.random() < 0.5:
                member.transactions.faults["commit"].append(TransactionAbortedError("abort it"))
        together(members, 6)
    together(members, 20)
    assert told(broker) == alone


def test_rows_of_ticks_are_deleted_once_they_were_shown() -> None:
    broker, logs = FakeBroker(), logs_of()
    fed(broker, 0, HOURS)
    together(members_of(broker, logs, [(0,), (1,), (2,)]), 60)
    for number in range(PARTITIONS):
        live = dict(logs["summaries", number])
        rows = [key for key, value in live.items() if key[:1] == b"t" and value is not None]
        assert not rows
        assert any(key[:1] == b"t" for key in live)
