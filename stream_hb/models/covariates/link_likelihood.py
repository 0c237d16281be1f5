"""Marginal likelihoods of counts whose prior mean is a regression on the link scale.

Beta-Binomial: logit m_j = x_j'β, θ_j ~ Beta(m_j κ, (1 - m_j)κ). Gamma-Poisson: log μ_j = x_j'β,
θ_j ~ Gamma(a, a/μ_j), which is negative binomial regression. The concentration (κ or a) is one for
all groups, as VGAM's ``betabinomial(zero = "rho")`` and MASS's ``glm.nb`` have it: two groups
of different means differ by less than their means, and the weight on the pooled mean of a
Beta-Binomial group still depends on its trials alone.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import numpy as np
from scipy.special import expit, gammaln, log_expit, xlogy

from stream_hb.models.covariates.ascent import Surfaces
from stream_hb.models.special import log1p_minus, rising_log, rising_log_derivatives
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure


class Slopes(NamedTuple):
    """A group's log-likelihood with its derivatives in (linear predictor η, log concentration t).

    Arrays of shape (nodes, groups).
    """

    value: Floats
    eta: Floats
    t: Floats
    eta_eta: Floats
    eta_t: Floats
    t_t: Floats


class LinkLikelihood(Protocol):
    """A pool of counts with its design."""

    @property
    def rows(self) -> Floats:
        """Columns of the design, shape (groups, d)."""
        ...

    @property
    def constant(self) -> float:
        """What the log-likelihood has besides, whatever the parameters."""
        ...

    @property
    def pooled_link(self) -> float:
        """The pooled mean on the link scale; finite, by Jeffreys' half count where need be."""
        ...

    @property
    def is_extreme(self) -> bool:
        """Whether no trial, or every one, was a success: no regression has a finite maximum."""
        ...

    def at(self, eta: Floats, log_concentration: Floats) -> Slopes:
        """Return value and derivatives; shapes (nodes, groups) and (nodes, 1)."""
        ...

    def values(self, eta: Floats, log_concentration: Floats) -> Floats:
        """Return the values alone."""
        ...

    def at_limit(self, eta: Floats) -> tuple[Floats, Floats, Floats]:
        """Return value and two derivatives in η where the concentration is infinite."""
        ...

    def score_at_limit(self, eta: Floats) -> float:
        """Return the derivative in 1/concentration there: positive where groups differ."""
        ...

    def unit_variance(self, location: Floats) -> Floats:
        """Return m(1-m) for rates, 1 for events: 1/(s² it) is the concentration."""
        ...


