"""The laws of pool summaries: they are the groups' union, whatever way it came about."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stream_hb.models.registry import FAMILIES
from stream_hb.statistics import summary
from stream_hb.statistics.columns import Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments
from stream_hb.statistics.summary import ExactSummary, summary_of

unhurried = settings(max_examples=25, deadline=None)

FAMILY = {
    Counts: "beta-binomial",
    Exposure: "gamma-poisson",
    Measured: "normal-known-variance",
    Moments: "normal",
}


@st.composite
def pools(draw: st.DrawFn, kind: type[Statistic] | None = None) -> Any:
    """Groups of one statistic, some without data; whole or fractional sizes."""
    kind = kind or draw(st.sampled_from(sorted(FAMILY, key=FAMILY.__getitem__)))
    size = draw(st.integers(3, 25))
    n = draw(hnp.arrays(np.float64, size, elements=st.integers(0, 60) | st.floats(0.1, 1e5)))
    share = draw(hnp.arrays(np.float64, size, elements=st.just(0.0) | st.floats(1e-3, 1)))
    n[:3] += 2.0  # a pool that can be fitted
    mean = np.where(n > 0, 100 * share, 0.0)
    if kind is Counts:
        return Counts(share * n, n)
    if kind is Exposure:
        return Exposure(np.round(share * n), n)
    if kind is Moments:
        return Moments(n, mean, 0.5 * n)
    return Measured(mean, np.divide(4.0, n, out=np.full(size, np.inf), where=n > 0))


def binned(groups: Any) -> Any:
    return summary._BINNED[type(groups)].of(groups)


def fitted(pool: Any, groups: Any) -> dict[str, float]:
    family: Any = FAMILIES[FAMILY[type(groups)]]
    fit = family.fit(pool, "ml")
    return {**family.parameters(fit.hyper), "log_likelihood": fit.log_likelihood}


def assert_same_fit(one: Any, other: Any, groups: Any, rel: float = 1e-6) -> None:
    a, b = fitted(one, groups), fitted(other, groups)
    # Concentrations that run up to the end of the range are known to few digits.
    for name, value in a.items():
        if abs(value) < 1e8 and abs(b[name]) < 1e8:
            assert value == pytest.approx(b[name], rel=rel, abs=1e-7), name


def parts(groups: Any, data: st.DataObject) -> list[Any]:
    cuts = sorted(data.draw(st.integers(0, len(groups))) for _ in range(2))
    ends = [0, *cuts, len(groups)]
    return [groups.take(slice(a, b)) for a, b in pairwise(ends)]


@unhurried
@given(pools(), st.data())
def test_any_split_over_shards_and_order_of_merging_gives_the_same_fit(
    groups: Any, data: st.DataObject
) -> None:
    a, b, c = map(binned, parts(groups, data))
    whole = binned(groups)
    for merged in (a.merge(b).merge(c), c.merge(a.merge(b)), b.merge(c).merge(a)):
        assert merged.groups_count == whole.groups_count
        assert_same_fit(merged, whole, groups)


@unhurried
@given(pools(), st.data())
def test_what_is_put_in_and_taken_out_again_leaves_no_trace(
    groups: Any, data: st.DataObject
) -> None:
    more = data.draw(pools(type(groups)))
    before = binned(groups)
    after = before.exchange(more.take(slice(0)), more).exchange(more, more.take(slice(0)))
    assert after.groups_count == before.groups_count
    assert_same_fit(after, before, groups)


@unhurried
@given(pools(), st.data())
def test_the_order_of_updates_does_not_matter(groups: Any, data: st.DataObject) -> None:
    size = len(groups)
    new = groups.take(np.array(data.draw(st.permutations(range(size)))))
    rows = np.array(data.draw(st.permutations(range(size))))
    one_by_one = binned(groups)
    for row in rows:
        one_by_one = one_by_one.exchange(groups.take([row]), new.take([row]))
    assert_same_fit(one_by_one, binned(new), groups)


@unhurried
@given(pools())
@example(Moments(np.array([2.5, 2.5, 2.5, 0.5]), np.zeros(4), np.array([1.25, 1.25, 1.25, 0.25])))
def test_a_binned_summary_fits_as_the_groups_do(groups: Any) -> None:
    assert_same_fit(binned(groups), ExactSummary(groups), groups)


@unhurried
@given(pools())
def test_groups_without_data_are_not_part_of_a_summary(groups: Any) -> None:
    empty = type(groups).zeros(5)
    with_empty = groups.concatenate(empty)
    for make in (binned, summary_of):
        assert make(with_empty).groups_count == make(groups).groups_count
    entered = binned(with_empty).exchange(empty, groups.take([0, 1, 2, 0, 1]))
    assert entered.groups_count == binned(groups).groups_count + 5


@unhurried
@given(pools(), st.data())
def test_exact_summaries_keep_the_same_laws(groups: Any, data: st.DataObject) -> None:
    a, b, c = (ExactSummary(part) for part in parts(groups, data))
    assert_same_fit(c.merge(a).merge(b), ExactSummary(groups), groups, rel=1e-9)
    more = data.draw(pools(type(groups)))
    after = ExactSummary(groups).exchange(more.take(slice(0)), more)
    assert_same_fit(after.exchange(more, more.take(slice(0))), ExactSummary(groups), groups, 1e-9)
