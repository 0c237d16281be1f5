"""Fits of the Gamma-Poisson's hyperparameters: moments and maximum marginal likelihood."""

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from scipy.special import xlogy

from stream_hb.models.modes import MOST_BY_MOMENTS, Best, Surface, best_mode
from stream_hb.models.pool import groups_of
from stream_hb.models.special import log1p_minus, rising_log, rising_log_derivatives
from stream_hb.statistics.binned import BinnedSummary
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.exposure_summary import ExposureSummary, ExposureTotals
from stream_hb.statistics.measure import Measure
from stream_hb.statistics.summary import ExactSummary

_FAR = 3.0
"""In ln μ above the pooled rate."""

Pool = Exposure | ExactSummary[Exposure] | BinnedSummary[Exposure]
"""Groups, or a summary of them."""


def totals_of(pool: Pool) -> ExposureTotals:
    """Return the sums over the groups."""
    if isinstance(pool, ExposureSummary):
        return pool.totals
    return ExposureTotals.of(groups_of(pool))


def pooled_rate(pool: Pool) -> float:
    """Return the events of all groups over their exposure."""
    totals = totals_of(pool)
    return totals.events / totals.exposure


def shape_by_moments(pool: Pool) -> float:
    """Return the shape that explains the variance of the groups' events.

    E[Σ(y - tμ)² - Σy] = μ²Σt²/a; infinite where the counts vary no more than Poisson's.
    """
    excess = 2 * dispersion_score(pool)
    expected = pooled_rate(pool) ** 2 * totals_of(pool).exposure2
    return math.inf if expected >= MOST_BY_MOMENTS * excess else expected / excess


def dispersion_score(pool: Pool) -> float:
    """Return the score at 1/a = 0, ½[Σ(y - tμ)² - Σy]: positive where the rates differ."""
    totals = totals_of(pool)
    mean = totals.events / totals.exposure
    squares = totals.events2 - mean * (2 * totals.products - mean * totals.exposure2)
    return (squares - totals.events) / 2


def log_likelihood(pool: Pool, mean: float, shape: float) -> float:
    """Return the marginal log-likelihood with all its constants.

    Σ[y ln(tμ) - ln y!] + ΣR(y, a) - Σ(a + y) ln(1 + t/b), b = a/μ.
    """
    return GammaPoissonMarginal.of(pool).log_likelihood(mean, shape)


def maximise(marginal: "GammaPoissonMarginal") -> tuple[float, float, Best]:
    """Return mean and shape at the maximum of the marginal likelihood."""
    if marginal.total_events == 0:
        return 0.0, math.inf, Best(None, bimodal=False, iterations=0)
    best = best_mode(marginal)
    if best.mode is None:
        return marginal.pooled, math.inf, best
    log_mean, log_shape = best.mode.point
    return math.exp(log_mean), math.exp(log_shape), best


