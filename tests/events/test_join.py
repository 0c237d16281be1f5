"""The first purchase of a visit converts it."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_hb.events.join import DAY_MS, Conversions, stable_hash

TODAY = 20_000


def at_day(day: int, count: int = 1) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.full(count, day * DAY_MS + 1, np.int64)


def converted(conversions: Conversions, visits: list[str], day: int = TODAY) -> list[bool]:
    first, additions = conversions.probe(visits, at_day(day, len(visits)))
    conversions.publish(additions)
    return [bool(each) for each in first]


def test_only_the_first_purchase_of_a_visit_converts_it() -> None:
    conversions = Conversions()
    assert converted(conversions, ["v1", "v2", "v1"]) == [True, True, False]
    assert converted(conversions, ["v3", "v2"]) == [True, False]


def test_a_probe_changes_nothing() -> None:
    conversions = Conversions()
    first, additions = conversions.probe(["v1"], at_day(TODAY))
    again, _ = conversions.probe(["v1"], at_day(TODAY))
    assert first.tolist() == again.tolist() == [True]
    assert len(conversions) == 0
    conversions.publish(additions)
    assert len(conversions) == 1


def test_a_second_purchase_on_a_later_day_does_not_convert_again() -> None:
    conversions = Conversions(horizon_days=7)
    converted(conversions, ["v1"], TODAY)
    assert converted(conversions, ["v1"], TODAY + 6) == [False]


def test_days_beyond_the_horizon_are_forgotten() -> None:
    conversions = Conversions(horizon_days=7)
    for day in range(100):
        converted(conversions, [f"v{day}-{i}" for i in range(10)], TODAY + day)
        assert len(conversions) <= 8 * 10
    assert converted(conversions, ["v99-0", "v92-0"], TODAY + 99) == [False, False]
    assert converted(conversions, ["v91-0"], TODAY + 99) == [True]


def test_one_event_from_the_far_future_does_not_empty_the_memory() -> None:
    conversions = Conversions(horizon_days=7)
    converted(conversions, ["v1"], TODAY)
    converted(conversions, ["future"], TODAY + 10_000)
    assert converted(conversions, ["v1"], TODAY) == [False]


def test_a_late_purchase_inside_the_horizon_is_remembered() -> None:
    conversions = Conversions()
    converted(conversions, ["v1"], TODAY)
    assert converted(conversions, ["late"], TODAY - 3) == [True]
    assert converted(conversions, ["late"], TODAY) == [False]


def test_nothing_to_probe_is_nothing_found() -> None:
    first, additions = Conversions().probe([], np.zeros(0, np.int64))
    assert first.tolist() == []
    assert len(additions.hashes) == 0


def test_a_restored_memory_answers_as_the_one_it_was_taken_from() -> None:
    conversions = Conversions()
    for day in range(12):
        converted(conversions, [f"v{day}-{i}" for i in range(day + 1)], TODAY + day)
    restored = Conversions()
    restored.restore(conversions.snapshot())
    assert len(restored) == len(conversions)
    visits = [f"v{day}-0" for day in range(12)]
    assert converted(restored, visits) == converted(conversions, visits)


def test_an_empty_memory_can_be_restored() -> None:
    conversions = Conversions()
    converted(conversions, ["v1"])
    conversions.restore(Conversions().snapshot())
    assert len(conversions) == 0


def test_equal_memories_have_equal_snapshots_whatever_the_order() -> None:
    one, other = Conversions(), Conversions()
    for visits in (["a", "b"], ["c"]):
        converted(one, visits)
    for visits in (["c", "b"], ["a"]):
        converted(other, visits)
    assert one.snapshot()["hashes"].tolist() == other.snapshot()["hashes"].tolist()
    assert one.snapshot()["days"].tolist() == other.snapshot()["days"].tolist() == [TODAY] * 3


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=6), max_size=6))
def test_each_visit_converts_once_however_the_log_is_cut(batches: list[list[str]]) -> None:
    conversions = Conversions()
    cut = [first for batch in batches for first in converted(conversions, batch)]
    assert cut == converted(Conversions(), [visit for batch in batches for visit in batch])
    assert sum(cut) == len({visit for batch in batches for visit in batch})


@pytest.mark.parametrize("seed", ["1", "2"])
def test_a_hash_is_the_same_in_every_process(seed: str) -> None:
    code = "from stream_hb.events.join import stable_hash; print(stable_hash('chain|s1|v1'))"
    output = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
    ).stdout
    assert int(output) == stable_hash("chain|s1|v1")


def test_hashes_of_100_000_ids_differ() -> None:
    assert len({stable_hash(f"chain|store|{i}") for i in range(100_000)}) == 100_000
