"""The laws that every statistic keeps: merge is batch, order is irrelevant, removal undoes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stream_hb.statistics.columns import Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.decayed_counts import DecayedCounts
from stream_hb.statistics.decayed_exposure import DecayedExposure
from stream_hb.statistics.decayed_moments import DecayedMoments
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments

GROUPS = 4


@st.composite
def samples(draw: st.DrawFn) -> dict[str, Any]:
    """Observations of a few groups: rows, outcomes, amounts."""
    size = draw(st.integers(0, 40))
    rows = draw(hnp.arrays(np.intp, size, elements=st.integers(0, GROUPS - 1)))
    success = draw(hnp.arrays(np.float64, size, elements=st.sampled_from([0.0, 1.0])))
    value = draw(hnp.arrays(np.float64, size, elements=st.floats(-1e6, 1e6, width=32)))
    weight = draw(hnp.arrays(np.float64, size, elements=st.floats(2.0**-20, 1.0)))
    return {"rows": rows, "success": success, "value": value, "weight": weight}


def counts(sample: dict[str, Any]) -> Counts:
    return Counts.of(sample["rows"], sample["success"], GROUPS)


def exposure(sample: dict[str, Any]) -> Exposure:
    return Exposure.of(sample["rows"], 2 * sample["success"], np.ones(len(sample["rows"])), GROUPS)


def moments(sample: dict[str, Any]) -> Moments:
    return Moments.of(sample["rows"], sample["value"], GROUPS)


def measured(sample: dict[str, Any]) -> Measured:
    result = Measured.zeros(GROUPS)
    for row, value in zip(sample["rows"], sample["value"], strict=True):
        one = Measured.zeros(GROUPS)
        one.mean[row], one.variance[row] = value, 2.0
        result = result.merge(one)
    return result


def decayed_counts(sample: dict[str, Any]) -> DecayedCounts:
    return DecayedCounts.of(sample["rows"], sample["success"], sample["weight"], GROUPS)


def decayed_exposure(sample: dict[str, Any]) -> DecayedExposure:
    hours = np.ones(len(sample["rows"]))
    return DecayedExposure.of(
        sample["rows"], 2 * sample["success"], hours, sample["weight"], GROUPS
    )


def decayed_moments(sample: dict[str, Any]) -> DecayedMoments:
    return DecayedMoments.of(sample["rows"], sample["value"], sample["weight"], GROUPS)


MAKERS = [
    counts,
    exposure,
    moments,
    measured,
    decayed_counts,
    decayed_exposure,
    decayed_moments,
]
STATISTICS = pytest.mark.parametrize("make", MAKERS)


def assert_same(a: Statistic, b: Statistic, scale: float = 1.0) -> None:
    for name, column in a.columns().items():
        np.testing.assert_allclose(
            column, b.columns()[name], rtol=1e-9, atol=1e-9 * scale, err_msg=name
        )


def joined(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    return {key: np.concatenate([a[key], b[key]]) for key in a}


def scale_of(*parts: dict[str, Any]) -> float:
    """What rounding is measured against: the sum of squares that cancels."""
    return 1.0 + sum(float((part["value"] ** 2).sum()) for part in parts)


@STATISTICS
@given(a=samples(), b=samples())
@settings(max_examples=60, deadline=None)
def test_merge_is_batch(make: Any, a: dict[str, Any], b: dict[str, Any]) -> None:
    assert_same(make(a).merge(make(b)), make(joined(a, b)), scale_of(a, b))


@STATISTICS
@given(a=samples(), b=samples(), c=samples())
@settings(max_examples=60, deadline=None)
def test_merge_is_associative_and_commutative(
    make: Any, a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]
) -> None:
    x, y, z = make(a), make(b), make(c)
    assert_same(x.merge(y).merge(z), z.merge(y.merge(x)), scale_of(a, b, c))


@STATISTICS
@given(a=samples())
@settings(max_examples=30, deadline=None)
def test_zeros_is_the_identity(make: Any, a: dict[str, Any]) -> None:
    x = make(a)
    assert_same(x.merge(type(x).zeros(GROUPS)), x)


@STATISTICS
@given(a=samples(), b=samples())
@settings(max_examples=60, deadline=None)
def test_remove_undoes_merge(make: Any, a: dict[str, Any], b: dict[str, Any]) -> None:
    x, y = make(a), make(b)
    assert_same(x.merge(y).remove(y), x, scale_of(a, b))


@STATISTICS
@given(a=samples(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_the_order_of_observations_does_not_matter(make: Any, a: dict[str, Any], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(a["rows"]))
    shuffled = {key: column[order] for key, column in a.items()}
    assert_same(make(a), make(shuffled), scale_of(a))


@STATISTICS
@given(a=samples())
@settings(max_examples=20, deadline=None)
def test_take_and_concatenate_keep_rows(make: Any, a: dict[str, Any]) -> None:
    x = make(a)
    assert_same(x.take(slice(2)).concatenate(x.take(np.array([2, 3]))), x)
