"""The groups that an emission has still to look at."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_hb.unscreened import Looked, Unscreened

ROWS = st.lists(st.integers(0, 40), max_size=12)


def look(unscreened: Unscreened, most: int) -> list[int]:
    rows, next_row = unscreened.some("m", most)
    unscreened.look(Looked(0, "m", rows, next_row))
    return [int(row) for row in rows]


@given(st.lists(ROWS, max_size=6), st.integers(1, 50))
def test_a_group_is_looked_at_once_for_each_time_it_was_marked_between_two_looks(
    marked: list[list[int]], most: int
) -> None:
    unscreened, looked, waiting = Unscreened(["m"]), [], set()
    for rows in marked:
        unscreened.mark(np.array(rows, np.intp))
        waiting |= set(rows)
        some = look(unscreened, most)
        assert len(some) <= most
        assert set(some) <= waiting
        assert bool(some) == bool(waiting)
        waiting -= set(some)
        looked += some
    assert unscreened.count("m") == len(waiting)
    assert bool(unscreened) == bool(waiting)


def test_no_group_waits_for_longer_than_a_round_though_all_are_marked_again_and_again() -> None:
    unscreened, seen = Unscreened(["m"]), []
    for _ in range(10):
        unscreened.mark_all(10)
        seen += look(unscreened, 2)
    assert sorted(seen) == sorted(2 * list(range(10)))


def test_metrics_wait_apart_where_one_is_named() -> None:
    unscreened = Unscreened(["a", "b"])
    unscreened.mark(np.array([3]), ["b"])
    assert (unscreened.count("a"), unscreened.count("b")) == (0, 1)


def test_what_is_looked_at_and_was_never_marked_changes_nothing() -> None:
    unscreened = Unscreened(["m"])
    unscreened.mark(np.array([1]))
    unscreened.look(Looked(0, "m", np.array([0, 500]), 0))
    assert unscreened.count("m") == 1


def test_where_nothing_is_looked_at_a_round_goes_on_where_it_was() -> None:
    unscreened = Unscreened(["m"])
    unscreened.mark_all(4)
    assert look(unscreened, 2) == [0, 1]
    assert look(unscreened, 0) == []
    unscreened.mark_all(4)
    assert look(unscreened, 2) == [2, 3]
    assert unscreened.over_at_ms("m") == 0
    rows, next_row = unscreened.some("m", 2)
    unscreened.look(Looked(0, "m", rows, next_row, over_at_ms=7))
    assert unscreened.over_at_ms("m") == 7
