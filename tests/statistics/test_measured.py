import numpy as np

from stream_hb.statistics.measured import Measured


def measured(mean: float, variance: float) -> Measured:
    return Measured(np.array([mean]), np.array([variance]))


def test_two_measurements_are_weighted_by_their_precisions() -> None:
    both = measured(10.0, 1.0).merge(measured(16.0, 2.0))
    np.testing.assert_allclose((both.mean[0], both.variance[0]), (12.0, 2 / 3), rtol=1e-15)


def test_nothing_measured_has_an_infinite_variance() -> None:
    nothing = Measured.zeros(1).merge(Measured.zeros(1))
    assert (nothing.mean[0], nothing.variance[0]) == (0, np.inf)


def test_removing_all_that_was_measured_leaves_nothing() -> None:
    nothing = measured(3.0, 2.0).remove(measured(3.0, 2.0))
    assert (nothing.mean[0], nothing.variance[0]) == (0, np.inf)
