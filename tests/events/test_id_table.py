"""The table of ids against a dictionary, and its pages."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_hb.events.id_hash import IdHash
from stream_hb.events.id_table import PAGE_SLOTS, IdTable, TableWrite

COLUMNS = {"number": np.uint32}
OPTIONAL = {"rare": np.uint64}


def table() -> IdTable:
    return IdTable(COLUMNS, OPTIONAL)


def put(into: IdTable, keys: Any, numbers: Any, rare: int = 0) -> None:
    """Write numbers under distinct keys, known or not."""
    keys = np.array(keys, np.uint64)
    slots = into.find(keys)
    slots[slots < 0] = into.plan(keys[slots < 0])
    values = {"number": np.array(numbers), "rare": np.full(len(keys), rare)}
    into.apply(TableWrite(slots, keys, values))


def content(of: IdTable) -> dict[int, int]:
    slots = np.flatnonzero(of.column("key"))
    return dict(
        zip(of.column("key")[slots].tolist(), of.read(slots, "number").tolist(), strict=True)
    )


steps = st.lists(
    st.tuples(st.sampled_from(["put", "put", "forget"]), st.sets(st.integers(1, 50), max_size=12)),
    max_size=30,
)


@given(steps=steps)
@settings(max_examples=200, deadline=None)
def test_it_is_a_dictionary(steps: list[tuple[str, set[int]]]) -> None:
    kept: dict[int, int] = {}
    mine = table()
    for at, (step, keys) in enumerate(steps):
        if step == "put":
            put(mine, sorted(keys), [at] * len(keys))
            kept |= dict.fromkeys(keys, at)
        else:
            slots = mine.find(np.array(sorted(keys), np.uint64))
            mine.forget(slots[slots >= 0])
            kept = {key: number for key, number in kept.items() if key not in keys}
        assert content(mine) == kept
        assert len(mine) == len(kept)
    found = mine.find(np.arange(1, 51).astype(np.uint64))
    assert {at + 1 for at in np.flatnonzero(found >= 0).tolist()} == kept.keys()


@given(steps=steps)
@settings(max_examples=100, deadline=None)
def test_pages_as_they_change_restore_it_to_the_bit(steps: list[tuple[str, set[int]]]) -> None:
    mine, copy = table(), table()
    for at, (step, keys) in enumerate(steps):
        since = mine.mark()
        if step == "put":
            put(mine, sorted(keys), [at] * len(keys), rare=at % 2)
        else:
            slots = mine.find(np.array(sorted(keys), np.uint64))
            mine.forget(slots[slots >= 0])
        for number in mine.dirty(since):
            copy.restore_page(number, mine.page(number))
    copy.restored()
    assert content(copy) == content(mine)
    for each in (mine, copy):
        put(each, [1000, 1001], [7, 8])
    assert copy.column("key").tolist() == mine.column("key").tolist()
    assert copy.column("number").tolist() == mine.column("number").tolist()


def test_only_touched_pages_are_dirty() -> None:
    mine = table()
    keys = IdHash(b"k").of([str(number) for number in range(3 * PAGE_SLOTS)])
    put(mine, keys, np.arange(len(keys)))
    since = mine.mark()
    assert mine.dirty(since) == []
    put(mine, keys[PAGE_SLOTS : PAGE_SLOTS + 1], [5])
    assert mine.dirty(since) == [1]
    assert mine.dirty(0) == [0, 1, 2]


def test_the_lowest_free_slots_are_used_first() -> None:
    mine = table()
    put(mine, [5, 6, 7, 8], [0] * 4)
    mine.forget(np.array([2, 0]))
    assert mine.plan(np.array([11, 12, 13], np.uint64)).tolist() == [0, 2, 4]


def test_a_free_slot_that_is_used_out_of_turn_is_free_no_more() -> None:
    mine = table()
    put(mine, [5, 6, 7, 8], [0] * 4)
    mine.forget(np.array([0, 2]))
    mine.apply(TableWrite(np.array([2]), np.array([9], np.uint64), {"number": np.array([1])}))
    assert mine.plan(np.array([11, 12], np.uint64)).tolist() == [0, 4]


def test_a_plan_changes_nothing() -> None:
    mine = table()
    put(mine, [5], [1])
    mine.plan(np.array([9], np.uint64))
    assert content(mine) == {5: 1}


def test_optional_columns_take_no_room_before_they_are_used() -> None:
    mine = table()
    put(mine, [5], [1])
    assert not mine.has("rare")
    put(mine, [6], [1], rare=3)
    assert mine.read(mine.find(np.array([5, 6, 7], np.uint64)), "rare").tolist() == [0, 3, 0]


def test_a_hundred_thousand_ids_take_less_than_fifty_bytes_each() -> None:
    columns = {"row": np.uint32, "day": np.uint16, "ms": np.uint32, "delay": np.uint32}
    columns |= {"orders": np.uint32, "live": np.uint32, "flags": np.uint8}  # as visits have
    mine = IdTable(columns)
    keys = IdHash(b"k").of([f"v{number}" for number in range(100_000)])
    for start in range(0, len(keys), 10_000):
        some = keys[start : start + 10_000]
        mine.apply(TableWrite(mine.plan(some), some, {}))
    assert (mine.find(keys) == np.arange(len(keys))).all()
    assert mine.nbytes / len(mine) < 50
