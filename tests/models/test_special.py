"""R(x, c) and its derivatives against sixty digits."""

import mpmath as mp
import numpy as np
import pytest
from scipy.special import betainccinv, betaincinv

from stream_hb.models.special import (
    beta_quantile,
    log1p_minus,
    rising_log,
    rising_log_derivatives,
)
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


WIDE = [(3.0, 8.0), (1e7, 2e7), (0.4, 1e17), (50.0, 1e17), (1.1e8, 1.1e8), (2e8, 1e13)]
NARROW = [(1e10, 3e12), (6.2e15, 3.1e16), (2e17, 2e17), (4e8, 1e18)]


def beyond(a: float, b: float, x: float, upper: bool) -> float:
    """Return a Beta's probability beyond a point, by mpmath with forty digits, over 40 sd."""
    with mp.workdps(40):
        m, sd = mp.mpf(a) / (a + b), mp.sqrt(mp.mpf(a) * b / (a + b + 1)) / (a + b)

        def density(z: mp.mpf) -> mp.mpf:
            t = m + z * sd
            if not 0 < t < 1:
                return mp.mpf(0)
            # About the mean, where nothing cancels; not normalised.
            return mp.exp((a - 1) * mp.log(t / m) + (b - 1) * mp.log((1 - t) / (1 - m)))

        at = (mp.mpf(x) - m) / sd
        knots = [mp.mpf(z) for z in (-20, -8, -4, -2, -1, 0, 1, 2, 4, 8, 20)]
        below = mp.quad(density, [*(k for k in knots if k < at), at])
        above = mp.quad(density, [at, *(k for k in knots if k > at)])
        return float((above if upper else below) / (below + above))


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize(("a", "b"), [pair for pair in WIDE if min(pair) > 2] + NARROW)
def test_a_betas_quantile_is_exact_however_little_it_spreads(
    a: float, b: float, upper: bool
) -> None:
    """scipy's inverse alone is an sd off at 1e16, and NaN beyond: a worker ended by that."""
    for probability in (0.005, 0.025, 0.4):
        x = float(beta_quantile(a, b, probability, upper=upper))
        # A point next to 1/2 has no more than sixteen digits, which are so much of the sd there.
        rounding = 2e-16 * max(x, 1e-16) / np.sqrt(a / (a + b) * (b / (a + b)) / (a + b + 1))
        assert abs(beyond(a, b, x, upper) - probability) < 1e-10 + rounding


@pytest.mark.parametrize("upper", [False, True])
def test_betas_of_all_kinds_have_the_quantiles_that_each_has_alone(upper: bool) -> None:
    a, b = np.array(WIDE + NARROW).T
    alone = [float(beta_quantile(*pair, 0.1, upper=upper)) for pair in WIDE + NARROW]
    np.testing.assert_array_equal(beta_quantile(a, b, 0.1, upper=upper), alone)
    scipys = (betainccinv if upper else betaincinv)(a, b, 0.1)[: len(WIDE) - 2]
    np.testing.assert_array_equal(alone[: len(WIDE) - 2], scipys)
