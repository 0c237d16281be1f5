"""The transactional delivery over a broker in memory: whatever a call answers, once is once."""

import random
from threading import Event

import pytest

from stream_hb.errors import SlotError
from stream_hb.runtime.client import (
    ClientError,
    GroupMovedError,
    RefusedError,
    TooLargeError,
)
from stream_hb.runtime.health import UNDELIVERED_MAX, readiness
from tests.support.fake_transactions import fenced
from tests.support.logs import START_MS, shop_log, visit
from tests.support.once import ABORT, LATE, LOST, Once, assert_once, undisturbed
from tests.support.running import (
    BAD,
    EVENTS,
    broker_with,
)


def test_what_is_delivered_is_committed_with_it() -> None:
    assert_once(undisturbed())


def test_a_worker_without_news_writes_nothing() -> None:
    once = Once(broker_with(*shop_log(), BAD))
    once.to_end()
    calls = len(once.transactions.calls)
    once.step(5)
    assert len(once.transactions.calls) == calls


def test_a_worker_that_delivers_nothing_is_not_ready() -> None:
    once = Once(broker_with(*shop_log(), BAD))
    once.to_end()
    once.broker.append([visit("s01", f"late-{n}", START_MS) for n in range(3)], *EVENTS)
    once.transactions.faults["commit"].extend([ABORT] * (UNDELIVERED_MAX + 1))
    once.step(UNDELIVERED_MAX)
    assert readiness(once.worker).good
    once.step()
    assert "not committed" in readiness(once.worker).detail
    once.to_end()
    assert readiness(once.worker).good


@pytest.mark.parametrize("call", ["begin", "produce", "send_offsets", "commit"])
@pytest.mark.parametrize("fault", [ABORT, LOST, (LOST, True)], ids=["abort", "lost", "done"])
def test_a_fault_of_any_call_changes_nothing(call: str, fault: object) -> None:
    if isinstance(fault, tuple) and call != "commit":
        fault = LOST  # only a commit can have happened without an answer
    broker = broker_with(*shop_log(), BAD)
    once = Once(broker)
    once.step(3)
    once.transactions.faults[call].append(fault)
    once.to_end()
    assert not once.transactions.faults[call]
    assert_once(broker)


def test_a_commit_in_doubt_is_asked_again_and_never_aborted() -> None:
    broker = broker_with(*shop_log(), BAD)
    once = Once(broker)
    once.step(3)
    once.transactions.faults["commit"].extend([LATE, LATE])
    once.to_end()
    calls = once.transactions.calls
    at = calls.index("commit", calls.index("commit") + 1)
    assert "abort" not in calls
    assert calls.count("renew") == 2
    assert at
    assert_once(broker)


def test_offsets_in_doubt_are_not_sent_again_but_the_producer_is_renewed() -> None:
    broker = broker_with(*shop_log(), BAD)
    once = Once(broker)
    once.step(3)
    once.transactions.faults["send_offsets"].append(LATE)
    once.to_end()
    calls = once.transactions.calls
    first = calls.index("renew", 1)
    assert calls[first - 1] == "send_offsets"
    assert_once(broker)


def test_offsets_that_no_membership_fences_are_never_sent_but_the_transaction_is_aborted() -> None:
    broker = broker_with(*shop_log(), BAD)
    once = Once(broker)
    once.step(3)
    membership, calls = once.inputs.membership, once.transactions.calls

    def none() -> str:
        once.inputs.membership = membership  # type: ignore[method-assign]
        raise GroupMovedError("not a member of the group for now")

    once.inputs.membership = none  # type: ignore[method-assign]
    sent = calls.count("send_offsets")
    once.step()
    assert calls.count("send_offsets") == sent
    assert calls[-1] == "abort"
    once.to_end()
    assert calls.count("renew") == 1
    assert_once(broker)


def test_an_abort_that_fails_is_left_to_the_next_producer() -> None:
    broker = broker_with(*shop_log(), BAD)
    once = Once(broker)
    once.step(3)
    once.transactions.faults["commit"].append(ABORT)
    once.transactions.faults["abort"].append(LOST)
    once.to_end()
    assert once.transactions.calls.count("renew") == 2
    assert_once(broker)


def test_no_transaction_begins_before_the_slot_is_this_workers() -> None:
    broker = broker_with(*shop_log(), BAD)
    once = Once(broker)
    once.transactions.faults["renew"].extend([LATE] * 3)
    once.step(3)
    assert "begin" not in once.transactions.calls
    once.to_end()
    assert_once(broker)


def test_a_rival_of_the_slot_ends_the_worker() -> None:
    once = Once(broker_with(*shop_log()))
    once.step(3)
    once.transactions.faults["commit"].append(fenced())
    with pytest.raises(SlotError, match="slot g-0 is held by another process"):
        once.to_end()


@pytest.mark.parametrize("late", [False, True])
def test_a_rival_that_takes_the_slot_while_it_is_renewed_ends_the_worker(late: bool) -> None:
    """Wrong before: it ended with 1, or restored everything again and again."""
    once = Once(broker_with(*shop_log()))
    if late:
        once.step(3)
        once.transactions.faults["commit"].append(LOST)
        once.step()
        once.seconds += 60
    once.transactions.faults["renew"].append(fenced())
    with pytest.raises(SlotError, match=r"held by another process: .* \(--slot\)") as raised:
        once.to_end()
    assert raised.value.exit_code == 6


