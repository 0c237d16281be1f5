"""Gaps in numbers that should follow each other, against sets."""

from hypothesis import given
from hypothesis import strategies as st

from stream_hb.feeds.run import HOLES_MAX, Run

numbers = st.lists(st.integers(1, 80), min_size=1, max_size=60)


def run_of(came: list[int]) -> Run:
    run = Run(came[0])
    for number in came[1:]:
        run.add(number)
    return run


@given(numbers)
def test_what_is_missing_lies_between_the_first_and_the_last_that_came(came: list[int]) -> None:
    between = set(range(min(came), max(came) + 1))
    assert run_of(came).missed == len(between - set(came))


def test_a_number_that_comes_late_fills_its_gap() -> None:
    run = run_of([5, 9])
    found = []
    for late in (7, 6, 7, 8):
        run.add(late)
        found.append(run.missed)
    assert found == [2, 1, 1, 0]


def test_what_came_before_the_reader_began_is_not_missing() -> None:
    assert Run(1_000).missed == 0


def test_a_run_with_ever_more_holes_keeps_its_size_and_its_count() -> None:
    run = run_of(list(range(1, 2 * HOLES_MAX + 42, 2)))
    assert run.missed == HOLES_MAX + 20
    assert len(run._holes) == HOLES_MAX
    assert run.given_up == 20


def test_a_hole_that_was_given_up_neither_heals_nor_opens_others() -> None:
    run = run_of(list(range(11, 11 + 2 * HOLES_MAX + 42, 2)))
    before = run.missed
    for number in (1, 10, 11, 12, 13):
        run.add(number)
    assert run.missed == before
