"""Full Bayes for counts whose prior mean is a regression on the link scale.

Priors: the plain family's spread s, where 1/(s² m̄(1-m̄)) is the concentration κ with the mean m̄ at
the average covariates (1/s² is the shape of ``gamma-poisson``); the intercept there is
Normal(pooled, 2.5²), and every slope per standard deviation of its covariate Normal(0, 2.5²).

Nodes: 21 of Gauss-Legendre's in s = s_hi u² over the range that the data leave it. At each one the
coefficients are normal about their mode (Laplace); up to 4 of them that is mended by re-weighting
the points of a cubature of degree 5 by the true density, beyond it is taken as it is.
"""

import math
from typing import NamedTuple

import numpy as np

from stream_hb.errors import FitError
from stream_hb.models.count_quadrature import LOCATION_SCALE, SPREAD
from stream_hb.models.covariates.ascent import Surfaces, ascend
from stream_hb.models.covariates.design import Design
from stream_hb.models.covariates.link_fit import FARTHEST, covariance_of
from stream_hb.models.covariates.link_hyper import JOINT_MAX, LinkHyper, inner_weights
from stream_hb.models.covariates.link_likelihood import LinkLikelihood, surfaces
from stream_hb.models.hyperprior import Flat, JointPrior, NormalLocation, Prior, SpreadPrior
from stream_hb.models.profile import Shape, shape_of
from stream_hb.models.sensitivity import Sensitivity
from stream_hb.statistics.columns import Floats

_OUTER = 21
_SCAN = 41
_NATS = 13.0
_LIGHTEST = 1e-9
_NO_SPREAD = 30.0
"""A log concentration that is as good as infinite."""

_CELLS_MAX = 1 << 20
_LOG_2PI = math.log(2 * math.pi)


class Integrated(NamedTuple):
    """The integrated hyperparameters, the log evidence, what the likelihood of the spread is like
    (profiled over the coefficients), and what the prior does to it.
    """

    hyper: LinkHyper
    log_evidence: float
    shape: Shape
    sensitivity: Sensitivity


class Believed(NamedTuple):
    """The priors: the spread's, and of the coefficients centre and precision, shape (d,)."""

    spread: SpreadPrior
    centre: Floats
    precision: Floats

    @classmethod
    def of(cls, prior: Prior, likelihood: LinkLikelihood) -> "Believed":
        """Resolve what the caller left to the family."""
        if isinstance(prior, JointPrior):
            raise FitError(
                "a joint prior of two hyperparameters has no slopes: give a pool with covariates "
                "a prior of the spread and one of the location"
            )
        size = likelihood.rows.shape[1]
        location = prior.location or NormalLocation(LOCATION_SCALE)
        centre, precision = np.zeros(size), np.full(size, LOCATION_SCALE**-2.0)
        centre[0] = likelihood.pooled_link
        if isinstance(location, Flat):
            if likelihood.is_extreme:
                raise FitError("all counts are at one end: the location needs a proper prior")
            precision[0] = 0.0
        else:
            precision[0] = location.scale**-2.0
            centre[0] = centre[0] if location.centre is None else location.centre
        return cls(prior.spread or SPREAD, centre, precision)

    def log_density(self, beta: Floats) -> Floats:
        """Return the coefficients' log prior; a flat one is 1."""
        proper = self.precision > 0
        constant = (np.log(self.precision[proper]) - _LOG_2PI).sum() / 2
        out: Floats = constant - (self.precision * (beta - self.centre) ** 2).sum(axis=-1) / 2
        return out


class _Cells(NamedTuple):
    """Modes of the coefficients at each spread, and the density in (ln s, β) integrated there.

    Shapes: beta (o, d), root (o, d, d), log_concentration (o,), the rest (o, k); ``spread`` is the
    prior's s, which depends on the location of the node, ``log_prior`` the whole hyperprior's, and
    ``height`` the coefficients' log posterior at its mode (o,).
    """

    beta: Floats
    root: Floats
    log_concentration: Floats
    height: Floats
    mass: Floats
    log_top: Floats
    spread: Floats
    log_prior: Floats

    @property
    def log_density(self) -> Floats:
        """Log of the density in ln s, shape (o,)."""
        with np.errstate(divide="ignore"):
            total: Floats = self.log_top + np.log(np.maximum(self.mass.sum(axis=1), 0.0))
        return total


def integrate(likelihood: LinkLikelihood, design: Design, prior: Prior) -> Integrated:
    """Integrate over the spread and the coefficients."""
    believed = Believed.of(prior, likelihood)
    low, high, scan = _range(likelihood, believed)
    u, share = _gauss_legendre(math.sqrt(low / high))
    cells = _cells(likelihood, believed, np.log(high * u**2))
    # In ln s = 2 ln u + constant.
    mass = cells.mass * (share * 2 / u)[:, np.newaxis]
    top = float(cells.log_top.max())
    mass *= np.exp(cells.log_top - top)[:, np.newaxis]
    total = float(mass.sum())
    kept = mass.sum(axis=1) > _LIGHTEST * total
    weight = mass[kept] / mass[kept].sum()
    concentration = np.exp(cells.log_concentration[kept])[:, np.newaxis]
    hyper = LinkHyper(
        design.names,
        design.centre,
        design.scale,
        cells.beta[kept],
        cells.root[kept],
        np.repeat(concentration, weight.shape[1], axis=1),
        weight,
    )
    sensitivity = Sensitivity.of(cells.spread[kept], weight, cells.log_prior[kept])
    *_, none = _modes(likelihood, believed, np.array([_NO_SPREAD]))
    shape = shape_of(np.append(none, cells.height))
    shape = shape._replace(bimodal=shape.bimodal or shape_of(np.append(none, scan)).bimodal)
    return Integrated(hyper, top + math.log(total) + likelihood.constant, shape, sensitivity)


