"""Every region's log-likelihood as a function of its rate's link, tabulated at one concentration.

The likelihood of a region depends on the chain's location η and the region's effect u only through
η + u. So it is computed once per concentration on a grid about the region's own estimate, and a
quintic spline of it is then integrated over u for any (η, ω), stores not being looked at again.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from stream_hb.models.nested.count_stores import CountModel
from stream_hb.models.nested.layout import Layout
from stream_hb.statistics.columns import Floats

_REACH = 10.0
"""Half-width of the tables in standard errors of the region's estimate."""

_DROP_NATS = 200.0
_BISECTIONS = 7
_DEGREE = 5
_WIDTH_MOST = 2.5
"""A region that says little is tabulated as if its standard error were this, on the link scale."""

_HERMITE_NODES = 15
_NEWTON_STEPS = 5
_LEAST_OMEGA = 1e-6


class Effects(NamedTuple):
    """Regions' effects integrated out at P points (η, ω): arrays of shape (P, regions).

    Attributes
    ----------
    log_integral
        ln ∫ N(u; 0, ω²) L(η + u) du.
    slope, curvature
        Its first and second derivative in η.
    mean, variance
        Posterior mean and variance of the region's rate.
    """

    log_integral: Floats
    slope: Floats
    curvature: Floats
    mean: Floats
    variance: Floats


@dataclass(frozen=True, slots=True)
class RegionTable:
    """Piecewise polynomials of every region's log-likelihood.

    Attributes
    ----------
    model
        The family.
    estimate, error
        Each region's own estimate and about its standard error, on the link scale; (regions,).
    centre, width
        Where each region's table lies and its unit; shape (regions,).
    step
        Distance of the knots, in units.
    coefficients
        Taylor's coefficients at each knot, in units: shape (6, knots, regions).
    """

    model: CountModel
    estimate: Floats
    error: Floats
    centre: Floats
    width: Floats
    step: float
    coefficients: Floats

    @classmethod
    def of(
        cls, model: CountModel, groups: Any, layout: Layout, c: float, knots: int
    ) -> "RegionTable":
        """Tabulate; ``groups`` are sorted as the layout says."""
        from scipy.interpolate import make_interp_spline  # not with every engine

        estimate, error = _centres(model, groups, layout, c)
        left, right = (_reach(model, groups, layout, c, estimate, side * error) for side in (-1, 1))
        width = (left + right) / (2 * _REACH)
        centre = estimate + (right - left) / 2
        z = np.linspace(-_REACH, _REACH, knots)
        values = np.stack(
            [
                layout.sums(model.log_likelihood(groups, layout.spread_out(link), c))
                for link in centre + z[:, np.newaxis] * width
            ]
        )
        spline = make_interp_spline(z, values, k=_DEGREE)
        taylor = [spline(z, order) for order in range(_DEGREE + 1)]
        factors = [math.factorial(order) for order in range(_DEGREE + 1)]
        coefficients = np.stack([t / f for t, f in zip(taylor, factors, strict=True)])
        return cls(model, estimate, error, centre, width, float(z[1] - z[0]), coefficients)

    def at(self, link: Floats) -> tuple[Floats, Floats, Floats]:
        """Return value, slope and curvature at links (..., regions), quadratic off the table."""
        z = (link - self.centre) / self.width
        inside = np.clip(z, -_REACH, _REACH)
        left = ((inside + _REACH) / self.step).astype(np.intp)
        left = np.minimum(left, self.coefficients.shape[1] - 1)
        x = inside + _REACH - left * self.step
        c = self.coefficients[:, left, np.arange(len(self.centre))]
        value, slope, curve = c[-1], np.zeros_like(x), np.zeros_like(x)
        for coefficient in c[-2::-1]:
            curve = curve * x + 2 * slope
            slope = slope * x + value
            value = value * x + coefficient
        off = z - inside
        value, slope = value + slope * off - off**2 / 2, slope - off
        return value, slope / self.width, curve / self.width**2

    def effects(self, location: Floats, omega: Floats) -> Effects:
        """Integrate the effects out by adaptive Gauss-Hermite rules, locations and ω of shape (P,).

        The derivatives are expectations of the table's own (Fisher's identity), which does not
        cancel as ω goes to zero.
        """
        eta, omega = location[:, np.newaxis], np.maximum(omega, _LEAST_OMEGA)[:, np.newaxis]
        mode, sd = self._modes(eta, omega)
        x, weight = np.polynomial.hermite.hermgauss(_HERMITE_NODES)
        link = mode[..., np.newaxis] + math.sqrt(2) * sd[..., np.newaxis] * x
        value, slope, curve = (np.moveaxis(v, 0, -1) for v in self.at(np.moveaxis(link, -1, 0)))
        away = (link - eta[..., np.newaxis]) / omega[..., np.newaxis]
        log_mass = np.log(weight) + x**2 + value - away**2 / 2
        top = log_mass.max(axis=-1, keepdims=True)
        mass = np.exp(log_mass - top)
        total = mass.sum(axis=-1, keepdims=True)
        mass /= total
        log_integral = (top + np.log(total))[..., 0] + np.log(sd / omega) - math.log(math.pi) / 2
        mean_slope, squares = (mass * slope).sum(axis=-1), (mass * (slope**2 + curve)).sum(axis=-1)
        rate = self.model.natural(link)
        mean = (mass * rate).sum(axis=-1)
        variance = (mass * (rate - mean[..., np.newaxis]) ** 2).sum(axis=-1)
        return Effects(log_integral, mean_slope, squares - mean_slope**2, mean, variance)

    def _modes(self, eta: Floats, omega: Floats) -> tuple[Floats, Floats]:
        """Return where each integrand is highest and how wide it is there: Newton's method."""
        precision = omega**-2.0
        own = self.error**-2.0
        link = (eta * precision + self.estimate * own) / (precision + own)
        for _ in range(_NEWTON_STEPS):
            _, slope, curve = self.at(link)
            total = precision + np.maximum(-curve, 0.0)
            step = (slope - (link - eta) * precision) / total
            link = link + np.clip(step, -3 / np.sqrt(total), 3 / np.sqrt(total))
        _, _, curve = self.at(link)
        return link, 1 / np.sqrt(precision + np.maximum(-curve, 0.0))


