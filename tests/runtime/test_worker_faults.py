"""Whatever goes wrong and in whatever order: nothing is lost, nothing is counted twice."""

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_hb.runtime.client import GroupMovedError, TransientError
from tests.support.logs import shop_log
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

LOG = [payload for event in shop_log(stores=3, visits=30) for payload in (event, BAD)]
UNDISTURBED = Running(broker_with(*LOG))
UNDISTURBED.to_end()

methods = st.sampled_from(["committed", "commit", "watermarks", "start"])
faults = st.one_of(
    st.tuples(st.just("step"), st.none()),
    st.tuples(st.just("crash"), st.none()),
    st.tuples(st.just("revoke"), st.none()),
    st.tuples(st.just("moved"), st.none()),
    st.tuples(st.just("undelivered"), st.none()),
    st.tuples(st.just("refused"), st.none()),
    st.tuples(st.just("passing"), methods),
)


def disturbed(running: Running, fault: str, method: str | None) -> Running:
    """Let a fault happen at the next step; return the worker that goes on."""
    if fault == "crash":
        running = Running(running.broker)
    elif fault == "revoke":
        running.inputs.revoke(EVENTS)
        running.inputs.assign(EVENTS)
    elif fault == "moved":
        running.inputs.fail("commit", GroupMovedError("generation"))
        running.inputs.revoke(EVENTS)
        running.inputs.assign(EVENTS)
    elif fault == "undelivered":
        running.outputs.flushes.extend([3, 0])
    elif fault == "refused":
        running.outputs.refusals.extend([TransientError("queue full")] * 2)
    elif method is not None:
        running.inputs.fail(method, TransientError("no answer"))
    return running


@given(schedule=st.lists(faults, max_size=25))
@settings(max_examples=40, deadline=None)
def test_any_faults_end_where_no_fault_does(schedule: list[tuple[str, str | None]]) -> None:
    running = Running(broker_with(*LOG))
    for fault, method in schedule:
        running = disturbed(running, fault, method)
        running.step()
        committed = running.broker.committed.get(EVENTS)
        written = {reject["offset"] for reject in rejects(running.broker)}
        bad = {at for at, payload in enumerate(LOG) if payload == BAD}
        assert committed is None or {at for at in bad if at < committed.offset} <= written
    for waiting in running.inputs.faults.values():
        waiting.clear()
    running.to_end()
    records = estimates(running.broker)
    assert_without_gaps(records)
    assert running.broker.committed[EVENTS].offset == len(LOG)
    newest_epoch = max(epochs(records))
    last = [record for record in records if record["version"]["epoch"] == newest_epoch]
    assert_same_estimates(estimates(UNDISTURBED.broker), last, tolerance=1e-9)
