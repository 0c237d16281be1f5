"""From units to statistics to means of arms, against plain sums over the units."""

import math

import numpy as np
import pytest

from stream_hb.errors import FitError
from stream_hb.feeds.experiments.arm_statistics import ArmStatistics, ValueMoments
from stream_hb.feeds.experiments.cuped import theta_of
from stream_hb.feeds.experiments.lift import ArmMean
from stream_hb.feeds.experiments.outcomes import (
    METRICS,
    adjusted_arm_mean,
    arm_mean,
    paired_with_past,
)
from stream_hb.feeds.experiments.stratified import stratified
from stream_hb.feeds.experiments.unit_statistics import mature
from stream_hb.statistics.columns import Floats
from tests.feeds.experiments.looked import DAY_MS, START_MS, drawn_units, floats, of_units

UNITS = drawn_units(np.random.default_rng(4), 3_000)


def _cell(store: int, arm: int) -> Floats:
    """Visits, orders, revenue and covariate of the units of one store and arm, shape (4, units)."""
    mine = (UNITS.store == store) & (UNITS.arm == arm)
    assert UNITS.pre is not None
    return np.stack([UNITS.visits, UNITS.orders, UNITS.revenue_minor, UNITS.pre])[:, mine]


def test_means_and_variances_are_those_of_the_units() -> None:
    statistics = of_units(UNITS)
    for store in range(3):
        for arm in range(2):
            visits, orders, revenue, _ = _cell(store, arm)
            n = len(visits)
            value = np.log(revenue[orders > 0] / orders[orders > 0])
            expected = {
                "conversion": ((orders > 0).mean(), (orders > 0).var(ddof=1) / n),
                "log_order_value": (value.mean(), value.var(ddof=1) / len(value)),
            }
            for metric, top in (("order_rate", orders), ("revenue_per_visit", revenue)):
                ratio = top.sum() / visits.sum()
                residual = (top - ratio * visits) / visits.mean()
                expected[metric] = (ratio, residual.var(ddof=1) / n)
            for metric, (mean, variance) in expected.items():
                found = arm_mean(statistics, metric)
                assert found.mean[store, arm] == pytest.approx(mean, rel=1e-9), metric
                assert found.variance[store, arm] == pytest.approx(variance, rel=1e-9), metric


def test_the_chain_is_all_its_units_together() -> None:
    whole, one = of_units(UNITS).chain(), UNITS.take(slice(None))
    together = of_units(type(one)(one.store * 0, *(getattr(one, n) for n in _NAMES)), stores=1)
    for metric in METRICS:
        ours, theirs = arm_mean(whole, metric), arm_mean(together, metric)
        np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-9)
        np.testing.assert_allclose(ours.variance, theirs.variance, rtol=1e-9)
        ours, theirs = (adjusted_arm_mean(s, metric) or ours for s in (whole, together))
        np.testing.assert_allclose(ours.variance, theirs.variance, rtol=1e-9)


_NAMES = ("arm", "visits", "orders", "revenue_minor", "first_ms", "pre")


def test_adjusted_for_the_past_an_arm_has_less_variance_and_the_same_effect() -> None:
    statistics = of_units(UNITS)
    for metric in ("conversion", "order_rate", "revenue_per_visit"):
        plain, less = arm_mean(statistics, metric), adjusted_arm_mean(statistics, metric)
        assert less is not None
        assert (less.variance < plain.variance).all(), metric
        # Moved by chance only: by no more than the variance that was taken out explains.
        moved = np.abs(less.mean - plain.mean) / np.sqrt(plain.variance - less.variance)
        assert moved.max() < 4
    assert adjusted_arm_mean(statistics, "log_order_value") is None


def test_theta_of_a_ratio_is_that_of_its_linearised_part() -> None:
    paired = paired_with_past(of_units(UNITS), "revenue_per_visit")
    assert paired is not None
    cross = spread = 0.0
    for store in range(3):
        for arm in range(2):
            visits, _, revenue, pre = _cell(store, arm)
            part = (revenue - revenue.sum() / visits.sum() * visits) / visits.mean()
            cross += float(((part - part.mean()) * (pre - pre.mean())).sum())
            spread += float(((pre - pre.mean()) ** 2).sum())
    assert theta_of(paired) == pytest.approx(cross / spread, rel=1e-9)


def test_without_a_past_nothing_is_adjusted() -> None:
    columns = (getattr(UNITS, name) for name in ("store", *_NAMES[:-1]))
    assert adjusted_arm_mean(of_units(type(UNITS)(*columns)), "conversion") is None
    some = floats(10.0, 10.0)[None]
    assert adjusted_arm_mean(ArmStatistics.of_totals(some, some, some), "conversion") is None


