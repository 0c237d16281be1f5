"""State and events that are lost, or are others, and what a loss that is accepted means."""

from collections.abc import Iterable

import pytest

from stream_hb.errors import BrokerError, LostError, SnapshotError
from stream_hb.runtime.agreement import noted
from stream_hb.runtime.client import (
    Committed,
    TopicPartition,
    Trouble,
    TroubleKind,
)
from stream_hb.runtime.origin import Origin
from stream_hb.runtime.restores import PROGRESS_SECONDS_MAX
from stream_hb.statelog.restore import Restoring
from tests.support.logs import START_MS, shop_log, visit
from tests.support.once import LATE, Once, assert_once
from tests.support.records import Record, assert_same_estimates, assert_without_gaps, newest
from tests.support.running import (
    BAD,
    EVENTS,
    SETTINGS,
    broker_with,
    epochs,
    estimates,
    rejects,
)


def test_offsets_of_another_history_are_refused() -> None:
    broker = broker_with(*shop_log())
    once = Once(broker)
    once.to_end()
    for offset, said in ((3, "was set back to 3"), (10**6, "has committed 1000000")):
        broker.committed[EVENTS] = Committed(offset)
        with pytest.raises(LostError, match=f"written up to {broker.end(EVENTS)}, .*{said}"):
            once.again().step(99)  # read again twice before it is an error
    accepted = once.again(accept_loss=True)
    accepted.to_end()
    assert broker.committed[EVENTS].offset == broker.end(EVENTS)


class Truncated:
    """A broker whose state log has lost its end, all that came after some steps."""

    def __init__(self, steps: int = 4) -> None:
        self.once = Once(broker_with(*shop_log(), BAD))
        self.once.step(steps)
        records = self.once.transactions.logs["state", 0]
        kept = len(records)
        self.once.to_end()
        self.before = newest(estimates(self.once.broker))
        self.written = len(estimates(self.once.broker))
        del records[kept:]
        restoring = Restoring(0, SETTINGS)
        for record in records:
            restoring.take(*record)
        restored = restoring.finish()
        assert restored is not None
        self.marker_at = restored.offsets[EVENTS]

    @property
    def after(self) -> list[Record]:
        return estimates(self.once.broker)[self.written :]


@pytest.mark.parametrize("steps", [4, 12], ids=["events are lost too", "estimates alone"])
def test_a_state_that_lost_its_end_goes_on_under_an_epoch_that_no_reader_knows(steps: int) -> None:
    """Under the old one keys would get versions again that readers have: they would drop them."""
    lost = Truncated(steps)
    assert (lost.marker_at < lost.once.broker.end(EVENTS)) == (steps == 4)
    with pytest.raises(LostError, match=r"has committed .* under a new epoch"):
        lost.once.again().step(40)  # read again twice before it is an error
    lost.once.again(accept_loss=True).to_end()
    assert epochs(lost.after) == {2}
    assert newest(lost.after).keys() == lost.before.keys()
    assert_without_gaps(estimates(lost.once.broker))
    assert_same_estimates(lost.after, lost.before.values(), tolerance=1e-9)


def test_a_loss_is_accepted_at_the_second_look() -> None:
    """A worker that stood still while another worked reads more than its offsets tell of."""
    lost = Truncated()
    accepted = lost.once.again(accept_loss=True)
    end = lost.once.broker.committed[EVENTS]
    marker = Committed(lost.marker_at)
    asked = iter([end, marker])

    def committed(partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Committed]:
        return dict.fromkeys(partitions, next(asked))

    accepted.inputs.committed = committed  # type: ignore[method-assign]
    accepted.to_end()
    assert epochs(lost.after) == {1}


def test_nothing_of_an_accepted_loss_is_forgotten_by_whoever_goes_on() -> None:
    """Killed at every step: the first transaction says that all is to be written again."""
    for steps in (1, 4, 5, 6, 7, 8):
        lost = Truncated()
        accepted = lost.once.again(accept_loss=True)
        accepted.step(steps)
        accepted.delivery.finish()
        following = accepted.again()
        try:
            following.to_end()
        except LostError:  # nothing was committed yet, offsets neither
            assert not lost.after
            following.again(accept_loss=True).to_end()
        assert epochs(lost.after) == {2}
        assert newest(lost.after).keys() == lost.before.keys()
        assert_without_gaps(estimates(lost.once.broker))


