"""The worker over a broker in memory that fails when it is told to."""

from dataclasses import replace
from threading import Event
from typing import Any
from unittest.mock import Mock

import pytest
from structlog.testing import capture_logs

from stream_hb.errors import BrokerError, LostError, SlotError, StreamHBError, TopicError
from stream_hb.runtime.client import (
    ClientError,
    Committed,
    DeliveryError,
    GroupMovedError,
    Polled,
    TopicPartition,
    TransientError,
    Trouble,
    TroubleKind,
    Watermarks,
)
from stream_hb.settings import EmissionRule
from tests.support.logs import purchase, shop_log, visit
from tests.support.records import assert_same_estimates, assert_without_gaps
from tests.support.running import (
    BAD,
    EVENTS,
    SETTINGS,
    Running,
    broker_with,
    epochs,
    estimates,
    live,
    rejects,
)


def test_all_events_become_estimates_and_everything_is_committed() -> None:
    broker = broker_with()
    running = Running(broker)
    running.to_end()
    assert broker.committed == {EVENTS: Committed(broker.end(EVENTS), "epoch=1")}
    records = estimates(broker)
    assert len({(r["key"]["store_id"], r["metric"]) for r in records}) == 8 * 3
    assert_without_gaps(records)
    status = running.worker.status
    assert status.events == status.accepted == broker.end(EVENTS)
    assert (status.records, status.rebuilding) == (len(records), 0)


def test_offsets_are_committed_only_after_a_flush_that_left_nothing() -> None:
    running = live(*shop_log(), BAD)
    broker = running.broker
    running.outputs.flushes.extend([3, 2, 0] * 5)
    running.to_end()
    waiting = False
    for name in broker.journal:
        waiting = name == "produce" or (waiting and name != "flushed")
        assert not (name == "commit" and waiting)
    assert broker.journal.count("commit") > 2
    assert broker.committed[EVENTS].offset == broker.end(EVENTS)


def test_no_committed_offset_is_ahead_of_what_was_delivered() -> None:
    """At every moment a crash would lose nothing: what is committed is in the output."""
    broker = broker_with(*[BAD] * 100)
    running = Running(broker, batch_events=7)
    commit = running.inputs.commit

    def checked_commit(offsets: Any) -> None:
        assert all(o.offset <= len(broker.values("rejects")) for o in offsets.values())
        commit(offsets)

    running.inputs.commit = checked_commit  # type: ignore[method-assign]
    running.to_end()
    assert [r["offset"] for r in rejects(broker)] == list(range(100))


def emissions_at(running: Running, steps: int) -> list[int]:
    """Return the steps at which estimates were written."""
    found = []
    for step in range(steps):
        before = len(running.broker.written)
        running.step()
        if len(running.broker.written) > before:
            found.append(step)
    return found


def test_when_live_estimates_are_written_with_every_batch() -> None:
    broker = broker_with(*shop_log(visits=10))
    running = Running(broker)
    running.to_end()
    for number in range(4):
        more = [visit("c-1", f"more-{number}-{i}") for i in range(9)]
        broker.append(more, "events")
        assert emissions_at(running, 1) == [0]


def test_when_behind_estimates_are_written_every_five_seconds() -> None:
    behind = emissions_at(live(*shop_log(visits=80)), 16)
    assert len(behind) == 3
    assert behind[1] - behind[0] == behind[2] - behind[1] == 5


def test_what_was_not_written_while_behind_is_written_when_it_has_caught_up() -> None:
    broker = broker_with(*[visit(f"s{i % 3}", f"v{i}") for i in range(160)])
    running = Running(broker)
    running.to_end()
    last = {record["key"]["store_id"]: record["n_eff"] for record in estimates(broker)}
    assert last == {"s0": 54, "s1": 53, "s2": 53}


def test_everything_touched_is_written_when_behind_too() -> None:
    touched = EmissionRule(heartbeat_ms=None, everything_touched=True)
    running = live(*shop_log(visits=80), settings=replace(SETTINGS, emission=touched))
    assert emissions_at(running, 12) == list(range(1, 12))


