"""When a shard that comes back is taken as it is in memory, and when its log is read."""

from collections.abc import Callable

import pytest

from stream_hb.engine import Engine
from stream_hb.errors import LostError
from stream_hb.feeds.estimates import OutRecord
from stream_hb.runtime.agreement import noted
from stream_hb.runtime.client import (
    ClientError,
    Committed,
    GroupMovedError,
    TopicPartition,
    TransactionAbortedError,
    TransientError,
)
from stream_hb.runtime.restores import BEGIN_AGAIN_SECONDS
from stream_hb.runtime.warm_shards import WARM_SECONDS_MAX, WarmShard, WarmShards
from stream_hb.statelog.shard_log import LogState, ShardLog
from stream_hb.tick_feeds import Memory
from tests.support.fake_transactions import FakeTransactions
from tests.support.logs import shop_log
from tests.support.once import Once, assert_once
from tests.support.running import BAD, EVENTS, SETTINGS, broker_with

OTHER = TopicPartition("events", 1)
TAKEN, REFUSED = {"taken_back": 1}, {"refused": 1}


def working(*, events: int = 3) -> Once:
    """Return a worker in the middle of its events; they come 40 at a time."""
    once = Once(broker_with(*shop_log(), BAD))
    once.step(events)
    return once


def rebalanced(once: Once, between: Callable[[], None] = lambda: None) -> None:
    """Take the shard away and give it back."""
    once.inputs.revoke(EVENTS)
    once.step()
    between()
    once.inputs.assign(EVENTS)
    once.step()


def rival(once: Once) -> Once:
    """Return another worker over the same broker, with a producer of its own."""
    return Once(once.broker, FakeTransactions(once.broker, once.transactions.logs))


def never_read(once: Once) -> None:
    """Let the log's reader have none."""
    once.state.faults["open"].append(AssertionError("the log is read"))


def test_a_shard_that_nobody_wrote_to_is_taken_back_without_its_log() -> None:
    once = working()
    restores = once.delivery.tally.restores
    never_read(once)
    rebalanced(once)
    assert once.engine.shards
    assert once.delivery.tally.warm == TAKEN
    assert once.delivery.tally.restores == restores
    once.to_end()
    assert_once(once.broker)


def test_it_is_taken_back_in_the_step_in_which_it_was_taken_away() -> None:
    once = working()
    once.inputs.revoke(EVENTS)
    once.inputs.polls[-1].assigned.append(EVENTS)
    before = once.engine.shards[0]
    once.step()
    assert once.delivery.tally.warm == TAKEN
    # Another object all the same: what others were told of the shard hangs on it.
    assert once.engine.shards[0] is not before
    once.to_end()
    assert_once(once.broker)


def test_a_shard_that_another_owner_wrote_to_is_read_from_its_log() -> None:
    once = working()

    def taken_over() -> None:
        rival(once).step(3)

    rebalanced(once, taken_over)
    assert once.delivery.tally.warm == REFUSED
    once.to_end()
    assert_once(once.broker)


@pytest.mark.parametrize("by", [-1, 1, 2])
def test_a_log_that_ends_anywhere_else_is_read(by: int) -> None:
    """One more is another's open transaction, or its records without their marker."""
    warm = WarmShards(lambda: 0.0)
    warm.keep(kept(end=7))
    assert warm.fitting(0, 7 + by) is None
    assert not warm.numbers
    assert warm.outcomes == REFUSED


def test_a_shard_whose_own_last_transaction_was_aborted_is_what_the_one_before_left() -> None:
    """The records of an aborted transaction that reached the broker move the end; others do not."""
    once = working()
    once.transactions.faults["commit"].append(TransactionAbortedError("abort it"))
    once.step()
    rebalanced(once)
    assert once.delivery.tally.warm == TAKEN
    once.to_end()
    assert_once(once.broker)


def test_after_an_outcome_that_nobody_knows_the_log_is_read() -> None:
    once = working()
    once.transactions.faults["commit"].append((ClientError("nobody knows"), True))
    once.step()
    rebalanced(once)
    assert not once.delivery.tally.warm
    once.to_end()
    assert_once(once.broker)


def test_a_commit_in_doubt_that_came_through_is_known() -> None:
    once = working()
    once.transactions.faults["commit"].append(TransientError("no answer"))
    once.step()
    rebalanced(once)
    assert once.delivery.tally.warm == TAKEN
    once.to_end()
    assert_once(once.broker)


def test_a_shard_that_wrote_nothing_since_its_log_was_read_is_taken_back() -> None:
    first = working()
    first.to_end()
    quiet = rival(first)
    quiet.step(9)
    never_read(quiet)
    rebalanced(quiet)
    assert quiet.delivery.tally.warm == TAKEN
    assert_once(quiet.broker)


