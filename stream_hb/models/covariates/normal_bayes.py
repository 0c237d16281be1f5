"""Full Bayes for means whose prior mean is a regression: β in closed form, τ (and σ²) on nodes.

Given τ and σ² the coefficients are normal, so they are integrated on paper. They are flat on the
centred and scaled covariates (the log evidence is up to that density's constant 1); a normal prior
of the location is the intercept's. τ runs over the nodes of the plain family's trapezoid; σ² has
the prior 1/σ² and a trapezoid in its logarithm over the range that the observations leave it.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from stream_hb.errors import FitError
from stream_hb.models.covariates.design import Design
from stream_hb.models.covariates.normal_fit import Within, residual_variance
from stream_hb.models.covariates.regression import Regression, RegressionPool
from stream_hb.models.covariates.regression_hyper import RegressionHyper
from stream_hb.models.hyperprior import (
    Flat,
    JointPrior,
    NormalLocation,
    Prior,
    SpreadPrior,
    Uniform,
)
from stream_hb.models.normal_quadrature import Line, spread_nodes
from stream_hb.models.profile import Shape, shape_of
from stream_hb.models.sensitivity import Sensitivity
from stream_hb.statistics.columns import Floats

_LOG_2PI = math.log(2 * math.pi)
_NATS = 14.0
_LIGHTEST = 1e-10
"""Nodes of less weight are left out."""


class Integrated(NamedTuple):
    """The integrated hyperparameters, the log evidence, what the likelihood of τ is like (all else
    integrated), and what the prior does to it.
    """

    hyper: RegressionHyper
    log_evidence: float
    shape: Shape
    sensitivity: Sensitivity


class Believed(NamedTuple):
    """The priors with what the data had to fill in: τ's, and the intercept's or None if flat."""

    spread: SpreadPrior
    location: tuple[float, float] | None

    @classmethod
    def of(cls, prior: Prior, pool: RegressionPool, default: SpreadPrior) -> "Believed":
        """Resolve; ``default`` is τ's prior where none is given."""
        if isinstance(prior, JointPrior):
            raise FitError(
                "a joint prior of two hyperparameters has no slopes: give a pool with covariates "
                "a prior of the spread and one of the location"
            )
        spread = prior.spread or default
        location = prior.location or Flat()
        if not isinstance(location, NormalLocation):
            return cls(spread, None)
        centre = location.centre
        return cls(
            spread, (float(pool.at(0.0).beta[0]) if centre is None else centre, location.scale)
        )


class _Cell(NamedTuple):
    """One node: the coefficients given it, and its log density in (ln τ, ln σ²) but for τ's."""

    log_density: float
    beta: Floats
    covariance: Floats


class _Pool(NamedTuple):
    """A pool with its priors, and the nodes of ln σ² with the log of their step."""

    pool: RegressionPool
    believed: Believed
    within: Within | None
    log_sigma2: Floats
    log_step: float

    def cells(self, tau: Floats) -> list[list[_Cell]]:
        """Integrate the coefficients at each τ and σ²."""
        return [
            [_cell(self.pool, self.believed, self.within, at, u) for u in self.log_sigma2]
            for at in tau
        ]

    @property
    def highest_sigma2(self) -> float:
        """The largest node of σ²; 1 where sampling variances are known."""
        return math.exp(float(self.log_sigma2.max())) if self.within else 1.0


def integrate(
    pool: RegressionPool,
    design: Design,
    believed: Believed,
    usual: float,
    within: Within | None = None,
) -> Integrated:
    """Integrate over τ, and with ``within`` over σ² (``pool`` then has the variances 1/n)."""
    whole = _Pool(pool, believed, within, *_sigma2_nodes(pool, within))
    line = _line(pool, believed, usual, whole.highest_sigma2)

    def log_prior(t: Floats) -> Floats:
        log: Floats = believed.spread.log_density(line.tau(t)) + line.log_jacobian(t)
        return log

    scans: list[Floats] = []

    def log_density(t: Floats) -> Floats:
        scans.append(np.logaddexp.reduce(_log_density(whole.cells(line.tau(t))), axis=1))
        return scans[-1] + log_prior(t)

    nodes = spread_nodes(log_density, line)
    tau = line.tau(nodes.t)
    cells = whole.cells(np.append(0.0, tau))
    likelihood = _log_density(cells)
    density = likelihood[1:] + log_prior(nodes.t)[:, np.newaxis]
    hyper = _hyper(design, cells[1:], tau, whole, _normalised(density))
    spread = hyper.concentration
    shape = shape_of(np.logaddexp.reduce(likelihood, axis=1))
    return Integrated(
        hyper,
        nodes.log_total + whole.log_step,
        # The first scan is of the whole line, from as good as no spread.
        shape._replace(bimodal=shape.bimodal or shape_of(scans[0]).bimodal),
        Sensitivity.of(spread, hyper.weight, believed.spread.log_density(spread)),
    )


