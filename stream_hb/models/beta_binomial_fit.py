"""Fits of the Beta-Binomial's hyperparameters: moments and maximum marginal likelihood."""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.special import expit, logit, xlogy

from stream_hb.models.modes import MOST_BY_MOMENTS, Best, Surface, best_mode
from stream_hb.models.pool import groups_of
from stream_hb.models.special import rising_log, rising_log_derivatives
from stream_hb.statistics.binned import BinnedSummary
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.counts_summary import CountsSummary, CountsTotals
from stream_hb.statistics.measure import Measure
from stream_hb.statistics.summary import ExactSummary

_LEAST_CONCENTRATION = 1e-3

Pool = Counts | ExactSummary[Counts] | BinnedSummary[Counts]
"""Groups, or a summary of them."""


def totals_of(pool: Pool) -> CountsTotals:
    """Return the sums over the groups."""
    if isinstance(pool, CountsSummary):
        return pool.totals
    return CountsTotals.of(groups_of(pool))


def pooled_mean(pool: Pool) -> float:
    """Return the successes of all groups over their trials."""
    totals = totals_of(pool)
    return totals.successes / totals.trials


def concentration_by_moments(pool: Pool) -> float:
    """Return the concentration that explains the variance of the groups' successes.

    E[Σ(y - nm)²/(m(1-m)) - Σn] = Σn(n-1)/(κ + 1), the left side being twice Tarone's score;
    infinite where the groups vary no more than the binomial does.
    """
    totals = totals_of(pool)
    pairs = totals.successes2 + 2 * totals.products + totals.failures2 - totals.trials
    excess = 2 * tarone_score(pool)
    if pairs == 0 or pairs >= MOST_BY_MOMENTS * excess:
        return math.inf
    return max(pairs / excess - 1, _LEAST_CONCENTRATION)


def tarone_score(pool: Pool) -> float:
    """Return the score at 1/κ = 0, positive where the groups differ beyond binomial variance.

    ½[Σy(y-1)/m + Σf(f-1)/(1-m) - Σn(n-1)] (Tarone 1979, doi:10.1093/biomet/66.3.585), written as
    ½[Σ(y - nm)²/(m(1-m)) - Σn], which does not cancel; 0 where m is 0 or 1.
    """
    totals = totals_of(pool)
    m, q = totals.successes / totals.trials, totals.failures / totals.trials
    if not (m > 0 and q > 0):
        return 0.0
    # y - nm = y(1-m) - fm
    squares = q / m * totals.successes2 - 2 * totals.products + m / q * totals.failures2
    return (squares - totals.trials) / 2


def log_likelihood(pool: Pool, mean: float, concentration: float) -> float:
    """Return the marginal log-likelihood with its binomial coefficients.

    Σ ln C(n, y) + Σy ln m + Σf ln(1-m) + ΣR(y, mκ) + ΣR(f, (1-m)κ) - ΣR(n, κ), f = n - y.
    """
    return BetaBinomialMarginal.of(pool).log_likelihood(mean, concentration)


def maximise(marginal: "BetaBinomialMarginal") -> tuple[float, float, Best]:
    """Return mean and concentration at the maximum of the marginal likelihood."""
    if not (marginal.total_successes and marginal.total_failures):
        return marginal.pooled, math.inf, Best(None, bimodal=False, iterations=0)
    best = best_mode(marginal)
    if best.mode is None:
        return marginal.pooled, math.inf, best
    location, log_concentration = best.mode.point
    return float(expit(location)), math.exp(log_concentration), best