def _reach(
    model: CountModel, groups: Any, layout: Layout, c: float, estimate: Floats, error: Floats
) -> Floats:
    """Return how far from its estimate each table goes: not where the likelihood is long zero.

    A Poisson's falls as -exp(link), one of successes only by their number times the link: a spline
    over all of that would wave where it matters. The error's sign says to which side.
    """

    def drop(reach: Floats) -> Floats:
        link = layout.spread_out(estimate + np.sign(error) * reach)
        fallen: Floats = top - layout.sums(model.log_likelihood(groups, link, c))
        return fallen

    top = layout.sums(model.log_likelihood(groups, layout.spread_out(estimate), c))
    low, high = np.zeros_like(error), _REACH * np.abs(error)
    high_enough = drop(high) <= _DROP_NATS
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = drop(middle) <= _DROP_NATS
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.where(high_enough, _REACH * np.abs(error), high)


def _centres(model: CountModel, groups: Any, layout: Layout, c: float) -> tuple[Floats, Floats]:
    """Return each region's estimate and its standard error on the link scale, by linear weights."""
    pooled = model.pooled_link(groups)
    rate = model.natural(np.array(pooled))
    known = layout.sums(model.information(groups, rate, c))
    weight = model.information(groups, rate, c) / model.size(groups)
    prior = _WIDTH_MOST**-2.0
    raw = layout.sums(weight * model.events(groups)) / layout.sums(weight * model.size(groups))
    centre = model.link((known * raw + prior * rate) / (known + prior))
    own = layout.sums(model.information(groups, layout.spread_out(model.natural(centre)), c))
    return centre, 1 / np.sqrt(own + prior)
