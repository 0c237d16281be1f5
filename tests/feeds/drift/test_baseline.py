import numpy as np

from stream_hb.feeds.drift.baseline import (
    Baseline,
    Pane,
    Pending,
    deposited,
    due,
    entered,
    withdrawn,
)


def sums(*observed: float) -> Baseline:
    column, nothing = np.array(observed), np.zeros(len(observed))
    return Baseline(column, nothing, nothing, nothing, np.ones(len(observed)))


def waiting(*days: int) -> Pending:
    return tuple(Pane(day, sums(1.0, 2.0)) for day in days)


def test_a_day_waits_for_the_whole_lag() -> None:
    entering, left = due(waiting(1, 2, 3), day=30, lag_days=28)
    assert [pane.day for pane in entering] == [1, 2]
    assert [pane.day for pane in left] == [3]


def test_ticks_of_one_day_wait_in_one_pane() -> None:
    pending: Pending = ()
    for _ in range(24):
        pending = deposited(pending, 7, sums(1.0))
    pending = deposited(pending, 8, sums(1.0, 5.0))
    assert [pane.sums.observed.tolist() for pane in pending] == [[24.0], [1.0, 5.0]]
    assert pending[0].sums.ticks[0] == 24


def test_a_store_that_is_new_in_a_day_grows_its_pane() -> None:
    pending = deposited(deposited((), 7, sums(1.0)), 7, sums(1.0, 5.0))
    assert pending[0].sums.observed.tolist() == [2.0, 5.0]


def test_a_pane_of_fewer_stores_enters_the_first_of_them() -> None:
    baseline = entered(Baseline.of_new(3), waiting(1))
    assert baseline.observed.tolist() == [1.0, 2.0, 0.0]


def test_the_days_of_a_drift_are_taken_out_of_its_store_only() -> None:
    left = withdrawn(waiting(10, 11, 12), np.array([11.0, np.inf, np.inf]))
    assert [pane.sums.observed.tolist() for pane in left] == [[1, 2], [0, 2], [0, 2]]
    assert [pane.sums.ticks.tolist() for pane in left] == [[1, 1], [0, 1], [0, 1]]


def test_weight_fades_and_the_number_of_ticks_does_not() -> None:
    faded = sums(8.0).decayed(0.5)
    assert (faded.observed[0], faded.ticks[0]) == (4.0, 1.0)
