import numpy as np
import pytest

from stream_hb.contributions import CONTRIBUTIONS
from stream_hb.metrics import METRICS
from stream_hb.statistics.exposure import Exposure


def test_every_metric_has_a_contribution_and_a_family() -> None:
    assert METRICS.keys() == CONTRIBUTIONS.keys()
    for name, metric in METRICS.items():
        assert metric.name == name
        columns = metric.statistic.zeros(1).columns()
        assert {metric.size_column, *metric.count_columns} <= columns.keys()


def test_orders_without_any_visit_tell_no_rate() -> None:
    """Would fail if they reached the model: a posterior mean of (a + 2)/b with weight 1."""
    seen = METRICS["order_rate"].seen(Exposure(np.array([2.0, 3.0]), np.array([0.0, 1.0])))
    assert seen.columns()["events"].tolist() == [0, 3]


@pytest.mark.parametrize(
    ("name", "columns", "size", "count"),
    [
        ("conversion", ([1.0, 2.0], [10.0, 20.0]), [10, 20], 33),
        ("order_rate", ([3.0, 2.0], [10.0, 20.0]), [10, 20], 35),
        ("log_order_value", ([3.0, 2.0], [8.0, 9.0], [1.0, 1.0]), [3, 2], 5),
    ],
)
def test_sizes_are_visits_or_valued_orders(
    name: str, columns: tuple[list[float], ...], size: list[float], count: float
) -> None:
    metric = METRICS[name]
    groups = metric.statistic(*map(np.array, columns))
    assert metric.sizes(groups).tolist() == size
    assert metric.data_count(groups) == count
