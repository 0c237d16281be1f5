import numpy as np

from stream_hb.statistics.moments import Moments

ONE_GROUP = np.zeros(1, dtype=np.intp)


def one(value: float) -> Moments:
    return Moments.of(ONE_GROUP, np.array([value]), 1)


def test_the_variance_keeps_its_digits_beside_a_large_mean() -> None:
    """Would fail with sums of squares: they give -170.67 where the variance is 30."""
    values = [1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16]
    total = Moments.zeros(1)
    for value in values:
        total = total.merge(one(value))
    assert total.variance()[0] == 30.0


def test_removing_the_last_observation_leaves_nothing() -> None:
    total = one(3.5).remove(one(3.5))
    assert [column[0] for column in total.columns().values()] == [0.0, 0.0, 0.0]


def test_the_sum_of_squares_never_falls_below_zero() -> None:
    total = Moments.zeros(1)
    for value in (0.1, 0.2, 0.3):
        total = total.merge(one(value))
    for value in (0.1, 0.2):
        total = total.remove(one(value))
    assert total.m2[0] >= 0
    np.testing.assert_allclose(total.mean[0], 0.3, rtol=1e-12)


def test_one_observation_has_no_variance_yet() -> None:
    assert np.isnan(one(2.0).variance()[0])
