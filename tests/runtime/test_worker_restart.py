"""The worker's restarts: rebuilding, epochs, what is gone."""

from structlog.testing import capture_logs

from stream_hb.runtime.client import (
    Committed,
    TopicPartition,
)
from tests.support.logs import purchase, shop_log, visit
from tests.support.records import assert_same_estimates, assert_without_gaps
from tests.support.running import (
    BAD,
    EVENTS,
    Running,
    broker_with,
    epochs,
    estimates,
    rejects,
)


def test_an_epoch_is_committed_before_the_first_record_under_it() -> None:
    broker = broker_with()
    for epoch in (1, 2, 3):
        running = Running(broker)
        running.step()
        assert broker.committed[EVENTS].metadata == f"epoch={epoch}"
        assert epoch not in epochs(estimates(broker))
        broker.append(shop_log(seed=epoch, stores=3), "events")
        running.to_end()
        assert max(epochs(estimates(broker))) == epoch


def test_a_crash_at_the_start_never_uses_an_epoch_twice() -> None:
    broker = broker_with()
    Running(broker).step()  # commits its epoch and is seen no more
    Running(broker).to_end()
    assert epochs(estimates(broker)) == {2}


def test_a_restart_rebuilds_in_silence_and_goes_on_under_the_next_epoch() -> None:
    broker = broker_with(*shop_log(), BAD)
    Running(broker).to_end()
    before, offset = estimates(broker), broker.committed[EVENTS].offset
    restarted = Running(broker)
    while restarted.worker.status.events < offset - 40:
        restarted.step()
        assert estimates(broker) == before
        assert broker.committed[EVENTS] == Committed(offset, "epoch=2")
        assert restarted.worker.status.rebuilding == 1
    restarted.to_end()
    assert restarted.worker.status.rebuilding == 0
    after = estimates(broker)[len(before) :]
    assert epochs(after) == {2}
    assert_without_gaps(before + after)
    assert_same_estimates(before, after, tolerance=1e-9)


def test_a_restart_ends_where_an_undisturbed_worker_does() -> None:
    broker, undisturbed = broker_with(), Running(broker_with())
    crashed = Running(broker)
    crashed.step(5)
    Running(broker).to_end()
    undisturbed.to_end()
    records = estimates(broker)
    assert_without_gaps(records)
    assert_same_estimates(records, estimates(undisturbed.broker), tolerance=1e-9)


def test_rejects_are_written_once_over_a_restart() -> None:
    broker = broker_with(visit(), BAD, visit(), BAD)
    Running(broker).to_end()
    broker.append([BAD, visit()], "events")
    restarted = Running(broker)
    restarted.to_end()
    assert [reject["offset"] for reject in rejects(broker)] == [1, 3, 4]
    assert [w.key for w in broker.written if w.topic == "rejects"][-1] == b"events-0-4"
    assert restarted.worker.status.rejected == {"not_json": 1}


def test_rejects_behind_the_committed_offset_in_the_same_batch_are_not_repeated() -> None:
    broker = broker_with(*[BAD] * 10)
    broker.committed[EVENTS] = Committed(6, "epoch=4")
    Running(broker).to_end()
    assert [reject["offset"] for reject in rejects(broker)] == [6, 7, 8, 9]
    assert broker.committed[EVENTS] == Committed(10, "epoch=5")


def test_a_shard_has_caught_up_when_all_of_its_topics_have() -> None:
    broker = broker_with(*[visit("s", f"v{i}") for i in range(100)], topic="visits")
    broker.append([purchase("s", f"o{i}", visit_id=f"v{i}") for i in range(5)], "purchases")
    visits, purchases = TopicPartition("visits", 0), TopicPartition("purchases", 0)
    broker.committed = {visits: Committed(70, "epoch=1"), purchases: Committed(5, "epoch=1")}
    running = Running(broker)
    running.step(2)
    assert running.worker.status.rebuilding == 1
    assert estimates(broker) == []
    running.to_end()
    records = estimates(broker)
    assert epochs(records) == {2}
    assert all(record["offsets"]["visits-0"] >= 70 for record in records)
    assert broker.committed == {
        visits: Committed(100, "epoch=2"),
        purchases: Committed(5, "epoch=2"),
    }


def test_the_highest_epoch_of_a_shards_topics_counts() -> None:
    broker = broker_with(visit("s"), topic="visits")
    broker.append([purchase("s")], "purchases")
    broker.committed = {TopicPartition("visits", 0): Committed(1, "epoch=7")}
    Running(broker).to_end()
    assert {committed.metadata for committed in broker.committed.values()} == {"epoch=8"}


def test_a_metadata_of_somebody_else_is_no_epoch() -> None:
    broker = broker_with(visit())
    broker.committed[EVENTS] = Committed(0, "made by hand")
    Running(broker).to_end()
    assert broker.committed[EVENTS].metadata == "epoch=1"


def test_a_beginning_that_is_gone_is_warned_of() -> None:
    broker = broker_with(*shop_log())
    broker.lows[EVENTS] = 17
    with capture_logs() as said:
        Running(broker).to_end()
    (warning,) = [line for line in said if line["log_level"] == "warning"]
    assert "beginning of the input is gone" in warning["event"]
    assert warning["lost_offsets"] == "0..16"
    assert broker.committed[EVENTS].offset == broker.end(EVENTS)


def test_committed_offsets_that_are_gone_do_not_make_it_wait() -> None:
    broker = broker_with(*shop_log())
    broker.lows[EVENTS] = 17
    broker.committed[EVENTS] = Committed(5, "epoch=1")
    Running(broker).to_end()
    assert epochs(estimates(broker)) == {2}


def test_a_topic_shorter_than_what_was_committed_is_said_and_not_waited_for() -> None:
    """It was deleted and made again: waiting for the old offset would mean silence for ever."""
    broker = broker_with(*shop_log())
    broker.committed[EVENTS] = Committed(1_000_000, "epoch=1")
    with capture_logs() as said:
        Running(broker).to_end()
    warnings = [line for line in said if line["log_level"] == "warning"]
    assert [line["committed"] for line in warnings] == [1_000_000]
    assert epochs(estimates(broker)) == {2}
    assert broker.committed[EVENTS].offset == broker.end(EVENTS)


def test_a_group_without_memory_goes_on_after_the_newest_epoch_that_readers_know() -> None:
    """Readers ignore an epoch that goes back: a new group id must not silence the feed."""
    broker = broker_with()
    first = Running(broker, last_epoch=4)
    first.to_end()
    assert epochs(estimates(broker)) == {5}
    Running(broker, last_epoch=4).to_end()
    assert epochs(estimates(broker)) == {5, 6}
