"""An effect with a Normal posterior: is it above zero, and what does the wrong choice cost?"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import erfcx, ndtr, ndtri

from stream_hb.feeds.experiments.beta_arms import TwoArms
from stream_hb.statistics.columns import Floats

_ROOT_2 = math.sqrt(2.0)
_ROOT_2PI = math.sqrt(2 * math.pi)


def judge_effect(mean: float, sd: float) -> TwoArms:
    r"""Return P(effect > 0) and the expected losses of keeping the control and of shipping.

    .. math:: P = Φ(z), \quad keep = s[φ(z) + zΦ(z)], \quad ship = s[φ(z) - zΦ(-z)], \quad z = m/s

    No truncated normal is asked for: one overflows from z = 1e9 on. A loss far out in the tail is
    φ(z) times a Mills ratio's remainder, not the difference of two numbers that are nearly equal.

    Examples
    --------
    >>> judge_effect(0.01, 4.5e-9)
    TwoArms(probability=1.0, loss_keep=0.01, loss_ship=0.0)
    >>> judge_effect(0.0, 0.0)
    TwoArms(probability=0.5, loss_keep=0.0, loss_ship=0.0)
    """
    if sd == 0:
        step = 0.5 if mean == 0 else float(mean > 0)
        return TwoArms(step, max(0.0, mean), max(0.0, -mean))
    z = mean / sd
    return TwoArms(float(ndtr(z)), sd * _excess(z), sd * _excess(-z))


def _excess(z: float) -> float:
    """Return E[(Z + z)+] of a standard normal Z: φ(z) + zΦ(z)."""
    if abs(z) > 1e7:
        return max(0.0, z)
    density = math.exp(-0.5 * z * z) / _ROOT_2PI
    if z >= -1:
        return density + z * float(ndtr(z))
    mills = math.sqrt(math.pi / 2) * float(erfcx(-z / _ROOT_2))
    return density * (1 + z * mills)


class Normal(NamedTuple):
    """A Normal posterior of an arm's mean; t is the mean itself.

    centre, sd
        Its mean and standard deviation, the latter above 0.
    """

    centre: float
    sd: float

    @property
    def mean(self) -> float:
        """Posterior mean."""
        return self.centre

    def at(self, probability: Floats, *, upper: bool) -> Floats:
        """Return quantiles."""
        z: Floats = ndtri(probability)
        return self.centre + self.sd * (-z if upper else z)

    def density(self, t: Floats) -> Floats:
        """Return the density."""
        out: Floats = np.exp(-0.5 * ((t - self.centre) / self.sd) ** 2) / (self.sd * _ROOT_2PI)
        return out

    def below(self, t: Floats) -> Floats:
        """Return P(mean < t)."""
        out: Floats = ndtr((t - self.centre) / self.sd)
        return out

    def above(self, t: Floats) -> Floats:
        """Return P(mean > t)."""
        out: Floats = ndtr((self.centre - t) / self.sd)
        return out

    def speed(self, t: Floats) -> Floats:
        """Return 1: t is the mean."""
        return np.ones_like(t)


def compare_means(a: Normal, b: Normal) -> TwoArms:
    """Return P(B > A) and both expected losses of two independent Normal posteriors.

    >>> round(compare_means(Normal(10.0, 0.3), Normal(10.5, 0.4)).probability, 6)
    0.841345
    """
    return judge_effect(b.centre - a.centre, math.hypot(a.sd, b.sd))
