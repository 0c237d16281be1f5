"""What is pooled over stores are contrasts within them."""

import math

import numpy as np
import pytest

from stream_hb.feeds.experiments.adjustment import adjustment
from stream_hb.feeds.experiments.arm_statistics import ArmStatistics, ValueMoments
from stream_hb.feeds.experiments.outcomes import METRICS
from stream_hb.feeds.experiments.store_belief import all_store_beliefs, store_beliefs
from tests.feeds.experiments.looked import TWO, drawn_units, of_units, totals

STORES = totals([[900, 1000], [400, 380], [60, 50]], [[45, 70], [30, 28], [2, 4]])


def test_a_stores_contrast_is_the_log_odds_ratio_of_its_own_cells() -> None:
    """Fails where each arm is shrunk by itself and the cells are subtracted."""
    contrasts = store_beliefs(TWO, STORES, "conversion", 0).contrasts
    for j, ((n0, n1), (y0, y1)) in enumerate(zip(STORES.units, STORES.conversions, strict=True)):
        cells = [y1 + 0.5, n1 - y1 + 0.5, y0 + 0.5, n0 - y0 + 0.5]
        odds = cells[0] / cells[1] / (cells[2] / cells[3])
        assert contrasts.mean[j] == pytest.approx(math.log(odds))
        assert contrasts.variance[j] == pytest.approx(sum(1 / cell for cell in cells))


def test_contrasts_of_the_other_metrics_are_differences_and_ratios() -> None:
    k, t = STORES.orders, STORES.visits
    rate = store_beliefs(TWO, STORES, "order_rate", 0).contrasts
    expected = np.log((k[:, 1] + 0.5) / t[:, 1]) - np.log((k[:, 0] + 0.5) / t[:, 0])
    np.testing.assert_allclose(rate.mean, expected)
    values = ValueMoments(k, np.array([[8.0, 8.1], [7.9, 7.8], [8.0, 9.0]]), (k - 1) * 0.81)
    statistics = ArmStatistics.of_totals(STORES.units, STORES.conversions, k, values)
    value = store_beliefs(TWO, statistics, "log_order_value", 0).contrasts
    np.testing.assert_allclose(value.mean, [0.1, -0.1, 1.0])
    np.testing.assert_allclose(value.variance, 0.81 / k[:, 0] + 0.81 / k[:, 1])
    assert store_beliefs(TWO, statistics, "revenue_per_visit", 0).sites is None


def test_orders_that_come_in_clusters_are_less_sure_than_as_many_by_themselves() -> None:
    units = drawn_units(np.random.default_rng(3), 8_000)
    clustered = of_units(units)
    alone = ArmStatistics(
        clustered.units, clustered.visits, clustered.conversions, clustered.orders
    )
    one, other = (store_beliefs(TWO, s, "order_rate", 0).contrasts for s in (clustered, alone))
    np.testing.assert_array_equal(one.mean, other.mean)
    inflation = one.variance / other.variance
    assert inflation.min() == pytest.approx(inflation.max())
    assert inflation[0] > 1.05


def test_everything_is_believed_of_every_metric_once() -> None:
    found = all_store_beliefs(TWO, STORES)
    assert list(found) == ["conversion"]
    assert len(found["conversion"]) == 1


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_is_believed_where_nothing_was_seen(metric: str) -> None:
    silent = of_units(drawn_units(np.random.default_rng(1), 0))
    belief = store_beliefs(TWO, silent, metric, 0)
    assert belief.sites is None
    assert belief.rates is None
    assert adjustment(TWO, silent, metric, 0, np.ones(3)) is None
    assert adjustment(TWO, silent, metric, 0, None) is None