@dataclass(frozen=True, slots=True)
class BetaBinomialRegression:
    """Successes y in n trials.

    Attributes
    ----------
    rows
        Columns of the design, shape (groups, d).
    successes, failures
        y and f = n - y, shape (groups,).
    constant
        Σ ln C(n, y).
    """

    rows: Floats
    successes: Floats
    failures: Floats
    constant: float

    @classmethod
    def of(cls, groups: Counts, rows: Floats) -> Self:
        """Take the groups with their design."""
        y, n = groups.successes, groups.trials
        constant = (gammaln(n + 1) - gammaln(y + 1) - gammaln(n - y + 1)).sum()
        return cls(rows, y, n - y, float(constant))

    @property
    def pooled_link(self) -> float:
        """Logit of the pooled rate."""
        half = 0.5 if self.is_extreme else 0.0
        return math.log((self.successes.sum() + half) / (self.failures.sum() + half))

    @property
    def is_extreme(self) -> bool:
        """Whether there is no success or no failure at all."""
        return not (self.successes.any() and self.failures.any())

    def at(self, eta: Floats, log_concentration: Floats) -> Slopes:
        """Return value and derivatives in (logit m, ln κ)."""
        y, f, c = self.successes, self.failures, np.exp(log_concentration)
        m, q = expit(eta), expit(-eta)
        a, a1, a2 = _in_log(y, np.maximum(m * c, 1e-300))
        b, b1, b2 = _in_log(f, np.maximum(q * c, 1e-300))
        n, n1, n2 = _in_log(y + f, np.broadcast_to(c, eta.shape))
        return Slopes(
            y * log_expit(eta) + f * log_expit(-eta) + a + b - n,
            q * (y + a1) - m * (f + b1),
            a1 + b1 - n1,
            q**2 * a2 + m**2 * b2 - m * q * (y + f + a1 + b1),
            q * a2 - m * b2,
            a2 + b2 - n2,
        )

    def values(self, eta: Floats, log_concentration: Floats) -> Floats:
        """Return y ln m + f ln(1-m) + R(y, mκ) + R(f, (1-m)κ) - R(n, κ)."""
        y, f, c = self.successes, self.failures, np.exp(log_concentration)
        a, b = (np.maximum(expit(e) * c, 1e-300) for e in (eta, -eta))
        differing = rising_log(y, a) + rising_log(f, b) - rising_log(y + f, c)
        values: Floats = y * log_expit(eta) + f * log_expit(-eta) + differing
        return values

    def at_limit(self, eta: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the binomial's, a logistic regression."""
        y, f = self.successes, self.failures
        m, q = expit(eta), expit(-eta)
        value = y * log_expit(eta) + f * log_expit(-eta)
        return value, y * q - f * m, -m * q * (y + f)

    def score_at_limit(self, eta: Floats) -> float:
        """Return ½Σ[y(y-1)/m + f(f-1)/(1-m) - n(n-1)], which is Tarone's without covariates."""
        y, f = self.successes, self.failures
        m, q = expit(eta), expit(-eta)
        n = y + f
        # Written so that it does not cancel: (y - nm)²/(m(1-m)) is y²/m + f²/(1-m) - n².
        each = (y * q - f * m) ** 2 / (m * q) - y / m - f / q + n
        return float(each.sum() / 2)

    def unit_variance(self, location: Floats) -> Floats:
        """Return m(1-m)."""
        variance: Floats = expit(location) * expit(-location)
        return variance


@dataclass(frozen=True, slots=True)
class GammaPoissonRegression:
    """Events y in exposure t.

    Attributes
    ----------
    rows
        Columns of the design, shape (groups, d).
    events, exposure
        y and t, shape (groups,).
    constant
        Σ [y ln t - ln y!].
    """

    rows: Floats
    events: Floats
    exposure: Floats
    constant: float

    @classmethod
    def of(cls, groups: Exposure, rows: Floats) -> Self:
        """Take the groups with their design."""
        y, t = groups.events, groups.exposure
        return cls(rows, y, t, float((xlogy(y, t) - gammaln(y + 1)).sum()))

    @property
    def pooled_link(self) -> float:
        """Log of the pooled rate."""
        return math.log((self.events.sum() or 0.5) / self.exposure.sum())

    @property
    def is_extreme(self) -> bool:
        """Whether there is no event at all."""
        return not self.events.any()

    def at(self, eta: Floats, log_concentration: Floats) -> Slopes:
        """Return value and derivatives in (ln μ, ln a)."""
        y, a = self.events, np.exp(log_concentration)
        r = self.exposure * np.exp(eta - log_concentration)
        p, less = r / (1 + r), log1p_minus(r)
        rise, rise1, rise2 = _in_log(y, np.broadcast_to(a, eta.shape))
        spread = y * p * (1 - p)
        return Slopes(
            y * eta - self.exposure * np.exp(eta) + rise - a * less - y * np.log1p(r),
            y * (1 - p) - a * p,
            rise1 - a * (less + r * p) + y * p,
            -a * p * (1 - p) - spread,
            spread - a * p * p,
            rise2 - a * (less + r * p * p) - spread,
        )

    def values(self, eta: Floats, log_concentration: Floats) -> Floats:
        """Return y ln μ - tμ + R(y, a) - a[ln(1+r) - r] - y ln(1+r) with r = tμ/a."""
        y, a = self.events, np.exp(log_concentration)
        r = self.exposure * np.exp(eta - log_concentration)
        poisson = y * eta - self.exposure * np.exp(eta)
        values: Floats = poisson + rising_log(y, a) - a * log1p_minus(r) - y * np.log1p(r)
        return values

    def at_limit(self, eta: Floats) -> tuple[Floats, Floats, Floats]:
        """Return Poisson's, a Poisson regression."""
        expected = self.exposure * np.exp(eta)
        return self.events * eta - expected, self.events - expected, -expected

    def score_at_limit(self, eta: Floats) -> float:
        """Return ½Σ[(y - tμ)² - y]."""
        y = self.events
        return float((((y - self.exposure * np.exp(eta)) ** 2) - y).sum() / 2)

    def unit_variance(self, location: Floats) -> Floats:
        """Return 1: the spread is the coefficient of variation itself."""
        return np.ones_like(location)


def surfaces(likelihood: LinkLikelihood, points: Floats) -> Surfaces:
    """Return the log-likelihood in (β, log concentration), points of shape (n, d + 1)."""
    rows = likelihood.rows
    at = likelihood.at(points[:, :-1] @ rows.T, points[:, -1:])
    size = points.shape[1]
    hessian = np.empty((len(points), size, size))
    hessian[:, :-1, :-1] = _curve(at.eta_eta, rows)
    hessian[:, -1, :-1] = hessian[:, :-1, -1] = at.eta_t @ rows
    hessian[:, -1, -1] = at.t_t.sum(axis=1)
    gradient = np.column_stack([at.eta @ rows, at.t.sum(axis=1)])
    return Surfaces(at.value.sum(axis=1), gradient, hessian)


def limit_surfaces(likelihood: LinkLikelihood, points: Floats) -> Surfaces:
    """Return the log-likelihood in β where the concentration is infinite."""
    rows = likelihood.rows
    value, slope, curve = likelihood.at_limit(points @ rows.T)
    return Surfaces(value.sum(axis=1), slope @ rows, _curve(curve, rows))


def _curve(each: Floats, rows: Floats) -> Floats:
    """Return Σ_j each_j x_j x_j' at every node."""
    products = (rows[:, :, np.newaxis] * rows[:, np.newaxis, :]).reshape(len(rows), -1)
    size = rows.shape[1]
    return (each @ products).reshape(len(each), size, size)


def _in_log(x: Floats, c: Floats) -> tuple[Floats, Floats, Floats]:
    """Return R(x, c) with its first and second derivative in ln c."""
    value, first, second = rising_log_derivatives(x, c)
    return value, first, first + second
