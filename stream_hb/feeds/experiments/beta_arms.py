"""Two conversion rates with Beta posteriors: is B better, and what does the wrong choice cost?"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import betainc, betaincc, betainccinv, betaincinv, expit

from stream_hb.errors import FitError
from stream_hb.feeds.experiments.best_of import best_of
from stream_hb.models.special import rising_log
from stream_hb.statistics.columns import Floats

_TERMS_MAX = 20_000
"""A finite sum longer than this is slower than the quadrature."""

_LOSS_LEAST = 1e-3
"""Below this share of the means the difference of the closed form has lost digits."""

_FAR = 600.0
_LARGE = 30.0


class Beta(NamedTuple):
    """A Beta posterior of a rate; t is its logit.

    a, b
        Prior and observed successes and failures, above 0.
    """

    a: float
    b: float

    @property
    def mean(self) -> float:
        """Posterior mean."""
        return self.a / (self.a + self.b)

    @property
    def variance(self) -> float:
        """Posterior variance."""
        return self.mean * (1 - self.mean) / (self.a + self.b + 1)

    def at(self, probability: Floats, *, upper: bool) -> Floats:
        """Return quantiles of the logit."""
        ends = (betainccinv, betaincinv) if upper else (betaincinv, betainccinv)
        x, rest = ends[0](self.a, self.b, probability), ends[1](self.b, self.a, probability)
        with np.errstate(divide="ignore"):
            t: Floats = np.clip(np.log(x) - np.log(rest), -_FAR, _FAR)
        return t

    def density(self, t: Floats) -> Floats:
        """Return the density of the logit."""
        # About its mode, where nothing cancels: n[pu - ln(q + p e^u)], from the rarer outcome.
        few, many, side = (self.a, self.b, 1) if self.a <= self.b else (self.b, self.a, -1)
        u, share = side * (t - math.log(self.a / self.b)), few / (few + many)
        away = share * u - np.log1p(share * np.expm1(u))
        out: Floats = np.exp((few + many) * away + _log_height(few, many))
        return out

    def below(self, t: Floats) -> Floats:
        """Return P(logit < t)."""
        near = betainc(self.a, self.b, expit(t))
        out: Floats = np.where(t > 0, betaincc(self.b, self.a, expit(-t)), near)
        return out

    def above(self, t: Floats) -> Floats:
        """Return P(logit > t)."""
        near = betaincc(self.a, self.b, expit(t))
        out: Floats = np.where(t > 0, betainc(self.b, self.a, expit(-t)), near)
        return out

    def speed(self, t: Floats) -> Floats:
        """Return dp/dt."""
        out: Floats = expit(t) * expit(-t)
        return out


class TwoArms(NamedTuple):
    """What is known of arms A and B.

    probability
        P(B > A).
    loss_keep
        Expected loss of staying with A, E[(B - A)+].
    loss_ship
        Expected loss of going to B, E[(A - B)+].
    """

    probability: float
    loss_keep: float
    loss_ship: float


def compare_rates(a: Beta, b: Beta) -> TwoArms:
    r"""Return P(B > A) and both expected losses.

    Where one of the four parameters is a whole number, the probability is a finite sum of terms

    .. math:: P(B > A) = \sum_{i=0}^{a_B - 1}
              \frac{B(a_A + i, b_A + b_B)}{(b_B + i) B(1 + i, b_B) B(a_A, b_A)}

    (Miller 2014, https://www.evanmiller.org/bayesian-ab-testing.html), over the shortest of the
    four sums that symmetry allows; else quadrature. The losses are
    :math:`E[(B-A)^+] = m_B P(B' > A) - m_A P(B > A')` with a' = a + 1.

    Raises
    ------
    FitError
        A parameter is not above 0, or not finite.

    Examples
    --------
    49 of 100 against 51 of 100, uniform priors:

    >>> arms = compare_rates(Beta(50, 52), Beta(52, 50))
    >>> f"{arms.probability:.10f} {arms.loss_keep:.10f} {arms.loss_ship:.10f}"
    '0.6107705227 0.0387243043 0.0191164612'
    """
    _check(a)
    _check(b)
    probability = probability_b_beats_a(a, b)
    if probability is None:
        return _by_quadrature(a, b)
    keep, ship = _loss(a, b), _loss(b, a)
    if keep is None or ship is None or min(keep, ship) < _LOSS_LEAST * max(a.mean, b.mean):
        keep, ship = _by_quadrature(a, b)[1:]
    return TwoArms(probability, keep, ship)


def probability_b_beats_a(a: Beta, b: Beta) -> float | None:
    """Return P(B > A) as a finite sum; None where no parameter is a (small) whole number."""
    ways = (
        (b.a, a, b, False),
        (a.a, b, a, True),
        (a.b, Beta(b.b, b.a), Beta(a.b, a.a), False),
        (b.b, Beta(a.b, a.a), Beta(b.b, b.a), True),
    )
    whole = [way for way in ways if way[0] == round(way[0]) and way[0] <= _TERMS_MAX]
    if not whole:
        return None
    _, one, other, is_complement = min(whole, key=lambda way: way[0])
    total = _sum(one, other)
    return 1 - total if is_complement else total


def _sum(a: Beta, b: Beta) -> float:
    """Sum Miller's terms in logs; the first from rising factorials, the rest from their ratios."""
    first = rising_log(b.b, a.b) - rising_log(b.b, a.a + a.b) - b.b * math.log1p(a.a / a.b)
    i = np.arange(b.a - 1)
    ratios = -np.log1p((a.b + b.b) / (a.a + i)) + np.log1p((b.b - 1) / (i + 1))
    logs = float(first) + np.concatenate(([0.0], np.cumsum(ratios)))
    return min(1.0, math.fsum(np.exp(logs)))


def _loss(a: Beta, b: Beta) -> float | None:
    """Return E[(B - A)+] from two probabilities."""
    gained = probability_b_beats_a(a, Beta(b.a + 1, b.b))
    lost = probability_b_beats_a(Beta(a.a + 1, a.b), b)
    return None if gained is None or lost is None else b.mean * gained - a.mean * lost


def _by_quadrature(a: Beta, b: Beta) -> TwoArms:
    best = best_of((a, b))
    return TwoArms(float(best.probability[1]), float(best.loss[0]), float(best.loss[1]))


def _check(arm: Beta) -> None:
    if not (0 < arm.a < math.inf and 0 < arm.b < math.inf):
        raise FitError(f"a Beta posterior needs parameters above 0, got {arm.a} and {arm.b}")


def _log_height(few: float, many: float) -> float:
    """Return ln p^a q^b/B(a, b) at p = a/(a + b): by Stirling, as ln B has no digits to spare."""
    total = few + many
    if few >= _LARGE:
        excess = stirling(total) - stirling(few) - stirling(many)
        return 0.5 * math.log(few / total * many / (2 * math.pi)) + excess
    # lnΓ(many + few) - lnΓ(many) = R(few, many) + few ln many.
    rise = float(rising_log(few, many)) - math.lgamma(few) + few * math.log(few)
    return rise - total * math.log1p(few / many)


def stirling(z: float) -> float:
    """Return lnΓ(z) less (z - ½) ln z - z + ½ ln 2π, for z of 30 and more."""
    inverse = 1 / z
    return inverse * (1 / 12 - inverse**2 * (1 / 360 - inverse**2 / 1260))
