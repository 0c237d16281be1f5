"""Two rates of orders with Gamma posteriors: is B better, and what does the wrong choice cost?"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import betainc, gammainc, gammaincc, gammainccinv, gammaincinv

from stream_hb.errors import FitError
from stream_hb.feeds.experiments.best_of import best_of
from stream_hb.feeds.experiments.beta_arms import TwoArms, stirling
from stream_hb.statistics.columns import Floats

_LOSS_LEAST = 1e-3
_FAR = 600.0
_LOG_2PI = math.log(2 * math.pi)


class Gamma(NamedTuple):
    """A Gamma posterior of a rate; t is its logarithm.

    shape, rate
        Prior and observed orders and exposure, above 0.
    """

    shape: float
    rate: float

    @property
    def mean(self) -> float:
        """Posterior mean."""
        return self.shape / self.rate

    @property
    def variance(self) -> float:
        """Posterior variance."""
        return self.shape / self.rate**2

    def at(self, probability: Floats, *, upper: bool) -> Floats:
        """Return quantiles of the logarithm."""
        inverse = gammainccinv if upper else gammaincinv
        with np.errstate(divide="ignore"):
            t: Floats = np.clip(np.log(inverse(self.shape, probability)), -_FAR, _FAR)
        return t - math.log(self.rate)

    def density(self, t: Floats) -> Floats:
        """Return the density of the logarithm."""
        # a(u - e^u + 1) about the mode u = 0, and the height of the mode by itself.
        u = t + math.log(self.rate) - math.log(self.shape)
        out: Floats = np.exp(self.shape * (u - np.expm1(u)) + _log_height(self.shape))
        return out

    def below(self, t: Floats) -> Floats:
        """Return P(log rate < t)."""
        out: Floats = gammainc(self.shape, np.exp(t + math.log(self.rate)))
        return out

    def above(self, t: Floats) -> Floats:
        """Return P(log rate > t)."""
        out: Floats = gammaincc(self.shape, np.exp(t + math.log(self.rate)))
        return out

    def speed(self, t: Floats) -> Floats:
        """Return dx/dt."""
        return np.exp(t)


def compare_counts(a: Gamma, b: Gamma) -> TwoArms:
    r"""Return P(B > A) and both expected losses, in closed form.

    .. math:: P(B > A) = I_x(a_A, a_B), \quad x = r_A/(r_A + r_B), \qquad
              E[(B-A)^+] = m_B I_x(a_A, a_B + 1) - m_A I_x(a_A + 1, a_B)

    (B/(A + B) of two Gammas is Beta). A loss too small for that difference is integrated.

    Raises
    ------
    FitError
        A parameter is not above 0, or not finite.

    Examples
    --------
    >>> arms = compare_counts(Gamma(10, 100), Gamma(14, 105))
    >>> f"{arms.probability:.10f} {arms.loss_keep:.10f} {arms.loss_ship:.10f}"
    '0.7627003740 0.0399971578 0.0066638245'
    """
    for arm in (a, b):
        if not (0 < arm.shape < math.inf and 0 < arm.rate < math.inf):
            raise FitError(f"a Gamma posterior needs parameters above 0, got {arm}")
    x = a.rate / (a.rate + b.rate)
    probability = float(betainc(a.shape, b.shape, x))
    losses = _loss(a, b), _loss(b, a)
    if min(losses) < _LOSS_LEAST * max(a.mean, b.mean):
        keep, ship = best_of((a, b)).loss.tolist()
        return TwoArms(probability, keep, ship)
    return TwoArms(probability, *losses)


def _loss(a: Gamma, b: Gamma) -> float:
    x = a.rate / (a.rate + b.rate)
    gained = b.mean * betainc(a.shape, b.shape + 1, x)
    return float(gained - a.mean * betainc(a.shape + 1, b.shape, x))


def _log_height(shape: float) -> float:
    """Return a ln a - a - lnΓ(a), for large a by Stirling: the difference has no digits there."""
    if shape < 30:
        return shape * math.log(shape) - shape - math.lgamma(shape)
    return 0.5 * (math.log(shape) - _LOG_2PI) - stirling(shape)