def test_every_loss_that_is_accepted_takes_an_epoch_of_its_own() -> None:
    lost = Truncated()
    log = lost.once.transactions.logs["state", 0]
    kept = len(log)
    accepted = lost.once.again(accept_loss=True)
    accepted.to_end()
    del log[kept:]
    accepted.inputs.revoke(EVENTS)
    accepted.inputs.assign(EVENTS)
    accepted.step(3)  # the same process, which has asked before
    accepted.to_end()
    assert epochs(lost.after) == {2, 3}
    assert_without_gaps(estimates(lost.once.broker))
    del log[:]
    accepted.inputs.revoke(EVENTS)
    accepted.inputs.assign(EVENTS)
    accepted.step(3)
    accepted.to_end()
    assert epochs(lost.after) == {2, 3, 4}
    assert_without_gaps(estimates(lost.once.broker))


def test_a_loss_of_events_alone_leaves_the_epoch() -> None:
    """What was emitted is remembered whole: log and group agree."""
    once = Once(broker_with(*shop_log(), BAD))
    once.to_end()
    once.broker.lows[EVENTS] = once.broker.end(EVENTS) + 5
    once.again(accept_loss=True).to_end()
    assert epochs(estimates(once.broker)) == {1}


def test_events_that_are_gone_are_named_and_refused() -> None:
    broker = broker_with(*shop_log(visits=10))
    once = Once(broker)
    once.to_end()
    end = broker.end(EVENTS)
    broker.lows[EVENTS] = end + 5
    with pytest.raises(LostError, match=rf"events-0: events {end}\.\.{end + 4} are gone"):
        once.again().step(9)
    once.again(accept_loss=True).to_end()


def test_a_group_that_lost_its_state_is_refused() -> None:
    broker = broker_with(*shop_log(visits=10))
    broker.committed[EVENTS] = Committed(7)
    with pytest.raises(LostError, match="has committed 7, but the topic of the state has nothing"):
        Once(broker).step(3)
    Once(broker, accept_loss=True).to_end()
    assert broker.committed[EVENTS].offset == broker.end(EVENTS)


def test_a_state_of_which_only_estimates_were_written_is_lost_too() -> None:
    """Stores that are registered have estimates before their first event."""
    broker = broker_with(*shop_log(visits=10))
    broker.committed[EVENTS] = Committed(0, noted(3))
    with pytest.raises(LostError, match="has committed 0, but the topic of the state has nothing"):
        Once(broker).step(3)
    broker.committed[EVENTS] = Committed(0, noted(0))  # of a shard that had written nothing
    Once(broker).to_end()


def test_a_state_of_another_group_is_refused() -> None:
    once = Once(broker_with(*shop_log(visits=10)))
    once.to_end()
    other = Once(once.broker, once.transactions, group="h")
    with pytest.raises(SnapshotError, match="holds that of group 'g'"):
        other.step(9)


OTHER_ORIGINS = [
    (Origin("cluster-2", {"events": "topic-1"}), "cluster is cluster-2, .* on cluster cluster-1"),
    (Origin("cluster-1", {"events": "topic-2"}), "its id is topic-2, .* counted from is topic-1"),
]


@pytest.mark.parametrize(("origin", "said"), OTHER_ORIGINS, ids=["cluster", "topic"])
def test_a_state_that_was_counted_from_other_topics_is_refused_with_both_ids(
    origin: Origin, said: str
) -> None:
    once = Once(broker_with(*shop_log(), BAD))
    once.to_end()
    written, calls = len(once.broker.written), once.transactions.calls
    calls.clear()
    with pytest.raises(LostError, match=f"input topic 'events': .*{said}.*--accept-loss"):
        once.again(origin=origin).step(40)
    assert len(once.broker.written) == written
    assert set(calls) == {"renew"}


@pytest.mark.parametrize(
    "committed", [None, 2, 10**6], ids=["nothing", "some", "what is not there"]
)
def test_a_topic_that_was_made_anew_is_read_from_what_the_group_has_of_it(
    committed: int | None,
) -> None:
    """The operator's word: the state stays, and its offsets mean nothing there."""
    once = Once(broker_with(*shop_log()))
    once.to_end()
    visits = once.engine.shards[0].table.statistic("conversion").columns()["trials"].sum()
    broker = once.broker
    broker.inputs[EVENTS] = [visit("s0", f"new-{n}", START_MS + n) for n in range(6)]
    del broker.committed[EVENTS]
    if committed is not None:
        broker.committed[EVENTS] = Committed(committed)
    accepted = once.again(accept_loss=True, origin=OTHER_ORIGINS[1][0])
    accepted.to_end()
    after = accepted.engine.shards[0].table.statistic("conversion").columns()["trials"].sum()
    assert after - visits == (4 if committed == 2 else 6)
    assert broker.committed[EVENTS].offset == 6
    assert max(epochs(estimates(broker))) == 2
    assert_without_gaps(estimates(broker))
    once.again(origin=OTHER_ORIGINS[1][0]).to_end()  # it is of the new topic from now on


