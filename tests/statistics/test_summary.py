import numpy as np
import pytest

from stream_hb.errors import FitError
from stream_hb.statistics.centred import CentredMeans
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.counts_summary import CountsSummary, CountsTotals
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.measured_summary import MeasuredSummary
from stream_hb.statistics.summary import EXACT_GROUPS_MAX, ExactSummary, as_summary, summary_of


def summary(*trials: float) -> ExactSummary[Counts]:
    return ExactSummary(Counts(np.zeros(len(trials)), np.array(trials)))


def some(count: int) -> Counts:
    n = np.arange(1.0, count + 1)
    return Counts(np.floor(n / 3), n)


def test_a_merge_keeps_every_group() -> None:
    merged = summary(3, 1).merge(summary()).merge(summary(2))
    assert isinstance(merged, ExactSummary)
    assert merged.groups.trials.tolist() == [3, 1, 2]
    assert merged.groups_count == 3


@pytest.mark.parametrize("first", [0, 500, 1_900, 2_100])
def test_a_pool_is_binned_where_it_is_large_however_it_is_split(first: int) -> None:
    groups = some(EXACT_GROUPS_MAX + 100)
    a, b = summary_of(groups.take(slice(first))), summary_of(groups.take(slice(first, None)))
    for merged in (a.merge(b), b.merge(a)):
        assert isinstance(merged, CountsSummary)
        np.testing.assert_allclose(merged.totals, CountsTotals.of(groups), rtol=1e-12)


def test_a_summary_made_by_hand_is_exact_at_any_size() -> None:
    assert isinstance(as_summary(ExactSummary(some(3_000))), ExactSummary)
    assert isinstance(as_summary(some(3_000)), CountsSummary)


def test_an_exact_summary_refuses_to_take_out_what_is_not_in_it() -> None:
    with pytest.raises(FitError, match="not in it"):
        summary(3, 1).exchange(summary(2).groups, summary().groups)


def test_means_about_different_centres_merge_exactly() -> None:
    p, y = np.array([1.0, 3.0, 7.0]), 1e6 + np.array([0.25, 2.0, -1.0])
    a, b = CentredMeans.of(p[:2], y[:2]), CentredMeans.of(p[2:], y[2:])
    assert a.origin != b.origin
    merged = a.merge(b)
    whole = CentredMeans.of(p, y).about(merged.origin)
    np.testing.assert_allclose(merged.histogram.totals(), whole.histogram.totals(), rtol=1e-15)


def test_the_first_means_choose_the_centre() -> None:
    started = MeasuredSummary.empty().exchange(
        Measured.zeros(2), Measured(np.array([1e9, 1e9 + 2]), np.ones(2))
    )
    assert started.means.origin == 1e9 + 1


def test_counts_that_rounding_made_larger_than_their_trials_are_all_successes() -> None:
    groups = Counts(np.array([7.0 + 1e-14, 2.0]), np.array([7.0, 4.0]))
    assert CountsSummary.of(groups).totals.failures == 2
    with pytest.raises(FitError, match="not -1"):
        CountsSummary.of(Counts(np.array([8.0]), np.array([7.0])))


@pytest.mark.parametrize("wrong", [0.0, np.nan, -1.0])
def test_a_variance_that_is_none_is_refused(wrong: float) -> None:
    groups = Measured(np.zeros(2), np.array([1.0, wrong]))
    with np.errstate(all="ignore"), pytest.raises(FitError, match="a histogram takes values"):
        MeasuredSummary.of(groups)
