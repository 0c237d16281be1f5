"""R(x, c) and its derivatives against sixty digits."""

import mpmath as mp
import numpy as np
import pytest

from stream_hb.models.special import log1p_minus, rising_log, rising_log_derivatives
from tests.reference import marginal as reference

COUNTS = [1e-6, 0.01, 0.7, 2.0, 3.0, 19.5, 147.0, 1e5, 1e9, 1e15]
PRIORS = [1e-7, 1e-3, 0.4, 1.0, 9.999999, 10.0, 29.99, 30.0, 800.0, 1e7, 1e14]


@pytest.mark.parametrize("c", PRIORS)
def test_rising_log_is_exact_at_every_scale(c: float) -> None:
    expected = [float(reference.rising_log(x, c)) for x in COUNTS]
    np.testing.assert_allclose(rising_log(COUNTS, c), expected, rtol=1e-12)


@pytest.mark.parametrize("c", PRIORS)
def test_its_derivatives_do_not_cancel(c: float) -> None:
    value, first, second = rising_log_derivatives(COUNTS, c)
    np.testing.assert_allclose(value, rising_log(COUNTS, c), rtol=0)
    slopes = [float(reference.rising_log_slope(x, c)) for x in COUNTS]
    np.testing.assert_allclose(first, slopes, rtol=1e-11)
    curvatures = [float(reference.rising_log_curvature(x, c)) for x in COUNTS]
    np.testing.assert_allclose(second, curvatures, rtol=1e-11)


def test_rising_log_stays_within_tolerance_at_random_arguments() -> None:
    rng = np.random.default_rng(20)
    x, c = 10 ** rng.uniform(-6, 5, 500), 10 ** rng.uniform(-3, 14, 500)
    expected = np.array([float(reference.rising_log(*pair)) for pair in zip(x, c, strict=True)])
    error = np.abs(rising_log(x, c) / expected - 1)
    assert error.max() < 1e-9, f"worst at x={x[error.argmax()]}, c={c[error.argmax()]}"


@pytest.mark.parametrize("c", PRIORS)
def test_no_event_and_one_event_say_nothing_of_the_concentration(c: float) -> None:
    assert rising_log(0.0, c) == 0
    assert abs(rising_log(1.0, c)) < 1e-14


def test_log1p_minus_keeps_its_digits_on_both_sides_of_the_branch() -> None:
    r = np.array([0.0, 1e-12, 0.0199999, 0.0200001, 3.0])
    expected = [float(mp.log1p(v) - mp.mpf(v)) for v in r]
    np.testing.assert_allclose(log1p_minus(r), expected, rtol=1e-13)


def test_log1p_minus_of_a_huge_argument_does_not_overflow() -> None:
    assert log1p_minus(1e200) == -1e200
    assert rising_log(1e60, 20.0) == pytest.approx(float(reference.rising_log(1e60, 20.0)))
