"""What is worth a record, on arrays; the emitter's tests hold it on whole shards."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_hb.feeds.emission import Emitted, heartbeat_rows, worth_a_record
from stream_hb.settings import EmissionRule

RULE = EmissionRule(changed_sd=0.1, changed_width=0.05, heartbeat_ms=60_000)
NOW_MS = 1_730_000_000_000


def emitted(*seq: int, mean: float = 10.0, sd: float = 2.0, at_ms: int = NOW_MS) -> Emitted:
    size = len(seq)
    return Emitted(
        np.array(seq, np.int64),
        np.full(size, mean),
        np.full(size, sd),
        np.full(size, at_ms),
        np.zeros(size, dtype=bool),
    )


def worth(mean: float, sd: float, seq: int = 1) -> bool:
    return bool(worth_a_record(RULE, emitted(seq), np.array([mean]), np.array([sd]))[0])


def test_a_move_of_more_than_a_tenth_of_the_last_sd_is_worth_a_record() -> None:
    assert worth(10.21, 2.0)
    assert worth(9.79, 2.0)
    assert not worth(10.19, 2.0)


def test_a_width_that_changed_by_more_than_five_percent_is_worth_a_record() -> None:
    assert worth(10.0, 2.11)
    assert worth(10.0, 1.89)
    assert not worth(10.0, 2.09)


def test_a_key_without_a_record_is_always_worth_one() -> None:
    assert worth(0.0, 0.0, seq=0)


def test_nothing_changed_is_worth_nothing_even_without_any_spread() -> None:
    last = emitted(1, mean=3.0, sd=0.0)
    assert not worth_a_record(RULE, last, np.array([3.0]), np.array([0.0]))[0]


def test_rows_beyond_the_memory_are_new_keys() -> None:
    taken = emitted(4, 5).take(np.array([1, 7, 0]))
    assert taken.seq.tolist() == [5, 0, 4]
    assert taken.mean.tolist() == [10, 0, 10]
    assert Emitted.zeros(0).take(np.array([3])).seq.tolist() == [0]


def test_taking_gives_copies() -> None:
    memory = emitted(1, 2)
    memory.take(np.array([0])).seq[0] = 99
    assert memory.seq.tolist() == [1, 2]


def test_the_memory_grows_with_the_rows() -> None:
    memory = emitted(1, 2).put(np.array([5, 0]), emitted(8, 9, mean=3.0))
    assert memory.seq[:6].tolist() == [9, 2, 0, 0, 0, 8]
    assert memory.mean[:2].tolist() == [3, 10]


def test_nothing_to_remember_leaves_the_memory_as_it_is() -> None:
    memory = emitted(1)
    assert memory.put(np.empty(0, np.intp), Emitted.zeros(0)) is memory


def test_without_a_heartbeat_age_is_no_reason() -> None:
    rule = EmissionRule(heartbeat_ms=None)
    assert heartbeat_rows(rule, emitted(1, at_ms=0), NOW_MS).tolist() == []


@given(size=st.integers(1, 400), age_ms=st.integers(0, 120_000))
def test_a_heart_beats_between_half_and_the_whole_of_its_time(size: int, age_ms: int) -> None:
    beating = heartbeat_rows(RULE, emitted(*[1] * size), NOW_MS + age_ms)
    if age_ms < 30_000:
        assert len(beating) == 0
    if age_ms >= 60_000:
        assert len(beating) == size


def test_a_burst_is_spread_evenly_over_half_a_heartbeat() -> None:
    memory = emitted(*[1] * 3_000)
    ages = np.arange(30_000, 60_001, 1_000)
    beating = [len(heartbeat_rows(RULE, memory, NOW_MS + int(age))) for age in ages]
    assert np.diff(beating).min() >= 98
    assert np.diff(beating).max() <= 102


def test_a_buried_key_does_not_beat_and_its_comeback_is_worth_a_record() -> None:
    buried = emitted(3).bury(NOW_MS)
    assert buried.seq.tolist() == [3]
    assert heartbeat_rows(RULE, buried, NOW_MS + 60_000).tolist() == []
    assert worth_a_record(RULE, buried, np.array([10.0]), np.array([2.0]))[0]
