import numpy as np

from stream_hb.models.special import rising_log
from stream_hb.statistics.measure import Measure


def _measure() -> Measure:
    rng = np.random.default_rng(3)
    return Measure.of(np.ceil(np.exp(rng.normal(7, 2, 20_000))), rng.uniform(0, 2, 20_000))


def test_zeros_and_weightless_values_are_left_out() -> None:
    measure = Measure.of(np.array([0.0, 3.0, 4.0]), np.array([1.0, 0.0, 2.0]))
    assert measure.x.tolist() == [4.0]
    assert measure.weight.tolist() == [2.0]


def test_few_values_are_kept_as_they_are() -> None:
    measure = Measure.of(np.arange(100.0))
    assert measure.condensed() is measure


def test_condensing_keeps_four_moments_within_the_range() -> None:
    measure, condensed = _measure(), _measure().condensed()
    for power in range(4):
        np.testing.assert_allclose(
            condensed.total(condensed.x**power), measure.total(measure.x**power), rtol=1e-11
        )
    assert condensed.x.min() >= measure.x.min() * (1 - 1e-12)
    assert condensed.x.max() <= measure.x.max() * (1 + 1e-12)
    assert len(condensed.x) < len(measure.x) / 5


def test_a_likelihood_of_condensed_counts_errs_by_less_than_ten_millionths() -> None:
    measure, condensed = _measure(), _measure().condensed()
    for c in (0.5, 20.0, 3_000.0, 1e6):
        exact = measure.total(rising_log(measure.x, c))
        np.testing.assert_allclose(condensed.total(rising_log(condensed.x, c)), exact, rtol=1e-5)