def _gauss_legendre(low: float) -> tuple[Floats, Floats]:
    """Return nodes and weights on (low, 1)."""
    x, share = np.polynomial.legendre.leggauss(_OUTER)
    return low + (1 - low) * (x + 1) / 2, share * (1 - low) / 2


def _range(likelihood: LinkLikelihood, believed: Believed) -> tuple[float, float, Floats]:
    """Return where the spread's density is within 13 nats of its maximum; from 0 if it is there.

    Besides, the heights of a scan of the whole range.
    """
    heights = []
    scale = believed.spread.scale
    log_s = np.linspace(math.log(1e-3 * min(scale, 1.0)), math.log(30 * scale), _SCAN)
    for _ in range(2):
        cells = _cells(likelihood, believed, log_s)
        value = cells.log_density
        heights.append(cells.height)
        # Above by the mass in ln s, below by the density in s.
        rises, falls = value - log_s, value
        above = int(np.flatnonzero(falls > falls.max() - _NATS)[-1])
        inside = np.flatnonzero(rises > rises.max() - _NATS)
        below = int(inside[0])
        first, last = max(below - 1, 0), min(above + 1, len(log_s) - 1)
        low, high = float(log_s[first]), float(log_s[last])
        if below == 0 or last - first > _SCAN // 2:
            break
        log_s = np.linspace(low, high, _SCAN)
    return (0.0 if below == 0 else math.exp(low)), math.exp(high), heights[0]


def _cells(likelihood: LinkLikelihood, believed: Believed, log_s: Floats) -> _Cells:
    """Integrate the coefficients at each spread."""
    unit = float(likelihood.unit_variance(np.array(believed.centre[0])))
    log_concentration = -2 * log_s - math.log(unit)
    beta, hessian, height = _modes(likelihood, believed, log_concentration)
    root = np.linalg.cholesky(covariance_of(-hessian)).astype(np.float64, copy=False)
    points, share = inner_weights(beta.shape[1])
    joint = beta.shape[1] <= JOINT_MAX
    away = np.einsum("oid,kd->oki", root, points) if joint else np.zeros((len(log_s), 1, 1))
    at = beta[:, np.newaxis, :] + away
    variance = likelihood.unit_variance(at[..., 0])
    spread = np.exp(log_s)[:, np.newaxis] * np.sqrt(unit / variance)
    log_prior = believed.spread.log_density(spread) + believed.log_density(at)
    value = _values(likelihood, at, log_concentration) + log_prior + np.log(spread)
    if joint:
        value = value + (points**2).sum(axis=1) / 2
    log_det = np.log(np.einsum("oii->oi", root)).sum(axis=1)
    top = value.max(axis=1)
    # A prior may end here (uniform): there is no mass then.
    finite = np.where(np.isfinite(top), top, 0.0)
    mass = np.exp(value - finite[:, np.newaxis]) * share
    log_top = finite + log_det + beta.shape[1] * _LOG_2PI / 2
    shape = mass.shape
    return _Cells(
        beta,
        root,
        log_concentration,
        height,
        mass,
        log_top,
        np.broadcast_to(spread, shape),
        np.broadcast_to(log_prior, shape),
    )


def _modes(
    likelihood: LinkLikelihood, believed: Believed, log_concentration: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return the coefficients' modes with their own prior (not the spread's), Hessians, heights."""
    fixed = log_concentration[:, np.newaxis]
    precision = np.diag(believed.precision)

    def function(beta: Floats) -> Surfaces:
        at = surfaces(likelihood, np.hstack([beta, fixed]))
        away = beta - believed.centre
        return Surfaces(
            at.value + believed.log_density(beta),
            at.gradient[:, :-1] - away * believed.precision,
            at.hessian[:, :-1, :-1] - precision,
        )

    edge = np.full(len(believed.centre), FARTHEST)
    start = np.tile(believed.centre, (len(fixed), 1))
    modes = ascend(function, start, np.minimum(-edge, believed.centre), edge)
    return modes.point, modes.surface.hessian, modes.surface.value


def _values(likelihood: LinkLikelihood, at: Floats, log_concentration: Floats) -> Floats:
    """Return the log-likelihood at points (o, k, d), a few nodes at a time."""
    rows = likelihood.rows
    many = max(1, _CELLS_MAX // (at.shape[1] * len(rows)))
    parts = []
    for first in range(0, len(at), many):
        here = slice(first, first + many)
        eta = (at[here] @ rows.T).reshape(-1, len(rows))
        logs = np.repeat(log_concentration[here], at.shape[1])[:, np.newaxis]
        parts.append(likelihood.values(eta, logs).sum(axis=1).reshape(-1, at.shape[1]))
    return np.concatenate(parts)
