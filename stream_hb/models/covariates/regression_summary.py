"""Weighted least squares from a pool's summary: what the exact pool answers, at a fixed cost."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from stream_hb.errors import FitError
from stream_hb.models.covariates.design import Design, check_matrix
from stream_hb.models.covariates.normal_fit import Within
from stream_hb.models.covariates.regression import Regression, Unweighted
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.covariate_summary import CovariateSummary


@dataclass(frozen=True, slots=True)
class BinnedRegressionPool:
    """Nodes of the precision with the products of the design's columns and the residual there.

    The residual is that of ordinary least squares: what the weights change is then small, and
    nothing cancels.

    Attributes
    ----------
    precision
        p of each node.
    products
        Σ u u' with u = (1, standardised x, residual), shape (nodes, d + 1, d + 1).
    ordinary
        Coefficients of ordinary least squares, shape (d,).
    log_precision, reciprocal
        Σ ln p and Σ 1/p over the groups.
    groups_count
        Groups with data.
    """

    precision: Floats
    products: Floats
    ordinary: Floats
    log_precision: float
    reciprocal: float
    groups_count: int

    @classmethod
    def of(cls, summary: CovariateSummary, design: Design) -> Self:
        """Change the summary's columns into those of the design."""
        precision, products = summary.nodes()
        size = len(summary.origin) + 1
        change = np.eye(size)
        change[1:-1, 0] = (summary.origin[:-1] - design.centre) / design.scale
        change[1:-1, 1:-1] = np.diag(1 / design.scale)
        total = change @ summary.products @ change.T
        ordinary: Floats = np.linalg.solve(total[:-1, :-1], total[:-1, -1]).astype(np.float64)
        residual = np.eye(size)
        residual[-1, :-1] = -ordinary
        change = residual @ change
        ordinary[0] += summary.origin[-1]
        log_precision, reciprocal = summary.totals[:2].tolist()
        return cls(
            precision,
            change @ products @ change.T,
            ordinary,
            log_precision,
            reciprocal,
            summary.groups_count,
        )

    @property
    def coefficients_count(self) -> int:
        """Coefficients of the prior mean."""
        return len(self.ordinary)

    @property
    def least_variance(self) -> float:
        """Smallest sampling variance."""
        return float(1 / self.precision.max())

    @property
    def median_se(self) -> float:
        """Median standard error of the means, to the width of a bin."""
        # A bin's nodes have masses of both signs, which only together are its groups.
        order = np.argsort(self.precision)
        passed = np.cumsum(self.products[order, 0, 0])
        middle = int(np.argmax(passed >= passed[-1] / 2))
        return float(self.precision[order][middle] ** -0.5)

    def at(self, tau2: float) -> Regression:
        """Regress with the weights 1/(v + τ²)."""
        weight = 1 / (1 / self.precision + tau2)
        once = np.tensordot(weight, self.products, axes=1)
        twice = np.tensordot(weight**2, self.products, axes=1)
        inverse = np.linalg.inv(once[:-1, :-1])
        change = inverse @ once[:-1, -1]
        residual = np.append(-change, 1.0)
        sign, log_det = np.linalg.slogdet(once[:-1, :-1])
        if sign <= 0:
            raise FitError("the covariates cannot be told apart: leave some of them out")
        inflation = float((np.log1p(self.precision * tau2) * self.products[:, 0, 0]).sum())
        return Regression(
            self.ordinary + change,
            (inverse + inverse.T) / 2,
            float(log_det),
            self.log_precision - inflation,
            float(once[0, 0]),
            max(0.0, float(once[0, 0] - np.trace(inverse @ twice[:-1, :-1]))),
            max(0.0, float(residual @ once @ residual)),
            max(0.0, float(residual @ twice @ residual)),
        )

    def unweighted(self) -> Unweighted:
        """Regress with equal weights."""
        total = self.products.sum(axis=0)
        columns = total[:-1, :-1]
        varied = np.tensordot(1 / self.precision, self.products[:, :-1, :-1], axes=1)
        trace = self.reciprocal - float(np.trace(np.linalg.solve(columns, varied)))
        return Unweighted(
            max(0.0, float(total[-1, -1])), trace, float(np.linalg.slogdet(columns)[1])
        )


def design_of(summary: CovariateSummary) -> Design:
    """Centre and scale by the summary's own sums."""
    if summary.groups_count == 0:
        raise FitError("no group has data yet: there is nothing to fit")
    average = summary.products[:-1, :-1] / summary.groups_count
    away = average[0, 1:]
    covariance = average[1:, 1:] - np.outer(away, away)
    check_matrix(covariance, summary.origin[:-1] + away, summary.groups_count, summary.names)
    centre = summary.origin[:-1] + away
    default = tuple(f"beta_{i + 1}" for i in range(len(centre)))
    return Design(summary.names or default, centre, np.sqrt(np.diag(covariance)))


def within_of(summary: CovariateSummary) -> Within:
    """Return what observations say of their variance."""
    log_sizes, _, observations, squares = summary.totals.tolist()
    largest = abs(float(summary.origin[-1])) + math.sqrt(summary.products[-1, -1]) or 1.0
    return Within(observations, squares, log_sizes, (2.0**-52 * largest) ** 2)
