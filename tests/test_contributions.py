import numpy as np

from stream_hb.contributions import CONTRIBUTIONS, Happened

HAPPENED = Happened(
    size=3,
    visits=np.array([0, 0, 1]),
    conversions=np.array([0]),
    purchases=np.array([0, 0, 2, 2]),
    amount_minor=np.array([100.0, 0.0, 100.0, 100.0 * np.e**2]),
)


def columns(name: str) -> list[list[float]]:
    return [column.tolist() for column in CONTRIBUTIONS[name](HAPPENED).columns().values()]


def test_converting_visits_are_counted_out_of_visits() -> None:
    assert columns("conversion") == [[1, 0, 0], [2, 1, 0]]


def test_every_purchase_is_an_order() -> None:
    assert columns("order_rate") == [[2, 0, 2], [2, 1, 0]]


def test_an_order_of_amount_zero_has_no_value() -> None:
    weight, mean, m2 = columns("log_order_value")
    assert weight == [1, 0, 2]
    np.testing.assert_allclose(mean, [np.log(100), 0, np.log(100) + 1], rtol=1e-15)
    np.testing.assert_allclose(m2, [0, 0, 2], atol=1e-14)


def test_nothing_happened_is_the_identity() -> None:
    none = np.empty(0, np.intp)
    nothing = Happened(2, none, none, none, np.empty(0))
    for contribution in CONTRIBUTIONS.values():
        statistic = contribution(nothing)
        zeros = type(statistic).zeros(2)
        for name, column in statistic.columns().items():
            assert column.tolist() == zeros.columns()[name].tolist()
