"""Clocks of sources, the watermark, the future."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_hb.events.clock import IDLE_MS, SourceClock, TimeRules, watermark_ms

HORIZON_MS = 100
DAY_MS = 86_400_000
times = st.lists(st.integers(1, 1_000), max_size=30)


def clock_of(times_ms: list[int], start: SourceClock | None = None) -> SourceClock:
    return (start or SourceClock()).observed(np.array(times_ms, np.int64), HORIZON_MS, 0)[0]


def by_definition(times_ms: list[int]) -> int:
    """The newest time unless it is more than the horizon ahead of the next, else that."""
    *_, second, newest = [0, 0, *sorted(set(times_ms))]
    return second if second and newest - second > HORIZON_MS else newest


@given(times_ms=times, seed=st.integers(0, 1000), cut=st.integers(0, 30))
def test_the_clock_is_a_function_of_the_set_of_times(
    times_ms: list[int], seed: int, cut: int
) -> None:
    shuffled = np.random.default_rng(seed).permutation(times_ms).astype(int).tolist()
    whole = clock_of(times_ms)
    assert whole.time_ms == by_definition(times_ms)
    assert clock_of(shuffled[cut:], clock_of(shuffled[:cut])) == whole


@given(times_ms=times)
def test_the_running_clock_is_that_of_batches_of_one(times_ms: list[int]) -> None:
    clock, running = SourceClock().observed(np.array(times_ms, np.int64), HORIZON_MS, 0)
    one = SourceClock()
    for time, after in zip(times_ms, running.tolist(), strict=True):
        one = clock_of([time], one)
        assert one.time_ms == after
    assert one == clock


def test_one_event_with_a_wrong_clock_drags_no_clock() -> None:
    assert clock_of([10, 20, 900, 30, 40]).time_ms == 40
    assert clock_of([900, 10]).time_ms == 10
    assert clock_of([10, 900, 900, 20]).time_ms == 20  # a repetition is no second opinion


def test_a_gap_in_the_log_moves_the_clock_with_the_second_event() -> None:
    assert clock_of([10, 20, 900, 910]).time_ms == 910


def test_a_source_that_is_idle_does_not_hold_the_watermark() -> None:
    clocks = [SourceClock(5_000, 0, 200_000), SourceClock(1_000, 0, 200_000 - IDLE_MS - 1)]
    assert watermark_ms(clocks, 0, 200_000) == 5_000
    assert watermark_ms(clocks, 0, 200_000 - 1) == 1_000


def test_sources_that_are_all_idle_keep_the_watermark() -> None:
    clocks = [SourceClock(5_000, 0, 1), SourceClock(1_000, 0, 1)]
    assert watermark_ms(clocks, 0, DAY_MS) == 1_000


def test_a_source_without_events_does_not_hold_the_watermark() -> None:
    assert watermark_ms([SourceClock(), SourceClock(7, 0, 0)], 0, 0) == 7


def test_by_the_wall_clock_five_minutes_of_future_are_forgiven() -> None:
    future = TimeRules(by_wall_clock=True).from_future(
        np.array([300_000, 300_001]) + DAY_MS, np.zeros(2, np.int64), DAY_MS
    )
    assert future.tolist() == [False, True]


def test_in_a_log_an_event_is_measured_by_its_ingest_time_before_the_logs_own() -> None:
    times_ms = np.array([DAY_MS, DAY_MS, DAY_MS])
    ingest_ms = np.array([DAY_MS - 300_000, DAY_MS - 300_001, 0])
    found = TimeRules(as_of_ms=2 * DAY_MS).from_future(times_ms, ingest_ms, 0)
    assert found.tolist() == [False, True, False]


def test_in_a_log_of_which_nobody_knows_when_it_was_taken_nothing_is_from_the_future() -> None:
    found = TimeRules().from_future(np.array([4_000_000_000_000]), np.zeros(1, np.int64), 0)
    assert not found.any()
