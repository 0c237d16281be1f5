"""Ticks: what happened in each, whatever the order; once closed nothing is added."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_hb.contributions import Exchange
from stream_hb.events.calendar import DAY_MS, HOUR_MS
from stream_hb.events.moves import Moves, Signed
from stream_hb.events.ticks import TickClock
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.moments import Moments
from stream_hb.statistics.tick_cells import rows_of, ticks_of
from stream_hb.tick_ledger import TickLedger

KINDS = {"conversion": Counts, "order_rate": Exposure, "log_order_value": Moments}
NONE = {name: np.zeros(4, np.bool_) for name in KINDS}
UTC = np.zeros(4, np.intp)
Thing = tuple[int, int]  # (row, time in hours)
Part = tuple[list[Thing], list[Thing], list[tuple[Thing, int]]]


def signed(*things: tuple[Thing, int, int]) -> Signed:
    return Signed(
        np.array([row for (row, _), _, _ in things], np.intp),
        np.array([hour * HOUR_MS for (_, hour), _, _ in things], np.int64),
        np.array([sign for _, sign, _ in things], np.int8),
        np.array([value for _, _, value in things], np.int64),
    )


def exchange(
    visits: list[Thing], conversions: list[Thing], orders: list[tuple[Thing, int]], sign: int = 1
) -> Exchange:
    moves = Moves(
        signed(*((thing, sign, 0) for thing in visits)),
        signed(*((thing, sign, 0) for thing in conversions)),
        signed(*((thing, sign, value) for thing, value in orders)),
    )
    return Exchange.of(moves, np.arange(4))


def ledger(every: str = "day") -> TickLedger:
    return TickLedger(KINDS, TickClock("hour" if every == "hour" else "day"))


def take(into: TickLedger, *exchanges: Exchange, closing: int = 0) -> TickLedger:
    for each in exchanges:
        into.apply(into.probe(np.arange(4), UTC, [each], NONE, closing))
    return into


def numbers(kept: TickLedger) -> dict[tuple[int, int], list[float]]:
    cells = kept.cells
    places = zip(ticks_of(cells.codes).tolist(), rows_of(cells.codes).tolist(), strict=True)
    columns = [c for s in cells.statistics.values() for c in s.columns().values()]
    return {at: [float(column[n]) for column in columns] for n, at in enumerate(places)}


things = st.tuples(st.integers(0, 3), st.integers(0, 60))
logs = st.lists(
    st.tuples(
        st.lists(things, max_size=4),
        st.lists(things, max_size=4),
        st.lists(st.tuples(things, st.integers(0, 10**6)), max_size=4),
    ),
    max_size=5,
)


@given(logs, st.randoms(use_true_random=False))
def test_batches_in_any_order_make_the_same_cells(log: list[Part], random: Random) -> None:
    parts = [exchange(*part) for part in log]
    shuffled = list(parts)
    random.shuffle(shuffled)
    found, other = numbers(take(ledger(), *parts)), numbers(take(ledger(), *shuffled))
    assert found.keys() == other.keys()
    for key, values in found.items():
        np.testing.assert_allclose(values, other[key], rtol=1e-12, atol=1e-9)


@given(logs)
def test_what_is_taken_out_again_leaves_nothing(log: list[Part]) -> None:
    kept = take(ledger("hour"), *(exchange(*part) for part in log))
    take(kept, *(exchange(*part, sign=-1) for part in log))
    for statistic in kept.cells.statistics.values():
        for column in statistic.columns().values():
            np.testing.assert_allclose(column, 0.0, atol=1e-6)


def test_each_thing_stands_in_its_tick_and_group() -> None:
    kept = take(ledger(), exchange([(0, 1), (0, 25), (2, 23)], [(0, 1)], [((2, 24), 100)]))
    found = numbers(kept)
    assert found.keys() == {(0, 0), (1, 0), (0, 2), (1, 2)}
    assert found[0, 0][:2] == [1, 1]
    assert found[1, 0][:2] == [0, 1]
    assert found[1, 2][2:4] == [1, 0]
    assert found[1, 2][4:] == [1, pytest.approx(np.log(100)), 0]
    assert len(kept.cells.of_tick(1)) == 2
    assert kept.cells.ticks() == [0, 1]


def test_what_comes_for_a_closed_tick_is_counted_and_left_out() -> None:
    kept = take(ledger(), exchange([(0, 1), (0, 30)], [], []))
    take(kept, exchange([], [], []), closing=1)
    assert numbers(kept).keys() == {(1, 0)}
    take(kept, exchange([(1, 2), (1, 31)], [], [((1, 3), 5)]))
    assert numbers(kept).keys() == {(1, 0), (1, 1)}
    assert kept.late == 2


def test_a_metric_reads_events_or_totals_of_a_group_and_never_both() -> None:
    kept = ledger()
    events, totals = exchange([(0, 1), (1, 1)], [], []), exchange([(0, 2), (1, 2)] * 3, [], [])
    by_totals = {**NONE, "conversion": np.array([False, True, False, False])}
    kept.apply(kept.probe(np.arange(4), UTC, [events, totals], by_totals))
    found = numbers(kept)
    assert [found[0, 0][1], found[0, 1][1]] == [1, 3]  # visits of conversion
    assert [found[0, 0][3], found[0, 1][3]] == [1, 1]  # visits of order_rate


def test_a_snapshot_is_the_ledger() -> None:
    kept = take(ledger(), exchange([(0, 1), (3, 50)], [(3, 50)], [((3, 50), 7)]))
    take(kept, exchange([(0, 2)], [], []), closing=1)
    other = ledger()
    other.restore(kept.snapshot())
    assert numbers(other) == numbers(kept)
    assert (other.closed, other.late) == (kept.closed, kept.late)


def test_a_tick_is_over_when_it_is_over_in_every_zone() -> None:
    clock = TickClock("day", ("UTC", "America/New_York", "Asia/Tokyo"))
    day = 20_000  # in October: New York is four hours behind
    assert clock.end_ms(day) == (day + 1) * DAY_MS + 4 * HOUR_MS
    assert not clock.over(day, clock.end_ms(day) - 1)
    assert clock.over(day, clock.end_ms(day))