def test_a_state_without_ids_is_taken_and_gets_them_with_its_next_transaction() -> None:
    once = Once(broker_with(*shop_log(), BAD), origin=None)
    once.step(5)
    following = once.again()
    following.to_end()
    assert_once(once.broker)
    with pytest.raises(LostError, match="its id is topic-2"):
        following.again(origin=OTHER_ORIGINS[1][0]).step(40)
    silent = following.again(origin=None)  # the broker does not tell
    silent.broker.append([visit("s0", "one-more", START_MS + 1)], "events")
    silent.to_end()
    with pytest.raises(LostError, match="counted from is topic-1"):
        silent.again(origin=OTHER_ORIGINS[1][0]).step(40)


def test_a_topic_that_is_made_anew_while_its_worker_runs_is_found_when_it_is_assigned() -> None:
    """Kafka deletes what a group has committed with the topic: nothing else would tell."""
    once = Once(broker_with(*shop_log(), BAD))
    once.to_end()
    once.origin = OTHER_ORIGINS[1][0]
    del once.broker.committed[EVENTS]
    once.inputs.revoke(EVENTS)
    once.inputs.assign(EVENTS)
    with pytest.raises(LostError, match="its id is topic-2"):
        once.step(40)


def test_a_topic_that_is_read_for_the_first_time_is_no_other_one() -> None:
    told = Origin("c", {"visits": "t1"}).plain()
    assert not Origin("c", {"visits": "t1", "purchases": "t2"}).others(told)


def test_a_group_that_forgot_its_offsets_goes_on_from_the_state() -> None:
    broker = broker_with(*shop_log(), BAD)
    Once(broker).to_end()
    once = Once(broker_with(*shop_log(), BAD))
    once.step(5)
    once.broker.committed.clear()
    once.again().to_end()
    assert_once(once.broker)


def test_a_log_that_does_not_come_to_its_end_ends_the_worker_with_what_is_known() -> None:
    once = Once(broker_with(*shop_log()))
    once.to_end()
    stuck = once.again()
    stuck.state.faults["poll"].extend([LATE] * 9)
    stuck.step(2)
    stuck.seconds += PROGRESS_SECONDS_MAX
    with pytest.raises(BrokerError, match="the state of shard 0 cannot be read: it stands at 0"):
        stuck.step()


def test_a_log_that_was_truncated_while_it_was_read_is_lost_and_its_range_is_named() -> None:
    once = Once(broker_with(*shop_log()))
    once.to_end()
    stuck = once.again()
    stuck.state.faults["poll"].extend([LATE] * 9)
    stuck.step(2)
    records = once.transactions.logs["state", 0]
    end = len(records)
    del records[-2:]
    stuck.seconds += PROGRESS_SECONDS_MAX
    with pytest.raises(LostError, match=rf"shard 0 has lost {end - 2}\.\.{end - 1} while"):
        stuck.step()
    assert LostError.exit_code == 5


def test_it_ends_so_too_where_the_broker_does_not_even_tell_where_the_log_ends() -> None:
    """Found by the simulator: the question for the message ended the worker in its place."""
    once = Once(broker_with(*shop_log()))
    once.to_end()
    stuck = once.again()
    stuck.state.faults["poll"].extend([LATE] * 9)
    stuck.step(2)
    stuck.seconds += PROGRESS_SECONDS_MAX
    stuck.state.faults["end"].append(LATE)
    with pytest.raises(BrokerError, match="its end is now unknown"):
        stuck.step()


def test_events_that_go_while_a_worker_runs_are_named() -> None:
    once = Once(broker_with(*shop_log(), BAD))
    once.step(4)
    position = once.engine.shards[0].positions[EVENTS].next_offset
    once.broker.lows[EVENTS] = position + 7
    del once.broker.inputs[EVENTS][: position + 7]
    once.inputs.trouble(Trouble(TroubleKind.OFFSET_LOST, "out of range", EVENTS))
    said = rf"events-0: out of range .*events {position}\.\.{position + 6} are gone before they"
    with pytest.raises(LostError, match=said):
        once.step(2)


def test_a_topic_that_is_read_for_the_first_time_begins_at_its_beginning() -> None:
    broker = broker_with(*shop_log())
    once = Once(broker)
    once.to_end()
    broker.append([BAD] * 3, "control")
    more = once.again()
    more.to_end()
    assert broker.committed[TopicPartition("control", 0)].offset == 3
    assert len(rejects(broker)) == 3
    assert broker.committed[EVENTS].offset == broker.end(EVENTS)


def test_a_state_of_other_topics_is_refused() -> None:
    broker = broker_with(*shop_log(visits=10), topic="renamed")
    once = Once(broker)
    once.to_end()
    renamed = broker_with(*shop_log(visits=10))
    with pytest.raises(SnapshotError, match="is of other topics: renamed, not events"):
        Once(renamed, once.transactions).step(9)
