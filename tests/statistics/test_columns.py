import numpy as np
import pytest

from stream_hb.statistics.columns import Statistic, sum_by_row
from stream_hb.statistics.counts import Counts

ROWS = np.array([2, 0, 2])


def test_rows_without_a_value_sum_to_zero() -> None:
    assert sum_by_row(ROWS, np.array([1.5, 2.0, 3.0]), 4).tolist() == [2.0, 0.0, 4.5, 0.0]


def test_counts_are_floats_like_sums() -> None:
    assert sum_by_row(ROWS, None, 3).dtype == np.float64


def test_no_rows_sum_to_nothing() -> None:
    assert sum_by_row(np.empty(0, np.intp), None, 2).tolist() == [0, 0]
    assert len(sum_by_row(np.empty(0, np.intp), None, 0)) == 0


def test_columns_are_the_arrays_themselves() -> None:
    counts = Counts.zeros(2)
    counts.columns()["trials"][1] = 5
    assert counts.trials.tolist() == [0, 5]


def test_indexed_rows_are_copies_and_slices_are_views() -> None:
    counts = Counts.zeros(2)
    counts.take(np.array([0])).trials[0] = 9
    assert counts.trials.tolist() == [0, 0]
    counts.take(slice(1)).trials[0] = 9
    assert counts.trials.tolist() == [9, 0]


def test_a_statistic_says_itself_how_it_merges() -> None:
    with pytest.raises(NotImplementedError):
        Statistic().merge(Statistic())
    with pytest.raises(NotImplementedError):
        Statistic().remove(Statistic())