def test_nothing_is_emitted_before_every_topic_is_read_to_where_it_ended() -> None:
    """Purchases are read far ahead of their visits: half-read, every visitor seems to buy."""
    broker = broker_with(*[visit(f"s{i % 3}", f"v{i}") for i in range(300)], topic="visits")
    broker.append(
        [purchase(f"s{i % 3}", f"o{i}", visit_id=f"v{i}") for i in range(30)], "purchases"
    )
    running = Running(broker)
    running.step(7)
    assert running.engine.shards[0].table.keys
    assert not running.engine.pools
    assert not estimates(broker)
    running.to_end()
    assert {r["raw"] for r in estimates(broker) if r["metric"] == "conversion"} == {0.1}


def test_an_end_behind_the_last_message_is_reached_on_the_clients_word() -> None:
    """A transaction's marker is the last offset: no message will ever have it."""
    running = Running(broker_with())
    running.inputs.watermarks = Mock(return_value=Watermarks(0, 10_000))  # type: ignore[method-assign]
    running.to_end()
    assert not estimates(running.broker)
    running.inputs.polls.append(Polled([], [], [], [], ended=[EVENTS]))
    running.step(2)
    assert estimates(running.broker)


def test_told_to_stop_before_the_delivery_it_applies_nothing() -> None:
    broker = broker_with()
    running = Running(broker)
    running.step(3)
    broker.append(shop_log(seed=2), "events")
    before, committed = running.engine.shards[0].snapshot(), dict(broker.committed)
    running.outputs.flushes.extend([5, 5])
    running.outputs.at_flush = running.stop.set
    running.step()
    after = running.engine.shards[0].snapshot()
    assert str(after) == str(before)
    assert broker.committed == committed


def test_told_to_stop_it_leaves_cleanly() -> None:
    broker = broker_with()
    running = Running(broker)
    running.worker.run(running.stop)  # the fake stops it when nothing comes any more
    assert broker.committed[EVENTS].offset == broker.end(EVENTS)
    assert running.inputs.closed
    assert running.outputs.closed


@pytest.mark.parametrize("method", ["committed", "commit", "watermarks", "start"])
def test_a_passing_failure_at_the_start_is_tried_again(method: str) -> None:
    broker = broker_with()
    running = Running(broker)
    running.inputs.fail(method, TransientError("no answer"), TransientError("no answer"))
    running.step(2)
    assert running.engine.shards == {}
    running.to_end()
    assert broker.committed[EVENTS].offset == broker.end(EVENTS)
    records = estimates(broker)
    assert_without_gaps(records)
    assert records


def test_a_commit_that_failed_is_made_at_the_next_step() -> None:
    broker = broker_with()
    running = Running(broker, batch_events=1000)
    running.step()
    running.inputs.fail("commit", TransientError("no answer"))
    running.step()
    assert broker.committed[EVENTS].offset == 0
    assert running.worker.status.events == broker.end(EVENTS)
    running.step()
    assert broker.committed[EVENTS].offset == broker.end(EVENTS)
    assert running.worker.status.events == broker.end(EVENTS)  # nothing was taken twice


def test_a_group_that_moved_on_takes_the_partition_away() -> None:
    broker = broker_with()
    running = Running(broker)
    running.step(2)
    before = broker.committed[EVENTS]
    running.inputs.fail("commit", GroupMovedError("generation"))
    running.inputs.revoke(EVENTS)
    running.step(3)
    assert running.engine.shards == {}
    assert broker.committed[EVENTS] == before


def test_a_group_that_moves_on_at_the_start_is_waited_for() -> None:
    broker = broker_with()
    running = Running(broker)
    running.inputs.fail("commit", GroupMovedError("generation"))
    running.inputs.revoke(EVENTS)
    running.inputs.assign(EVENTS)
    running.to_end()
    assert broker.committed[EVENTS] == Committed(broker.end(EVENTS), "epoch=1")