def test_a_shard_of_which_the_log_has_nothing_begins_again() -> None:
    once = Once(broker_with(*shop_log()))
    once.step()
    rebalanced(once)
    assert not once.delivery.tally.warm
    once.to_end()


def test_a_group_that_was_set_back_is_refused_from_memory_too() -> None:
    once = working()

    def set_back() -> None:
        once.broker.committed[EVENTS] = Committed(3)

    rebalanced(once, set_back)
    assert once.delivery.tally.warm == REFUSED
    with pytest.raises(LostError, match="was set back to 3"):
        once.step(99)


def test_a_shard_whose_new_epoch_the_log_does_not_know_is_read_from_it() -> None:
    """It is not as its last transaction left it: a loss was accepted, and nothing written since."""
    once = working()
    once.delivery._logs.complete()[0].renew(7)
    once.inputs.revoke(EVENTS)
    once.step()
    assert not once.delivery._restores.warm.numbers


def test_the_log_decides_where_the_number_beside_the_offsets_does_not_fit() -> None:
    """The end fits, the offsets fit: but a transaction that only wrote estimates is another's."""
    once = working()

    def told() -> None:
        at = once.broker.committed[EVENTS]
        once.broker.committed[EVENTS] = Committed(at.offset, noted(99))

    rebalanced(once, told)
    assert once.delivery.tally.warm == REFUSED
    with pytest.raises(LostError, match="seq=99"):
        once.step(99)


def test_a_shard_taken_away_again_before_it_began_is_still_kept() -> None:
    once = working()
    once.inputs.fail("committed", TransientError("no answer"))
    rebalanced(once)
    assert once.engine.shards == {}
    never_read(once)
    rebalanced(once)
    assert once.delivery.tally.warm == TAKEN
    once.to_end()
    assert_once(once.broker)


def test_a_shard_that_could_not_be_started_is_still_kept() -> None:
    once = working()
    once.inputs.fail("start", GroupMovedError("not assigned"))
    rebalanced(once)
    assert once.engine.shards == {}
    assert not once.delivery.tally.warm
    never_read(once)
    once.seconds += BEGIN_AGAIN_SECONDS
    once.step()
    assert once.delivery.tally.warm == TAKEN
    once.to_end()
    assert_once(once.broker)


def test_what_the_next_assignment_does_not_give_back_is_forgotten() -> None:
    broker = broker_with(*shop_log())
    broker.append(shop_log(seed=2), "events", 1)
    once = Once(broker)
    once.step(4)
    warm = once.delivery._restores.warm
    once.inputs.revoke(EVENTS, OTHER)
    once.step()
    assert warm.numbers == {0, 1}
    once.inputs.assign(OTHER)
    once.step()
    assert once.engine.shards.keys() == {1}
    assert not warm.numbers


def test_what_nobody_gives_back_is_forgotten_after_a_while() -> None:
    once = working()
    once.inputs.revoke(EVENTS)
    once.step()
    warm = once.delivery._restores.warm
    assert warm.numbers == {0}
    once.seconds += WARM_SECONDS_MAX
    once.step()
    assert not warm.numbers


def test_a_worker_that_leaves_keeps_nothing() -> None:
    once = working()
    once.inputs.revoke(EVENTS)
    once.step()
    once.worker.leave()
    assert not once.delivery._restores.warm.numbers


def test_every_group_is_looked_at_again() -> None:
    """The pools may have been refitted meanwhile, when the shard was not there to be marked."""
    once = working()
    once.to_end()
    shard = once.engine.shards[0]
    assert not shard.unscreened
    found = WarmShard(shard, once.delivery._logs.complete()[0], 0, {}, Memory()).finish().shard
    assert all(found.unscreened.count(name) == len(found.table) for name in SETTINGS.methods)


class Counting:
    """A feed that counts."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def step(self, _tick: object, _moment: object) -> tuple["Counting", list[OutRecord]]:
        return Counting(self.count + 1), []

    def snapshot(self) -> int:
        return self.count

    def restored(self, state: int) -> "Counting":
        return Counting(state)


def test_feeds_remember_what_they_did() -> None:
    engine = Engine(SETTINGS, feeds={"counting": Counting()})
    engine.open_shard(0, 1)
    memory = Memory({"counting": Counting(5)}, until=17)
    warm = kept(memory=memory)
    engine.close_shard(0)
    engine.remember(warm.finish().papers)
    assert engine.memory.until == 17
    assert engine.memory.feeds["counting"].snapshot() == 5


def kept(end: int = 7, memory: Memory | None = None) -> WarmShard:
    engine = Engine(SETTINGS)
    engine.open_shard(0, 1)
    shard = engine.shards[0]
    return WarmShard(shard, ShardLog(shard, LogState(3)), end, {}, memory or Memory())