@dataclass(frozen=True, slots=True)
class BetaBinomialMarginal:
    """Marginal log-likelihood above complete pooling, in (logit mean, log concentration).

    It depends on the groups through one-dimensional measures only. R(1, c) = 0, so single trials
    are left out of them: they say nothing about the concentration.

    Attributes
    ----------
    successes, failures, trials
        Measures of y, f = n - y and n, without ones.
    successes_by_trials, groups_by_trials
        Measures of n weighted by y, and of n: they give the ridge its location.
    total_successes, total_failures
        Σy and Σf; a climb needs both positive, :meth:`values` does not.
    score_at_limit
        Tarone's score.
    log_coefficients
        Σ ln C(n, y).
    """

    successes: Measure
    failures: Measure
    trials: Measure
    successes_by_trials: Measure
    groups_by_trials: Measure
    total_successes: float
    total_failures: float
    score_at_limit: float
    log_coefficients: float

    @classmethod
    def of(cls, pool: Pool) -> Self:
        """Measure the groups, or read their summary."""
        measures = _binned(pool) if isinstance(pool, CountsSummary) else _exact(groups_of(pool))
        successes, failures, trials, successes_by_trials, groups_by_trials = measures
        totals = totals_of(pool)
        return cls(
            successes.without_ones(),
            failures.without_ones(),
            trials.without_ones(),
            successes_by_trials,
            groups_by_trials,
            totals.successes,
            totals.failures,
            tarone_score(pool),
            totals.log_coefficients,
        )

    @property
    def pooled(self) -> float:
        """The pooled mean."""
        return self.total_successes / (self.total_successes + self.total_failures)

    @property
    def at_pooling(self) -> float:
        """The log-likelihood, with all constants, that the other values are above.

        That of complete pooling with the pooled mean.
        """
        return self._binomial_log_likelihood(self.pooled)

    def log_likelihood(self, mean: float, concentration: float) -> float:
        """Return the log-likelihood with all its constants; an infinite concentration pools."""
        binomial = self._binomial_log_likelihood(mean)
        if math.isinf(concentration):
            return binomial
        a, b = mean * concentration, (1 - mean) * concentration
        differing = (
            (self.successes.total(rising_log(self.successes.x, a)) if a > 0 else 0.0)
            + (self.failures.total(rising_log(self.failures.x, b)) if b > 0 else 0.0)
            - self.trials.total(rising_log(self.trials.x, concentration))
        )
        return binomial + float(differing)

    def _binomial_log_likelihood(self, mean: float) -> float:
        y, f = self.total_successes, self.total_failures
        return float(self.log_coefficients + xlogy(y, mean) + xlogy(f, 1 - mean))

    @property
    def is_flat(self) -> bool:
        """Whether no group has two trials to compare."""
        return len(self.trials.x) == 0

    def condensed(self) -> Self:
        """Return the same function of condensed measures."""
        return replace(
            self,
            successes=self.successes.condensed(),
            failures=self.failures.condensed(),
            trials=self.trials.condensed(),
            successes_by_trials=self.successes_by_trials.condensed(),
            groups_by_trials=self.groups_by_trials.condensed(),
        )

    def ridge(self, log_concentrations: Floats) -> tuple[Floats, Floats]:
        """Take the mean with the weights n/(κ + n), which are the best among linear ones."""
        concentration = np.exp(log_concentrations)[:, np.newaxis]
        ny, nj = self.successes_by_trials, self.groups_by_trials
        mean = ny.total(1 / (concentration + ny.x)) / nj.total(nj.x / (concentration + nj.x))
        differing = (
            self.successes.total(rising_log(self.successes.x, mean[:, np.newaxis] * concentration))
            + self.failures.total(
                rising_log(self.failures.x, (1 - mean)[:, np.newaxis] * concentration)
            )
            - self.trials.total(rising_log(self.trials.x, concentration))
        )
        location = logit(mean)
        return location, self._binomial(location) + differing

    def values(self, location: Floats, log_concentration: Floats) -> Floats:
        """Return the values at nodes (logit mean, log concentration), by broadcasting.

        >>> marginal = BetaBinomialMarginal.of(Counts(np.array([2.0, 0.0]), np.array([4.0, 4.0])))
        >>> marginal.values(np.array([[-1.0], [0.0]]), np.array([0.0, 1.0, 20.0])).round(3)
        array([[-0.14 ,  0.07 , -0.007],
               [-0.551, -0.539, -1.046]])
        """
        location, concentration = np.asarray(location), np.exp(log_concentration)
        return (
            self._binomial(location)
            + self.successes.integrals(rising_log, expit(location) * concentration)
            + self.failures.integrals(rising_log, expit(-location) * concentration)
            - self.trials.integrals(rising_log, concentration)
        )

    def surface(self, point: Floats) -> Surface:
        """Return value, gradient and Hessian at (logit mean, log concentration)."""
        location, concentration = point[0], math.exp(point[1])
        m, q = float(expit(location)), float(expit(-location))
        a, a1, a2 = _log_derivatives(self.successes, m * concentration)
        b, b1, b2 = _log_derivatives(self.failures, q * concentration)
        n, n1, n2 = _log_derivatives(self.trials, concentration)
        total = self.total_successes + self.total_failures
        slope = self.total_successes * q - self.total_failures * m + q * a1 - m * b1
        curve = q**2 * a2 + m**2 * b2 - m * q * (total + a1 + b1)
        cross = q * a2 - m * b2
        return Surface(
            float(self._binomial(location)) + a + b - n,
            np.array([slope, a1 + b1 - n1]),
            np.array([[curve, cross], [cross, a2 + b2 - n2]]),
        )

    def _binomial(self, location: Floats) -> Floats:
        """Return Σy ln m + Σf ln(1-m), less its value at the pooled mean."""
        y, f = self.total_successes, self.total_failures
        return _times_log(y, location, y / (y + f)) + _times_log(f, -location, f / (y + f))


_Measures = tuple[Measure, Measure, Measure, Measure, Measure]


def _exact(groups: Counts) -> _Measures:
    y, n = groups.successes, groups.trials
    return Measure.of(y), Measure.of(n - y), Measure.of(n), Measure.of(n, y), Measure.of(n)


def _binned(summary: CountsSummary) -> _Measures:
    nodes, (_, by_successes) = summary.trials.weighing()
    trials = summary.trials.counting()
    return (
        summary.successes.counting(),
        summary.failures.counting(),
        trials,
        Measure(nodes, by_successes),
        trials,
    )


def _times_log(count: float, location: Floats, share: float) -> Floats:
    """Return count·(ln expit(location) - ln share), 0 where nothing was counted."""
    if count == 0:
        return np.zeros_like(location, dtype=np.float64)
    away: Floats = count * (-np.logaddexp(0, -location) - math.log(share))
    return away


def _log_derivatives(measure: Measure, c: float) -> tuple[float, float, float]:
    """Return ΣR(x, c) with its first and second derivative in ln c."""
    value, first, second = (float(measure.total(v)) for v in rising_log_derivatives(measure.x, c))
    return value, first, first + second
