"""A migration does everything exactly, or nothing and says why."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from stream_hb.errors import MigrationError, SnapshotError
from stream_hb.events.partitioner import murmur2_partition
from stream_hb.runtime.client import (
    ClientError,
    Committed,
    TopicPartition,
    TransactionAbortedError,
    TransientError,
    Watermarks,
)
from stream_hb.runtime.migration import Given, Plan, is_migrated, migrate
from stream_hb.statelog.restore import Restoring
from tests.statelog.test_rekey_laws import NEW, OLD, SETTINGS, STORES, Chain, busy_chain, home
from tests.support.fake_client import FakeBroker
from tests.support.fake_transactions import FakeState, FakeTransactions
from tests.support.logs import START_MS, visit

PLAN = Plan(
    "g",
    ["events"],
    OLD,
    NEW,
    "state",
    lambda store, count: murmur2_partition(store.encode(), count),
    SETTINGS,
    SETTINGS,
)


class World:
    """An old log, a topic for the new one, and the group's offsets."""

    def __init__(self, chain: Chain | None = None) -> None:
        self.chain = chain or busy_chain(OLD, hours=3)
        self.broker = FakeBroker()
        self.transactions = FakeTransactions(self.broker)
        self.events: dict[TopicPartition, list[str | None]] = {}
        for number, records in self.chain.records.items():
            self.transactions.logs["old", number] = [(key, value) for key, value in records]
            position = self.chain.engine.shards[number].positions["events", number]
            where = TopicPartition("events", number)
            self.broker.committed[where] = Committed(position.next_offset)
            self.events[where] = [None] * position.next_offset
        for number in range(OLD, NEW):
            self.events[TopicPartition("events", number)] = []

    @property
    def given(self) -> Given:
        marks = {where: Watermarks(0, len(some)) for where, some in self.events.items()}

        def stores(where: TopicPartition, start: int, end: int) -> Iterator[tuple[int, str | None]]:
            yield from enumerate(self.events[where][start:end], start)

        return Given(dict(self.broker.committed), marks, stores, "the migration")

    def log(self, topic: str) -> FakeState:
        return FakeState(self.transactions, topic=topic)

    def migrate(self, plan: Plan = PLAN) -> Any:
        return migrate(plan, self.log("old"), self.given, self.transactions)

    def is_done(self) -> bool:
        return is_migrated(PLAN, self.log("state"), self.given)

    def assert_untouched(self) -> None:
        assert not any(self.transactions.logs["state", number] for number in range(NEW))
        assert {where.partition for where in self.broker.committed} <= set(range(OLD))


def test_all_of_it_is_in_the_new_topic_with_the_offsets_that_belong_to_it() -> None:
    world = World()
    assert not world.is_done()
    found = world.migrate()
    assert found.groups == len(STORES)
    assert found.moved == sum(home(s, OLD) != home(s, NEW) for s in STORES)
    assert (found.unread, found.epoch) == (0, 4)
    keys = set()
    for number in range(NEW):
        restoring = Restoring(number, SETTINGS)
        for key, value in world.transactions.logs["state", number]:
            restoring.take(key, value)
        restored = restoring.finish()
        assert restored is not None
        assert restored.marker["group"] == "g"
        where = TopicPartition("events", number)
        assert restored.offsets == {("events", number): world.broker.committed[where].offset}
        assert world.broker.committed[where].offset == len(world.events[where])
        keys |= {(number, store) for _, store in restored.shard.table.keys}
    assert keys == {(home(store, NEW), store) for store in STORES}


def test_what_is_migrated_is_known_for_that() -> None:
    world = World()
    world.migrate()
    assert world.is_done()


def test_a_topic_that_holds_something_else_is_refused() -> None:
    world = World()
    world.transactions.logs["state", 2].append((b"m", b"?"))
    with pytest.raises(MigrationError, match=r"'state' holds records already \(partitions 2\)"):
        world.is_done()


@pytest.mark.parametrize("call", ["begin", "produce", "send_offsets", "commit"])
@pytest.mark.parametrize("fault", [TransactionAbortedError("abort"), ClientError("gone")])
def test_whatever_fails_nothing_is_migrated_and_it_can_be_done_again(
    call: str, fault: Exception
) -> None:
    world = World()
    world.transactions.faults[call].append(fault)
    with pytest.raises(ClientError):
        world.migrate()
    world.assert_untouched()
    world.transactions.renew()
    assert not world.is_done()
    world.migrate()
    assert world.is_done()