def _log_density(cells: list[list[_Cell]]) -> Floats:
    return np.array([[cell.log_density for cell in row] for row in cells])


def _hyper(
    design: Design, cells: list[list[_Cell]], tau: Floats, whole: _Pool, weight: Floats
) -> RegressionHyper:
    """Return all nodes of any weight in one row."""
    sigma2 = np.exp(whole.log_sigma2) if whole.within else np.array([math.nan])
    hyper = RegressionHyper(
        design.names,
        design.centre,
        design.scale,
        np.array([cell.beta for row in cells for cell in row]),
        np.array([cell.covariance for row in cells for cell in row]),
        np.repeat(tau**2, len(sigma2)),
        np.tile(sigma2, len(tau)),
        weight,
    )
    return _without_light_nodes(hyper)


def _cell(
    pool: RegressionPool, believed: Believed, within: Within | None, tau: float, log_sigma2: float
) -> _Cell:
    """Integrate β given τ and σ²; a known variance is one of σ² = 1."""
    sigma2 = math.exp(log_sigma2)
    at = pool.at(tau**2 / sigma2)
    value = (at.log_weight - at.log_det - at.q / sigma2) / 2
    if within is None:
        value -= (pool.groups_count - pool.coefficients_count) * _LOG_2PI / 2
    else:
        degrees = within.observations - pool.coefficients_count
        squares = max(within.squares, degrees * within.rounding)
        value -= (degrees * (_LOG_2PI + log_sigma2) + within.log_sizes + squares / sigma2) / 2
    return _with_location(value, at, at.covariance * sigma2, believed.location)


def _with_location(
    value: float, at: Regression, covariance: Floats, location: tuple[float, float] | None
) -> _Cell:
    """Learn the intercept's normal prior as if it were one more observation of it."""
    if location is None:
        return _Cell(value, at.beta, covariance)
    centre, scale = location
    variance = scale**2 + covariance[0, 0]
    gain = covariance[0] / variance
    away = centre - at.beta[0]
    value -= (_LOG_2PI + math.log(variance) + away**2 / variance) / 2
    return _Cell(value, at.beta + gain * away, covariance - np.outer(gain, covariance[0]))


def _line(pool: RegressionPool, believed: Believed, usual: float, sigma2: float) -> Line:
    """Return where τ can lie: from far below the least standard error to far above all else."""
    least = math.sqrt(pool.least_variance * sigma2)
    apart = math.sqrt(pool.unweighted().squares)
    scale = believed.spread.scale
    low = math.log(1e-9 * min(scale, least))
    if isinstance(believed.spread, Uniform):
        return Line(low - math.log(scale), 20.0, scale)
    return Line(low, math.log(1e8 * max(scale, apart, least, usual)), math.inf)


def _sigma2_nodes(pool: RegressionPool, within: Within | None) -> tuple[Floats, float]:
    """Return nodes of ln σ², and the log of their step; one node where nothing tells of it."""
    if within is None:
        return np.zeros(1), 0.0
    spare = within.observations - pool.groups_count
    if spare <= 0:
        return np.array([math.log(residual_variance(pool, within))]), 0.0
    # Within groups ln σ² has the log density -½ spare (e^-u + u - 1), u from its maximum.
    u = np.linspace(-14, 60, 2000)
    reach = u[spare / 2 * (np.exp(-u) + u - 1) < _NATS] if spare < 500 else None
    edge = math.sqrt(4 * _NATS / spare)
    low, high = (-edge, edge) if reach is None else (float(reach[0]), float(reach[-1]))
    count = 9 if spare >= 30 else 21 if spare >= 5 else 41
    centre = math.log(max(within.squares / spare, within.rounding))
    nodes = centre + np.linspace(low, high, count)
    return nodes, math.log(float(nodes[1] - nodes[0]))


def _normalised(log_density: Floats) -> Floats:
    density = np.exp(log_density - log_density.max())
    share: Floats = (density / density.sum()).reshape(-1, 1)
    return share


def _without_light_nodes(hyper: RegressionHyper) -> RegressionHyper:
    rows = hyper.weight[:, 0] > _LIGHTEST
    weight = hyper.weight[rows]
    return replace(
        hyper,
        beta=hyper.beta[rows],
        covariance=hyper.covariance[rows],
        tau2=hyper.tau2[rows],
        sigma2=hyper.sigma2[rows],
        weight=weight / weight.sum(),
    )
