import numpy as np
import pytest

from stream_hb.contributions import CONTRIBUTIONS, Happened, Share, contribution
from stream_hb.metrics import METRICS
from stream_hb.statistics.columns import Rows
from stream_hb.statistics.forgetting import HOUR_MS, Forgetting, HalfLife, Never, Window, as_seen

RULES: list[Forgetting] = [Never(), HalfLife(HOUR_MS), Window(3)]


def share(*rows: int, at_ms: int = 0) -> Share:
    return Share(np.array(rows, np.intp), np.full(len(rows), at_ms))


HAPPENED = Happened(
    visits=share(0, 0, 1),
    conversions=share(0),
    exposed=share(0, 0, 1),
    orders=share(0, 0, 2, 2),
    valued=share(0, 2, 2),
    log_values=np.log([100.0, 100.0, 100.0 * np.e**2]),
)


def columns(name: str) -> list[list[float]]:
    made = contribution(name, METRICS[name].statistic, HAPPENED, Never(), 0, 3)
    return [column.tolist() for column in made.columns().values()]


def test_converting_visits_are_counted_out_of_visits() -> None:
    assert columns("conversion") == [[1, 0, 0], [2, 1, 0]]


def test_every_live_order_is_an_order() -> None:
    assert columns("order_rate") == [[2, 0, 2], [2, 1, 0]]


def test_an_order_without_value_has_no_part_in_the_values() -> None:
    weight, mean, m2 = columns("log_order_value")
    assert weight == [1, 0, 2]
    np.testing.assert_allclose(mean, [np.log(100), 0, np.log(100) + 1], rtol=1e-15)
    np.testing.assert_allclose(m2, [0, 0, 2], atol=1e-14)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", CONTRIBUTIONS)
def test_nothing_happened_is_the_identity(name: str, rule: Forgetting) -> None:
    none: Rows = np.empty(0, np.intp)
    nowhere = Share(none, none)
    nothing = Happened(nowhere, nowhere, nowhere, nowhere, nowhere, np.empty(0))
    plain = METRICS[name].statistic
    made = contribution(name, rule.kind(plain), nothing, rule, 0, 2)
    zeros = rule.zeros(plain, 2)
    for column, expected in zip(made.columns().values(), zeros.columns().values(), strict=True):
        assert column.tolist() == expected.tolist()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", CONTRIBUTIONS)
def test_what_happens_at_one_time_is_seen_alike_by_every_rule(name: str, rule: Forgetting) -> None:
    plain = METRICS[name].statistic
    made = as_seen(contribution(name, rule.kind(plain), HAPPENED, rule, 0, 3))
    expected = METRICS[name].seen(contribution(name, plain, HAPPENED, Never(), 0, 3))
    seen = METRICS[name].seen(made)
    for column, mine in expected.columns().items():
        np.testing.assert_allclose(seen.columns()[column], mine, rtol=1e-15, atol=1e-14)