def test_a_transaction_that_the_broker_ended_for_its_age_is_no_rival() -> None:
    broker = broker_with(*shop_log(), BAD)
    once = Once(broker)
    once.step(3)

    def late() -> str:
        once.seconds += 60
        return "the one member"

    once.inputs.membership = late  # type: ignore[method-assign]
    once.transactions.faults["commit"].append(fenced())
    once.to_end()
    assert_once(broker)


@pytest.mark.parametrize("seed", range(40))
def test_kills_and_faults_at_random_change_nothing(seed: int) -> None:
    source = random.Random(seed)
    broker = broker_with(*shop_log(), BAD)
    once = Once(broker)
    for _ in range(30):
        if source.random() < 0.4:
            call = source.choice(["begin", "produce", "send_offsets", "commit", "abort", "renew"])
            faults: list[object] = [ABORT, LOST]
            if call == "commit":
                faults += [LATE, (LOST, True)]
            if call == "renew":
                faults = [LATE]
            once.transactions.faults[call].append(source.choice(faults))
        try:
            once.step()
        except ClientError:
            once = once.again()  # as its supervisor would
        if source.random() < 0.2:
            once = once.again()
        if source.random() < 0.1 and not once.inputs.polls:
            once.inputs.revoke(EVENTS)
            once.inputs.assign(EVENTS)
    for faults_left in once.transactions.faults.values():
        faults_left.clear()
    once.to_end()
    assert_once(broker)


def test_a_broker_that_does_not_answer_is_asked_again() -> None:
    broker = broker_with(*shop_log(), BAD)
    once = Once(broker)
    once.inputs.fail("committed", LATE)
    once.inputs.fail("watermarks", LATE)
    once.inputs.fail("start", LATE)
    once.state.faults["end"].append(LATE)
    once.state.faults["poll"].append(LATE)
    once.to_end()
    assert_once(broker)


def test_what_was_read_before_is_left_out() -> None:
    """A seek may come too late for what the client had fetched already."""
    broker = broker_with(*shop_log(), BAD)
    once = Once(broker)
    once.step(4)
    position = once.engine.shards[0].positions["events", 0].next_offset
    once.inputs.start({EVENTS: position - 11})
    once.to_end()
    assert once.worker.status.events == broker.end(EVENTS)
    assert_once(broker)


def test_the_guarantee_stands_in_the_status() -> None:
    assert Once(broker_with()).worker.status.delivery == "exactly_once"


def test_a_broker_that_does_not_allow_the_slot_ends_the_worker() -> None:
    once = Once(broker_with(*shop_log()))
    once.step(3)
    once.transactions.faults["begin"].append(RefusedError("no right to g-0"))
    with pytest.raises(RefusedError, match="no right to g-0") as raised:
        once.to_end()
    assert raised.value.exit_code == 3


class Waited(Event):
    """Takes note of pauses, and makes none."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        return self.is_set()


def test_what_is_aborted_every_time_is_tried_at_ever_longer_intervals() -> None:
    once = Once(broker_with(*shop_log(), BAD))
    once.stop = waited = Waited()
    once.inputs._idle = waited.set
    once.step(3)
    once.transactions.faults["commit"].extend([ABORT] * 14)
    once.step(14)
    assert waited.pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0, 2.0]
    once.to_end()
    assert len(waited.pauses) == 10
    assert_once(once.broker)


def test_what_is_in_doubt_every_time_is_tried_at_ever_longer_intervals() -> None:
    """Wrong before: the shards were restored and the batch read again without ever a pause."""
    once = Once(broker_with(*shop_log(), BAD))
    once.stop = waited = Waited()
    once.inputs._idle = waited.set
    once.step(3)
    faults = once.transactions.faults["commit"]
    faults.extend([LOST] * 11)
    while faults:
        once.step()
    assert waited.pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    once.to_end()
    assert len(waited.pauses) == 7
    assert_once(once.broker)


def test_however_often_a_transaction_is_aborted_the_worker_goes_on() -> None:
    """Wrong before: two to the 1,024th is no float, so the 1,028th abort in turn ended it."""
    once = Once(broker_with(*shop_log(visits=1)))
    once.stop = waited = Waited()
    once.step(2)
    once.transactions.faults["begin"].extend([ABORT] * 1_040)
    once.step(1_040)
    assert once.worker.tally.aborts["aborted"] == 1_040
    assert waited.pauses[-1] == 2.0


def test_a_record_that_is_too_large_ends_the_worker_and_is_not_tried_again() -> None:
    once = Once(broker_with(*shop_log()))
    once.step(3)
    once.transactions.faults["produce"].append(TooLargeError("1200000 bytes to topic estimates"))
    with pytest.raises(TooLargeError, match="1200000 bytes to topic estimates"):
        once.to_end()
    assert once.transactions.calls.count("renew") == 1
