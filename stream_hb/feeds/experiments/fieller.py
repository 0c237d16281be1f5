"""The relative lift's interval by Fieller's theorem: the ratio of two means, without its error."""

from typing import NamedTuple

import numpy as np

from stream_hb.feeds.experiments.lift import ArmMean
from stream_hb.statistics.columns import Floats


class Ends(NamedTuple):
    """Both ends of intervals, arrays of one shape; infinite where nothing is known."""

    lo: Floats
    hi: Floats


def fieller_ends(control: ArmMean, arm: ArmMean, width: Floats) -> Ends:
    r"""Return the lifts ρ that the linear contrast m_B - (1 + ρ)m_A does not refute.

    .. math:: |m_B - qm_A| \le c\sqrt{V_B + q^2V_A}, \quad q = 1 + ρ

    (Fieller 1954, doi:10.1111/j.2517-6161.1954.tb00159.x): a quadratic in q. The delta method
    takes a control that is high by chance for a fall with a small standard error; a guardrail that
    falls by exactly its margin was then said to be broken in 6 % of experiments at alpha 5 %.
    Here zero is inside exactly when it is inside the interval of the absolute lift.

    Parameters
    ----------
    control, arm
        Means, arrays of one shape.
    width
        c: half the interval's width in standard errors; infinite where nothing is known.

    Returns
    -------
    Ends of (m_B - m_A)/\|m_A\|; infinite where the control's mean is not shown to differ from 0.

    Examples
    --------
    >>> one = lambda mean, variance: ArmMean(np.array([mean]), np.array([variance]), np.ones(1))
    >>> ends = fieller_ends(one(10.0, 0.04), one(11.0, 0.04), np.array([2.0]))
    >>> ends.lo.round(4), ends.hi.round(4)
    (array([0.0422]), array([0.1613]))
    """
    c2, known = np.square(width), np.isfinite(width)
    c2 = np.where(known, c2, 0.0)
    parts = control.mean, control.variance, arm.mean, arm.variance
    m_a, v_a, m_b, v_b = (np.where(known, part, 0.0) for part in parts)
    lead = m_a**2 - c2 * v_a
    bounded = known & (lead > 0)
    safe = np.where(bounded, lead, 1.0)
    root = np.sqrt(np.maximum(c2 * (m_b**2 * v_a + m_a**2 * v_b - c2 * v_a * v_b), 0.0))
    low, high = ((m_a * m_b + sign * root) / safe - 1 for sign in (-1, 1))
    is_negative = m_a < 0
    lo, hi = np.where(is_negative, -high, low), np.where(is_negative, -low, high)
    return Ends(np.where(bounded, lo, -np.inf), np.where(bounded, hi, np.inf))


def around(effect: Floats, half: Floats) -> Ends:
    """Return effect ± half, infinite where half is."""
    known = np.isfinite(half)
    centre, reach = np.where(known, effect, 0.0), np.where(known, half, np.inf)
    return Ends(centre - reach, centre + reach)