@dataclass(frozen=True, slots=True)
class GammaPoissonMarginal:
    """Marginal log-likelihood above complete pooling, in (log mean, log shape).

    Attributes
    ----------
    events
        Measure of y, without ones: R(1, a) = 0.
    exposure, events_by_exposure
        Measures of t, and of t weighted by y.
    total_events, total_exposure
        Σy and Σt; a climb needs both positive, :meth:`values` does not need events.
    score_at_limit
        The score where the shape is infinite.
    log_coefficients
        Σ(y ln t - ln y!).
    """

    events: Measure
    exposure: Measure
    events_by_exposure: Measure
    total_events: float
    total_exposure: float
    score_at_limit: float
    log_coefficients: float

    @classmethod
    def of(cls, pool: Pool) -> Self:
        """Measure the groups, or read their summary."""
        measures = _binned(pool) if isinstance(pool, ExposureSummary) else _exact(groups_of(pool))
        events, exposure, events_by_exposure = measures
        totals = totals_of(pool)
        return cls(
            events.without_ones(),
            exposure,
            events_by_exposure,
            totals.events,
            totals.exposure,
            dispersion_score(pool),
            totals.log_coefficients,
        )

    @property
    def pooled(self) -> float:
        """The pooled rate."""
        return self.total_events / self.total_exposure

    @property
    def at_pooling(self) -> float:
        """The log-likelihood, with all constants, that the other values are above.

        That of complete pooling with the pooled rate.
        """
        return self.log_likelihood(self.pooled, math.inf)

    def log_likelihood(self, mean: float, shape: float) -> float:
        """Return the log-likelihood with all its constants; an infinite shape pools."""
        poisson = self.log_coefficients + float(xlogy(self.total_events, mean))
        poisson -= mean * self.total_exposure
        if math.isinf(shape):
            return poisson
        r, s = self.exposure.x * (mean / shape), self.events_by_exposure.x * (mean / shape)
        differing = (
            self.events.total(rising_log(self.events.x, shape))
            - shape * self.exposure.total(log1p_minus(r))
            - self.events_by_exposure.total(np.log1p(s))
        )
        return poisson + float(differing)

    @property
    def is_flat(self) -> bool:
        """Never: events of one group alone already compare with Poisson's variance."""
        return False

    def condensed(self) -> Self:
        """Return the same function of condensed measures."""
        return replace(
            self,
            events=self.events.condensed(),
            exposure=self.exposure.condensed(),
            events_by_exposure=self.events_by_exposure.condensed(),
        )

    def ridge(self, log_concentrations: Floats) -> tuple[Floats, Floats]:
        """Take the mean with the weights t/(1 + tμ/a), improved once from the pooled rate."""
        shape = np.exp(log_concentrations)[:, np.newaxis]
        t, y = self.exposure, self.events_by_exposure
        mean = np.full_like(shape, self.total_events / self.total_exposure)
        for _ in range(2):
            scale = mean / shape
            mean = (y.total(1 / (1 + y.x * scale)) / t.total(t.x / (1 + t.x * scale)))[
                :, np.newaxis
            ]
        r, s = t.x * (mean / shape), y.x * (mean / shape)
        differing = (
            self.events.total(rising_log(self.events.x, shape))
            - shape[:, 0] * t.total(log1p_minus(r))
            - y.total(np.log1p(s))
        )
        location = np.log(mean[:, 0])
        return location, self._poisson(location) + differing

    def values(self, location: Floats, log_concentration: Floats) -> Floats:
        """Return the values at nodes (log mean, log shape), by broadcasting.

        >>> marginal = GammaPoissonMarginal.of(Exposure(np.array([6.0, 0.0]), np.array([1.0, 1.0])))
        >>> marginal.values(np.array([[0.0], [1.0]]), np.array([0.0, 1.0, 20.0])).round(3)
        array([[ 0.442, -0.618, -2.592],
               [ 1.481,  1.038, -0.028]])
        """
        location, shape = np.asarray(location), np.exp(log_concentration)
        scale = np.exp(location) / shape
        far = self._is_far(location)
        near = self._near(location, shape, scale) if not far.all() else 0.0
        other = self._far(location, shape, scale) if far.any() else 0.0
        return (
            np.where(far, other, near)
            + self.events.integrals(rising_log, shape)
            - self.events_by_exposure.integrals(_log1p_product, scale)
        )

    def _is_far(self, location: Floats) -> Any:
        """Whether a rate is so high that μΣt, taken from both sides of a difference, hides it."""
        if self.total_events == 0:
            return np.ones_like(location, dtype=np.bool_)
        return location - math.log(self.pooled) > _FAR

    def _near(self, location: Floats, shape: Floats, scale: Floats) -> Floats:
        """Return Σy ln μ - aΣ ln(1 + t/b) above complete pooling, as Poisson's and the rest."""
        differing: Floats = shape * self.exposure.integrals(_log1p_minus_product, scale)
        return self._poisson(location) - differing

    def _far(self, location: Floats, shape: Floats, scale: Floats) -> Floats:
        """Return the same by its logarithms themselves."""
        pooling = self.total_events
        away = location - math.log(self.pooled) if pooling else np.zeros_like(location)
        logs: Floats = shape * self.exposure.integrals(_log1p_product, scale)
        return pooling * (away + 1) - logs

    def surface(self, point: Floats) -> Surface:
        """Return value, gradient and Hessian at (log mean, log shape)."""
        shape = math.exp(point[1])
        scale = math.exp(point[0]) / shape
        t, y = self.exposure, self.events_by_exposure
        value, first, second = rising_log_derivatives(self.events.x, shape)
        r, s = t.x * scale, y.x * scale
        p, q = r / (1 + r), s / (1 + s)
        less = log1p_minus(r)
        slope = self.total_events - shape * t.total(p) - y.total(q)
        rise = self.events.total(first) - shape * t.total(less + r * p) + y.total(q)
        spread = y.total(q * (1 - q))
        curve = -shape * t.total(p * (1 - p)) - spread
        cross = spread - shape * t.total(p * p)
        bend = self.events.total(first + second) - shape * t.total(less + r * p * p) - spread
        return Surface(
            float(
                self._poisson(point[0])
                + self.events.total(value)
                - shape * t.total(less)
                - y.total(np.log1p(s))
            ),
            np.array([slope, rise]),
            np.array([[curve, cross], [cross, bend]]),
        )

    def _poisson(self, log_mean: Floats) -> Floats:
        """Return Σy ln μ - μΣt, less its value at the pooled rate."""
        if self.total_events == 0:
            return -self.total_exposure * np.exp(log_mean)
        away = log_mean - math.log(self.total_events / self.total_exposure)
        return self.total_events * (away - np.expm1(away))


def _exact(groups: Exposure) -> tuple[Measure, Measure, Measure]:
    y, t = groups.events, groups.exposure
    return Measure.of(y), Measure.of(t), Measure.of(t, y)


def _binned(summary: ExposureSummary) -> tuple[Measure, Measure, Measure]:
    nodes, (_, by_events) = summary.exposure.weighing()
    return summary.events.counting(), summary.exposure.counting(), Measure(nodes, by_events)


def _log1p_minus_product(x: Floats, scale: Floats) -> Floats:
    return log1p_minus(x * scale)


def _log1p_product(x: Floats, scale: Floats) -> Floats:
    product: Floats = np.log1p(x * scale)
    return product
