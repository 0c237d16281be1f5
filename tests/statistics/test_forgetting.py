"""Half-lives and windows."""

import numpy as np
import pytest

from stream_hb.statistics.counts import Counts
from stream_hb.statistics.forgetting import HOUR_MS, HalfLife, Never, Window, as_seen
from stream_hb.statistics.moments import Moments
from stream_hb.statistics.table import GroupTable, NewGroups, TableChange

ROWS = np.array([0])


def window(panes: int, *hours: int) -> GroupTable:
    """Return a table to which a visit came in each of some hours, one at a time."""
    rule = Window(panes)
    table = GroupTable({"m": Counts}, {"m": rule})
    nothing, new = {"m": table.read("m", ROWS[:0])}, NewGroups([("c", "s")], {("c", "s"): 0})
    table.apply(TableChange(ROWS[:0], nothing, np.zeros(0, np.int64), new))
    for hour in hours:
        marks = table.later_marks(hour * HOUR_MS)
        lapsing = table.lapsing(marks)
        assert all(row == 0 for rows in lapsing for row in rows.tolist())
        cells = rule.cells(ROWS, np.array([hour * HOUR_MS]), marks["m"])
        ones = np.ones(len(cells.places))
        come = rule.folded(Counts.of(cells.places, ones, panes))
        kept = table.at_mark("m", ROWS, marks["m"]).merge(come)
        table.apply(TableChange(ROWS, {"m": kept}, np.zeros(1, np.int64), NewGroups(), marks))
    return table


@pytest.mark.parametrize(
    ("hours", "visits"),
    [
        ((100,), 1),
        ((100, 101, 102), 3),
        ((100, 103), 1),  # hour 103 takes the place of hour 100 in the ring
        ((100, 101, 103), 2),
        ((100, 101, 102, 500), 1),
        ((102, 100), 2),  # late, but inside
        ((103, 100), 1),  # too late for the window
    ],
)
def test_a_window_holds_its_last_panes_and_nothing_else(
    hours: tuple[int, ...], visits: float
) -> None:
    seen = as_seen(window(3, *hours).read("m", ROWS))
    assert seen.columns()["trials"].tolist() == [visits]


def test_groups_that_a_later_pane_empties_are_told_before() -> None:
    table = window(3, 100, 101)
    assert [rows.tolist() for rows in table.lapsing({"m": 102})] == [[]]
    assert [rows.tolist() for rows in table.lapsing({"m": 103})] == [[0]]
    assert table.lapsing({"m": 101}) == []


def test_the_panes_of_moments_are_one_sample() -> None:
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    panes = Moments.of(np.array([0, 0, 1, 1, 1, 2]), values, 3)
    seen = as_seen(Window(3).folded(panes)).columns()
    whole = Moments.of(np.zeros(6, np.intp), values, 1).columns()
    for name, column in whole.items():
        np.testing.assert_allclose(seen[name], column, rtol=1e-14)


def test_a_weight_is_the_same_number_at_every_landmark_but_for_a_power_of_two() -> None:
    rule, times_ms = HalfLife(7_777_777), np.arange(100) * 3_111_113
    rows = np.zeros(100, np.intp)
    early, late = (rule.cells(rows, times_ms, mark).weights for mark in (0, 64))
    assert early is not None
    assert late is not None
    assert (np.ldexp(late, 64) == early).all()
    np.testing.assert_allclose(early, 2.0 ** (times_ms / 7_777_777), rtol=1e-13)


def test_a_landmark_stays_for_forty_half_lives() -> None:
    rule = HalfLife(HOUR_MS)
    assert rule.mark(1_000, 1_040 * HOUR_MS) == 1_000
    assert rule.mark(1_000, 1_041 * HOUR_MS) == 1_041


def test_an_age_is_the_silence_in_half_lives_and_never_negative() -> None:
    assert HalfLife(HOUR_MS).age(np.array([-5, 0, 2 * HOUR_MS])).tolist() == [0, 0, 2]  # type: ignore[union-attr]
    assert Never().age(np.array([HOUR_MS])) == 0.0


def test_the_mass_is_as_of_the_asked_time() -> None:
    assert HalfLife(HOUR_MS).mass(np.array([8.0]), 10, 13 * HOUR_MS).tolist() == [1.0]