def test_a_revoked_shard_is_dropped_and_rebuilt_under_the_next_epoch_when_it_returns() -> None:
    running = live()
    broker = running.broker
    running.step(8)
    running.inputs.revoke(EVENTS)
    running.step(1)
    assert running.engine.groups_count == 0
    offset = broker.committed[EVENTS].offset
    assert 0 < offset < broker.end(EVENTS)
    running.inputs.assign(EVENTS)
    running.to_end()
    assert broker.committed[EVENTS] == Committed(broker.end(EVENTS), "epoch=2")
    records = estimates(broker)
    assert epochs(records) == {1, 2}
    assert_without_gaps(records)
    twin = Running(broker_with())
    twin.to_end()
    assert_same_estimates(records, estimates(twin.broker), tolerance=1e-9)


def test_nothing_is_committed_of_a_partition_that_was_taken_away() -> None:
    """Its new owner may have committed more since."""
    broker = broker_with()
    running = Running(broker)
    running.step(2)
    running.inputs.fail("commit", TransientError("no answer"))
    running.step()
    running.inputs.revoke(EVENTS)
    broker.committed[EVENTS] = Committed(200, "epoch=2")
    running.step(2)
    assert broker.committed[EVENTS] == Committed(200, "epoch=2")


def test_the_other_shards_go_on_when_one_is_revoked() -> None:
    broker = broker_with(*[visit("a", f"v{i}") for i in range(90)])
    broker.append([visit("b", f"v{i}") for i in range(90)], "events", 1)
    running = Running(broker)
    running.step(2)
    running.inputs.revoke(EVENTS)
    running.to_end()
    assert set(running.engine.shards) == {1}
    assert broker.committed[TopicPartition("events", 1)].offset == 90
    assert broker.committed[EVENTS].offset < 90


def test_records_that_find_the_queue_full_are_handed_over_later() -> None:
    broker, undisturbed = broker_with(*shop_log(), BAD), Running(broker_with(*shop_log(), BAD))
    running = Running(broker)
    running.outputs.refusals.extend([TransientError("queue full")] * 3)
    running.to_end()
    undisturbed.to_end()
    assert broker.written == undisturbed.broker.written
    assert broker.committed == undisturbed.broker.committed


def test_told_to_stop_while_the_queue_is_full_it_applies_and_commits_nothing() -> None:
    broker = broker_with(BAD)
    running = Running(broker)
    running.outputs.refusals.extend([TransientError("queue full")] * 3)
    running.outputs.at_refusal = running.stop.set
    running.worker.run(running.stop)
    assert broker.committed[EVENTS].offset == 0
    assert running.worker.status.events == 0
    assert len(running.outputs.refusals) == 2  # it does not wait any longer
    assert running.outputs.closed


def test_records_that_wait_for_the_broker_are_said_once() -> None:
    running = Running(broker_with(BAD))
    running.outputs.flushes.extend([1, 1, 1])
    with capture_logs() as said:
        running.to_end()
    waiting = [line["records"] for line in said if line["event"] == "records wait for the broker"]
    assert waiting == [1]


def test_a_worker_that_must_end_commits_nothing_for_what_was_taken_away() -> None:
    """The new owner may have committed more since."""
    broker = broker_with()
    running = Running(broker, batch_events=1000)
    running.step()
    running.inputs.fail("commit", TransientError("no answer"))
    running.step()
    broker.committed[EVENTS] = Committed(200, "epoch=2")
    fatal = Trouble(TroubleKind.FATAL, "words")
    running.inputs.polls.append(Polled([], [], [EVENTS], [fatal]))
    with pytest.raises(BrokerError):
        running.worker.run(running.stop)
    assert broker.committed[EVENTS] == Committed(200, "epoch=2")


