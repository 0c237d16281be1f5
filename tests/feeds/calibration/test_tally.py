"""The laws of the tallies: merge is batch, order is irrelevant, zeros is the identity."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from stream_hb.feeds.calibration.half_life import Candidates
from stream_hb.feeds.calibration.scores import LEVELS, Scores
from stream_hb.feeds.calibration.tally import Tally

HOUR_MS = 3_600_000
MEMORY_MS = 24 * HOUR_MS

Ticked = tuple[int, list[float]]

ticks = st.lists(
    st.tuples(
        st.integers(400_000, 400_400).map(lambda hour: hour * HOUR_MS),
        st.lists(st.floats(0.0, 1.0), max_size=5),
    ),
    max_size=8,
)


def tally_of(some: list[Ticked]) -> Tally:
    total = Tally.zeros(MEMORY_MS)
    for end_ms, pits in some:
        pit = np.array(pits)
        scores = Scores(pit, 0 * pit, -1 - pit, pit**2)
        total = total.merge(Tally.of(MEMORY_MS, end_ms, scores, pit))
    return total


def candidates_of(some: list[Ticked]) -> Candidates:
    total = Candidates.zeros(MEMORY_MS, 3)
    for end_ms, pits in some:
        pit = np.array(pits)
        log_scores = np.stack([-1 - pit, -(pit**2), -3 + pit])
        total = total.merge(Candidates.of(MEMORY_MS, end_ms, log_scores))
    return total


KINDS = pytest.mark.parametrize("make", [tally_of, candidates_of])


def assert_same(a: Any, b: Any) -> None:
    for (name, x), y in zip(a.snapshot().items(), b.snapshot().values(), strict=True):
        assert_allclose(x, y, rtol=1e-9, atol=1e-12, err_msg=name)


@KINDS
@given(a=ticks, b=ticks, c=ticks)
@settings(max_examples=40, deadline=None)
def test_merge_is_batch_and_its_order_is_irrelevant(
    make: Any, a: list[Ticked], b: list[Ticked], c: list[Ticked]
) -> None:
    assert_same(make(a).merge(make(b)).merge(make(c)), make([*c, *a, *b]))
    assert_same(make(c).merge(make(b).merge(make(a))), make([*a, *b, *c]))


@KINDS
@given(a=ticks)
@settings(max_examples=40, deadline=None)
def test_zeros_is_the_identity(make: Any, a: list[Ticked]) -> None:
    assert_same(make(a).merge(make([])), make(a))


@KINDS
@given(a=ticks)
@settings(max_examples=40, deadline=None)
def test_a_snapshot_is_plain_and_restores_to_the_bit(make: Any, a: list[Ticked]) -> None:
    one = make(a)
    plain = json.loads(json.dumps(one.snapshot()))
    assert type(one).restore(plain).snapshot() == one.snapshot()


def test_an_old_tick_weighs_half_for_each_half_life() -> None:
    day = MEMORY_MS
    total = tally_of([(20_000 * day, [0.5]), (20_002 * day, [0.999, 0.999])])
    assert_allclose(total.mass(20_002 * day), 2 + 0.25)
    share, _ = total.coverage()
    assert_allclose(share, np.full(len(LEVELS), 0.25 / 2.25))


def test_the_standard_error_knows_that_groups_share_a_ticks_luck() -> None:
    """100 stores that all miss or all hold: as many independent draws as ticks, not stores."""
    random = np.random.default_rng(3)
    together = [
        (i * HOUR_MS, [0.5 if random.random() < 0.8 else 0.999] * 100) for i in range(1_000)
    ]
    total = Tally.zeros(10**6 * MEMORY_MS)
    for end_ms, pits in together:
        pit = np.array(pits)
        scores = Scores(pit, 0 * pit, pit, pit)
        total = total.merge(Tally.of(10**6 * MEMORY_MS, end_ms, scores, pit))
    share, error = total.coverage()
    assert_allclose(share[0], 0.8, atol=0.05)
    assert_allclose(error[0], math.sqrt(share[0] * (1 - share[0]) / 1_000), rtol=0.01)


def test_before_anything_is_scored_nothing_is_claimed() -> None:
    total = Tally.zeros(MEMORY_MS)
    assert np.isnan(total.coverage()).all()
    assert math.isnan(total.mean_log_score())
    assert math.isnan(total.mean_crps())


@KINDS
def test_other_half_lives_do_not_merge(make: Any) -> None:
    other = Tally.zeros(1) if make is tally_of else Candidates.zeros(1, 3)
    with pytest.raises(ValueError, match="cannot be merged"):
        make([]).merge(other)