def test_a_unit_is_mature_when_its_window_is_over_and_not_before() -> None:
    first = START_MS + np.array([-1, 0, DAY_MS - 1, DAY_MS, DAY_MS + 1])
    found = mature(first, START_MS, START_MS + 2 * DAY_MS, DAY_MS)
    assert found.tolist() == [False, True, True, True, False]


def test_a_cap_cuts_revenue_and_says_of_how_many() -> None:
    capped = of_units(UNITS, cap_minor=5_000)
    assert capped.capped is not None
    assert capped.capped.sum() == (UNITS.revenue_minor > 5_000).sum()
    visits, _, revenue, _ = _cell(1, 0)
    expected = np.minimum(revenue, 5_000).sum() / visits.sum()
    assert arm_mean(capped, "revenue_per_visit").mean[1, 0] == pytest.approx(expected)
    assert capped.chain().capped is not None
    assert of_units(UNITS).capped is None


def test_totals_carry_conversion_and_rate_and_value_but_no_revenue() -> None:
    n, y, k = (np.array([[one, one]]) for one in (400.0, 20.0, 25.0))
    values = ValueMoments(k, k * 0 + 8.0, k * 0 + 24 * 0.81)
    statistics = ArmStatistics.of_totals(n, y, k, values)
    rate = arm_mean(statistics, "order_rate")
    assert rate.mean[0, 0] == 25 / 400
    assert rate.variance[0, 0] == pytest.approx(25 / 400**2)
    assert arm_mean(statistics, "conversion").variance[0, 0] == pytest.approx(0.05 * 0.95 / 399)
    assert arm_mean(statistics, "log_order_value").variance[0, 0] == pytest.approx(0.81 / 25)
    assert np.isnan(arm_mean(statistics, "revenue_per_visit").mean).all()
    bare = ArmStatistics.of_totals(n, y, k)
    assert np.isnan(arm_mean(bare, "log_order_value").mean).all()


def test_more_conversions_than_visits_are_refused() -> None:
    n = np.array([[10.0, 10.0], [10.0, 10.0]])
    y = np.array([[1.0, 1.0], [1.0, 11.0]])
    with pytest.raises(FitError, match="store 1, arm 1: 11 conversions of 10 visits"):
        ArmStatistics.of_totals(n, y, y)


def test_arms_without_units_have_no_mean_and_no_accident() -> None:
    empty = of_units(UNITS.take(slice(0, 0)))
    for metric in METRICS:
        found = arm_mean(empty, metric)
        assert np.isnan(found.variance).all()
        assert np.isnan(found.mean).all()
        assert np.isnan(arm_mean(empty.chain(), metric).mean).all()


def _arm(mean: Floats, units: Floats, spread: float = 1.0) -> ArmMean:
    return ArmMean(mean, spread / units, units)


def test_a_chain_whose_better_stores_have_more_of_an_arm_has_no_effect_of_it() -> None:
    """Simpson: pooled over the stores the arm seems to win by half of everything."""
    rate = floats(0.1, 1.0)
    control, arm = stratified(_arm(rate, floats(90.0, 10.0)), _arm(rate, floats(10.0, 90.0)))
    assert float(arm.mean - control.mean) == 0


def test_weights_over_stores_are_those_of_mantel_and_haenszel() -> None:
    random = np.random.default_rng(1)
    n_a, n_b = random.integers(5, 90, (2, 8)).astype(float)
    y_a, y_b = random.binomial(n_a.astype(int), 0.2), random.binomial(n_b.astype(int), 0.3)
    control, arm = stratified(_arm(y_a / n_a, n_a), _arm(y_b / n_b, n_b))
    total = n_a + n_b
    # The Mantel-Haenszel risk difference as textbooks have it.
    expected = ((y_b * n_a - y_a * n_b) / total).sum() / (n_a * n_b / total).sum()
    assert float(arm.mean - control.mean) == pytest.approx(expected)


def test_a_store_without_a_variance_is_left_out_and_none_left_is_unknown() -> None:
    one = ArmMean(floats(1.0, np.nan), floats(0.1, np.nan), floats(10.0, 0.0))
    _, arm = stratified(one, ArmMean(floats(2.0, 5.0), floats(0.1, 0.1), floats(10.0, 9.0)))
    assert float(arm.mean) == 2
    assert float(arm.units) == 10
    unknown, _ = stratified(one, ArmMean(*(np.full(2, np.nan),) * 2, np.zeros(2)))
    assert math.isnan(unknown.mean)