def test_records_that_were_given_up_end_the_worker_without_a_commit() -> None:
    broker = broker_with()
    running = Running(broker)
    running.outputs.flushes.extend([0, DeliveryError("message too large")])
    with pytest.raises(DeliveryError):
        running.worker.run(Event())
    assert broker.committed[EVENTS].offset == 0
    assert running.inputs.closed
    assert running.outputs.closed


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (TroubleKind.OFFSET_LOST, LostError),
        (TroubleKind.TOPIC_GONE, TopicError),
        (TroubleKind.REFUSED, BrokerError),
        (TroubleKind.FENCED, SlotError),
        (TroubleKind.FATAL, BrokerError),
    ],
)
def test_what_can_not_be_mended_ends_the_worker(
    kind: TroubleKind, error: type[StreamHBError]
) -> None:
    running = Running(broker_with())
    running.step(2)
    running.inputs.trouble(Trouble(kind, "the broker's words", EVENTS))
    with pytest.raises(error, match="events-0: the broker's words") as raised:
        running.worker.run(running.stop)
    assert type(raised.value) is error
    assert running.inputs.closed


def test_a_worker_whose_place_in_the_group_another_takes_ends_with_the_slots_exit_code() -> None:
    """Wrong before: it ended with 1, though 6 is what the commands promise."""
    running = Running(broker_with())
    running.inputs.trouble(Trouble(TroubleKind.FENCED, "static consumer fenced"))
    with pytest.raises(SlotError, match=r"a slot of its own \(--slot\)") as raised:
        running.worker.run(running.stop)
    assert raised.value.exit_code == 6


@pytest.mark.parametrize("kind", [TroubleKind.MEMBERSHIP_LOST, TroubleKind.OTHER])
def test_what_passes_is_only_said(kind: TroubleKind) -> None:
    broker = broker_with()
    running = Running(broker)
    running.inputs.trouble(Trouble(kind, "words"))
    with capture_logs() as said:
        running.to_end()
    assert [line["kind"] for line in said if line["event"] == "trouble"] == [kind.value]
    assert broker.committed[EVENTS].offset == broker.end(EVENTS)


def test_brokers_that_are_down_are_said_once_until_messages_come_again() -> None:
    broker = broker_with(visit())
    running = Running(broker)
    running.to_end()
    down = Trouble(TroubleKind.BROKERS_DOWN, "all brokers down")
    with capture_logs() as said:
        for _ in range(3):
            running.inputs.trouble(down)
        running.step(3)
        broker.append([visit(visit_id="v2")], "events")
        running.step()
        running.inputs.trouble(down)
        running.step()
    assert [line["event"] for line in said].count("trouble") == 2
    assert running.worker.status.events == 2


def test_a_reject_of_the_engine_is_delivered_with_its_bytes() -> None:
    broker = broker_with(visit("a"), visit("b"), b"\xff\xfe")
    running = Running(broker, settings=replace(SETTINGS, groups_max=1))
    running.to_end()
    assert [(r["offset"], r["reason"]) for r in rejects(broker)] == [
        (1, "too_many_groups"),
        (2, "not_utf8"),
    ]
    status = running.worker.status
    assert status.events == status.accepted + status.rejected.total() == 3


def test_an_error_that_no_retry_mends_ends_the_worker() -> None:
    running = Running(broker_with())
    running.inputs.fail("committed", ClientError("group authorization failed"))
    with pytest.raises(ClientError, match="authorization"):
        running.worker.run(running.stop)
    assert running.inputs.closed


def test_the_clients_are_closed_even_if_the_last_commit_fails() -> None:
    running = live()
    running.step(1)
    running.outputs.at_flush = running.stop.set
    running.inputs.fail("commit", TransientError("no answer"), ClientError("broken"))
    with pytest.raises(ClientError, match="broken"):
        running.worker.run(running.stop)
    assert running.inputs.closed
    assert running.outputs.closed


@pytest.mark.parametrize(("worked_ms", "wait_seconds"), [(0, 0.05), (20, 0.03), (70, 0.0)])
def test_events_are_collected_for_50_ms_the_work_on_the_last_batch_included(
    worked_ms: int, wait_seconds: float
) -> None:
    running = live(visit("c-0", "v"))
    ingest = running.engine.ingest

    def slow(*arguments: Any, **more: Any) -> Any:
        running.now_ms += worked_ms
        return ingest(*arguments, **more)

    running.engine.ingest = slow  # type: ignore[method-assign]
    for _ in range(2):
        running.worker.step(running.stop)
    assert running.inputs.waits[-1] == pytest.approx(wait_seconds)