def test_killed_in_the_middle_nothing_is_migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    seen = 0

    def killed(*record: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr(world.transactions, "produce", killed)
    with pytest.raises(KeyboardInterrupt):
        world.migrate()
    world.assert_untouched()


def test_a_commit_that_takes_its_time_is_asked_again() -> None:
    world = World()
    world.transactions.faults["commit"].extend([TransientError("not yet")] * 5)
    world.migrate()
    assert world.is_done()


def changed(world: World, what: Callable[[World], None]) -> World:
    what(world)
    return world


def undrained(world: World) -> None:
    store = next(s for s in STORES if home(s, OLD) == 1 != home(s, NEW))
    world.events[TopicPartition("events", 1)] += [None, store, "x-unknown"]


def test_unread_events_that_the_old_number_placed_are_told_exactly() -> None:
    world = changed(World(), undrained)
    committed = world.broker.committed[TopicPartition("events", 1)].offset
    said = f"events-1: committed {committed}, end {committed + 3}: "
    with pytest.raises(MigrationError, match=f"{said}.* unread events .*now that there are {NEW}"):
        world.migrate()
    world.assert_untouched()


def test_with_the_operators_word_they_are_left_to_be_rejected() -> None:
    world = changed(World(), undrained)
    assert world.migrate(replace(PLAN, accept_unread=True)).unread == 3


def test_unread_events_that_belong_where_they_stand_are_read_afterwards() -> None:
    world = World()
    store = next(s for s in STORES if home(s, NEW) < OLD)
    where = TopicPartition("events", home(store, NEW))
    world.events[where] += [store, None]
    world.events[TopicPartition("events", NEW - 1)] += ["s1"] * 7
    assert world.migrate().unread == 2
    committed = world.broker.committed
    assert committed[TopicPartition("events", NEW - 1)].offset == 0
    assert committed[where].offset == len(world.events[where]) - 2


def set_back(world: World) -> None:
    world.broker.committed[TopicPartition("events", 2)] = Committed(3)
    world.events[TopicPartition("events", 2)] = [None] * 3


def without_state(world: World) -> None:
    world.transactions.logs["old", 2].clear()


def already_read(world: World) -> None:
    world.broker.committed[TopicPartition("events", OLD)] = Committed(5)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (set_back, r"events-2: the state was written up to \d+, but the group has committed 3"),
        (without_state, r"events-2: the group has committed \d+, but the old topic has nothing"),
        (already_read, rf"events-{OLD}: the group has committed 5 of a partition that the old"),
    ],
)
def test_what_does_not_fit_together_is_refused(what: Callable[[World], None], said: str) -> None:
    world = changed(World(), what)
    before = dict(world.broker.committed)
    with pytest.raises(MigrationError, match=said):
        world.migrate()
    assert world.broker.committed == before
    assert not any(world.transactions.logs["state", number] for number in range(NEW))


def test_the_state_of_another_group_is_refused() -> None:
    world = World()
    with pytest.raises(MigrationError, match="the state of group 'g', not of 'h'"):
        world.migrate(replace(PLAN, group="h"))


def test_a_topic_without_any_state_is_refused() -> None:
    world = World()
    for number in range(OLD):
        without_state(world)
        world.transactions.logs["old", number].clear()
    world.broker.committed.clear()
    for some in world.events.values():
        some.clear()
    with pytest.raises(MigrationError, match="the old topic holds no state of group 'g'"):
        world.migrate()


def test_a_partitioner_that_is_not_the_producers_is_refused() -> None:
    world = World()
    wrong = replace(PLAN, home=lambda store, count: len(store) % count)
    with pytest.raises(MigrationError, match=r"is in shard \d, but topics.partitioner puts it"):
        world.migrate(wrong)
    world.assert_untouched()


def test_ids_under_several_keys_are_refused_and_nothing_is_written() -> None:
    chain = Chain(OLD)
    for number, shard in chain.engine.shards.items():
        shard.hash_key = b"key of %d" % number
    chain.feed([json.loads(visit(store, f"v-{store}", START_MS, "c")) for store in STORES])
    world = World(chain)
    with pytest.raises(SnapshotError, match="remember ids under different keys"):
        world.migrate()
    world.assert_untouched()
