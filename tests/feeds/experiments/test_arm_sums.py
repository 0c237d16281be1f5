"""Statistics that grow: sums of parts are the whole, and plain values lose nothing."""

from dataclasses import replace

import numpy as np
import pytest

from stream_hb.feeds.experiments.arm_statistics import ArmStatistics
from stream_hb.feeds.experiments.arm_sums import added, concatenated, no_units, plain, restored
from stream_hb.feeds.experiments.unit_statistics import UnitColumns, statistics_of_units
from tests.feeds.experiments.looked import drawn_units

STORES = np.arange(3)


def units(seed: int, count: int = 400) -> UnitColumns:
    """Draw units of whose past nothing is known, their revenue far from zero."""
    drawn = drawn_units(np.random.default_rng(seed), count)
    return replace(drawn, pre=None, revenue_minor=drawn.revenue_minor + 1e9)


def assert_same(one: ArmStatistics, other: ArmStatistics) -> None:
    mine, its = plain(one), plain(other)
    assert mine.keys() == its.keys()
    for name, column in mine.items():
        np.testing.assert_allclose(column, its[name], rtol=1e-9, err_msg=name)


def test_parts_add_up_to_the_whole_in_any_order() -> None:
    whole = units(1)
    parts = [
        statistics_of_units(whole.take(slice(i, None, 3)), 3, 2, 10**9 + 9_000) for i in range(3)
    ]
    expected = statistics_of_units(whole, 3, 2, 10**9 + 9_000)
    for order in ((0, 1, 2), (2, 0, 1)):
        total = no_units(3, 2)
        for place in order:
            total = added(total, STORES, parts[place], 3)
        assert_same(total, expected)


def test_stores_that_are_new_have_their_own_and_the_others_keep_theirs() -> None:
    one, other = (statistics_of_units(units(seed), 3, 2) for seed in (2, 3))
    both = added(one, np.array([5, 3, 4]), other, 6)
    assert_same(concatenated(one, other), added(one, np.array([3, 4, 5]), other, 6))
    np.testing.assert_array_equal(both.units[[5, 3, 4]], other.units)
    np.testing.assert_array_equal(both.units[:3], one.units)


def test_plain_values_and_back_are_the_same_to_the_bit() -> None:
    found = statistics_of_units(units(4), 3, 2, 10**9)
    again = plain(restored(plain(found)))
    for name, column in plain(found).items():
        np.testing.assert_array_equal(column, again[name])


@pytest.mark.parametrize("turned", [False, True])
def test_what_one_part_does_not_know_the_sum_does_not(turned: bool) -> None:
    of_units = statistics_of_units(units(5), 3, 2)
    totals = ArmStatistics.of_totals(of_units.units, of_units.conversions, of_units.orders)
    one, other = (totals, of_units) if turned else (of_units, totals)
    total = added(one, STORES, other, 3)
    assert total.joint is None
    assert total.values is None
    np.testing.assert_array_equal(total.units, 2 * of_units.units)
