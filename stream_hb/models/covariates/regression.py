"""Weighted least squares of the groups' means on their covariates, at a variance between groups.

ȳ_j ~ N(x_j'β, v_j + τ²): given τ² the best β is (X'WX)⁻¹X'Wȳ with W = 1/(v + τ²). Every estimator
of τ² reads a few sums of that regression; an exact pool and a summary both answer them.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import numpy as np

from stream_hb.errors import FitError
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured


class Regression(NamedTuple):
    """What is known at one τ²; d = 1 + p coefficients.

    beta
        The coefficients, shape (d,).
    covariance
        Theirs, (X'WX)⁻¹.
    log_det
        ln det X'WX.
    log_weight
        Σ ln w.
    total
        Σw.
    contrast
        tr P = Σw - tr (X'WX)⁻¹X'W²X: what is left of the sum once β has been estimated.
    q, q_slope
        Σw r² and Σw² r² with the residuals r.
    """

    beta: Floats
    covariance: Floats
    log_det: float
    log_weight: float
    total: float
    contrast: float
    q: float
    q_slope: float


class Unweighted(NamedTuple):
    """Ordinary least squares: the squares Σr², the trace tr (I - H)V, and ln det X'X."""

    squares: float
    trace: float
    log_det: float


class RegressionPool(Protocol):
    """A pool of means with their covariates, whatever it keeps."""

    @property
    def groups_count(self) -> int:
        """Groups with data."""
        ...

    @property
    def coefficients_count(self) -> int:
        """Coefficients d of the prior mean, the intercept among them."""
        ...

    @property
    def least_variance(self) -> float:
        """Smallest sampling variance: the likelihood is linear in τ² far below it."""
        ...

    @property
    def median_se(self) -> float:
        """Median standard error of the means; of two middle ones their mean."""
        ...

    def at(self, tau2: float) -> Regression:
        """Regress with the weights 1/(v + τ²)."""
        ...

    def unweighted(self) -> Unweighted:
        """Regress with equal weights."""
        ...


@dataclass(frozen=True, slots=True)
class ExactRegressionPool:
    """The groups themselves.

    Attributes
    ----------
    rows
        Columns of the design, shape (groups, d).
    mean, variance
        The groups' means and sampling variances.
    """

    rows: Floats
    mean: Floats
    variance: Floats

    @classmethod
    def of(cls, groups: Measured, rows: Floats) -> Self:
        """Pool measured groups; the most precise comes first."""
        # Householder's QR keeps the digits of the light rows only if the heavy ones precede them.
        order = np.argsort(groups.variance, kind="stable")
        return cls(rows[order], groups.mean[order], groups.variance[order])

    @property
    def groups_count(self) -> int:
        """Groups with data."""
        return len(self.mean)

    @property
    def coefficients_count(self) -> int:
        """Coefficients of the prior mean."""
        return int(self.rows.shape[1])

    @property
    def least_variance(self) -> float:
        """Smallest sampling variance."""
        return float(self.variance[0])

    @property
    def median_se(self) -> float:
        """Median standard error of the means; of two middle ones their mean."""
        return float(np.median(np.sqrt(self.variance)))

    def at(self, tau2: float) -> Regression:
        """Regress with the weights 1/(v + τ²)."""
        weight = 1 / (self.variance + tau2)
        basis, inverse, log_det = _factors(self.rows * np.sqrt(weight)[:, np.newaxis])
        # About the heaviest group nothing cancels, whatever the means' distance from zero.
        origin = self.mean[0]
        away = self.mean - origin
        beta = inverse @ (basis.T @ (np.sqrt(weight) * away))
        residual = away - self.rows @ beta
        beta[0] += origin
        left = np.maximum(1 - (basis**2).sum(axis=1), 0.0)
        return Regression(
            beta,
            inverse @ inverse.T,
            log_det,
            float(np.log(weight).sum()),
            float(weight.sum()),
            float((weight * left).sum()),
            float((weight * residual**2).sum()),
            float(((weight * residual) ** 2).sum()),
        )

    def unweighted(self) -> Unweighted:
        """Regress with equal weights."""
        basis, _, log_det = _factors(self.rows)
        away = self.mean - self.mean[0]
        residual = away - basis @ (basis.T @ away)
        left = np.maximum(1 - (basis**2).sum(axis=1), 0.0)
        return Unweighted(float((residual**2).sum()), float((left * self.variance).sum()), log_det)


def _factors(rows: Floats) -> tuple[Floats, Floats, float]:
    """Return Q, R⁻¹ and ln det R'R of the rows' QR."""
    basis, triangle = np.linalg.qr(rows)
    diagonal = np.abs(np.diag(triangle))
    if diagonal.min() <= 1e-14 * diagonal.max():
        raise FitError("the heavy groups alone do not tell the covariates apart: leave some out")
    inverse = np.linalg.solve(triangle, np.eye(len(triangle)))
    return basis, inverse, 2 * math.fsum(np.log(diagonal))
