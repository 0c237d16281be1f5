"""Hyperparameters of a pool of means whose prior mean is a regression, and its posteriors."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from stream_hb.models.covariates.design import Design
from stream_hb.models.covariates.weighted_quantile import interval_of_nodes
from stream_hb.models.family import Posterior
from stream_hb.models.normal_mixture import Mixture
from stream_hb.models.variance_interval import variance_interval
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured


@dataclass(frozen=True, slots=True)
class RegressionHyper:
    """Coefficients with their covariance at each node of τ (and σ²); a point fit has one node.

    Attributes
    ----------
    names, centre, scale
        The :class:`Design`.
    beta
        Coefficients of the centred and scaled covariates, shape (nodes, 1 + p).
    covariance
        Theirs given the node, shape (nodes, 1 + p, 1 + p).
    tau2
        Variance between groups of the same covariates, shape (nodes,).
    sigma2
        Variance of one observation, shape (nodes,); NaN where sampling variances are known.
    weight
        Of the nodes, shape (nodes, 1); sums to 1.
    """

    names: tuple[str, ...]
    centre: Floats
    scale: Floats
    beta: Floats
    covariance: Floats
    tau2: Floats
    sigma2: Floats
    weight: Floats

    @property
    def design(self) -> Design:
        """How covariates become columns."""
        return Design(self.names, self.centre, self.scale)

    @property
    def location(self) -> Floats:
        """Prior mean at the average covariates, shape (nodes, 1)."""
        return self.beta[:, :1]

    @property
    def concentration(self) -> Floats:
        """Spread τ, shape (nodes, 1)."""
        return np.sqrt(self.tau2)[:, np.newaxis]

    @property
    def is_point(self) -> bool:
        """Whether the spread is taken as known."""
        return len(self.weight) == 1

    @property
    def is_from_observations(self) -> bool:
        """Whether σ² belongs to it."""
        return not np.isnan(self.sigma2).any()


@dataclass(frozen=True, slots=True)
class Shrunk:
    """Every group's posterior given each node: arrays of shape (groups, nodes).

    Attributes
    ----------
    pooled
        Prior mean x'β of each group.
    weight
        Weight on it, B = v/(v + τ²).
    mean, sd
        Of the normal kernels.
    """

    pooled: Floats
    weight: Floats
    mean: Floats
    sd: Floats


def shrink(groups: Measured, rows: Floats, hyper: RegressionHyper) -> Shrunk:
    """Shrink measured groups; ``variance`` may have shape (groups, nodes)."""
    pooled = rows @ hyper.beta.T
    uncertain = np.einsum("ji,oik,jk->jo", rows, hyper.covariance, rows)
    variance = groups.variance if groups.variance.ndim == 2 else groups.variance[:, np.newaxis]
    # B = v/(v + τ²) and (1-B)v = Bτ², in the form that an infinite v (no data) passes through.
    weight = 1 / (1 + hyper.tau2 / variance)
    mean = pooled + (1 - weight) * (groups.mean[:, np.newaxis] - pooled)
    return Shrunk(pooled, weight, mean, np.sqrt(weight * hyper.tau2 + weight**2 * uncertain))


def posterior(groups: Measured, rows: Floats, hyper: RegressionHyper, level: float) -> Posterior:
    """Return the posterior of every group, the nodes' mixture."""
    at = shrink(groups, rows, hyper)
    share = hyper.weight[:, 0]
    weight = at.weight @ share
    # E[Bμ]/E[B] about one node's μ, so that equal nodes give exactly theirs.
    origin = at.pooled[:, :1]
    pooled = origin[:, 0] + ((at.weight * (at.pooled - origin)) @ share) / weight
    mixture = Mixture(at.mean, at.sd, share)
    _, sd = mixture.moments()
    empty = np.isinf(groups.variance).reshape(len(rows), -1)[:, 0]
    raw = np.where(empty, np.nan, groups.mean)
    lo, hi = interval(mixture, level)
    # Weights that sum to 1 but for the last digit.
    weight = np.minimum(weight, 1.0)
    mean = pooled + (1 - weight) * (groups.mean - pooled)
    return Posterior(raw, pooled, weight, mean, sd, lo, hi)


def interval(mixture: Mixture, level: float) -> tuple[Floats, Floats]:
    """Return both ends of the equal-tailed interval of mixtures of normal kernels."""
    if mixture.mean.shape[1] == 1:
        half_width = float(ndtri((1 + level) / 2)) * mixture.sd[:, 0]
        return mixture.mean[:, 0] - half_width, mixture.mean[:, 0] + half_width
    return mixture.quantile((1 - level) / 2), mixture.quantile((1 + level) / 2)


def coefficients(hyper: RegressionHyper) -> Mixture:
    """Return the coefficients on the given scale: one row each, one normal kernel per node."""
    transform = hyper.design.transform
    variance = np.einsum("ci,oik,ck->co", transform, hyper.covariance, transform)
    return Mixture(transform @ hyper.beta.T, np.sqrt(variance), hyper.weight[:, 0])


def parameters(hyper: RegressionHyper) -> dict[str, float]:
    """Return ``intercept``, the slopes by name, and what spreads.

    A point fit answers ``tau2`` (and ``sigma2``) with ``se_`` of every coefficient, an integrated
    one the posterior means of ``tau`` (and ``sigma2``).
    """
    names = ("intercept", *hyper.names)
    mean, sd = coefficients(hyper).moments()
    share = hyper.weight[:, 0]
    out = dict(zip(names, mean.tolist(), strict=True))
    if hyper.is_point:
        out["tau2"] = float(hyper.tau2[0])
        out |= {f"se_{name}": float(se) for name, se in zip(names, sd, strict=True)}
    else:
        out["tau"] = float(np.sqrt(hyper.tau2) @ share)
    return out | ({"sigma2": float(hyper.sigma2 @ share)} if hyper.is_from_observations else {})


def uncertainty(hyper: RegressionHyper, level: float) -> dict[str, tuple[float, float, float]]:
    """Return sd and interval of each integrated parameter; nothing for a point fit."""
    if hyper.is_point:
        return {}
    mixture = coefficients(hyper)
    sd = mixture.moments()[1]
    lo, hi = interval(mixture, level)
    triples = zip(sd.tolist(), lo.tolist(), hi.tolist(), strict=True)
    out = dict(zip(("intercept", *hyper.names), triples, strict=True))
    share = hyper.weight[:, 0]
    tau_sd, *_ = interval_of_nodes(np.sqrt(hyper.tau2), share, level)
    # The nodes lie evenly in ln τ.
    _, low, high = interval_of_nodes(np.log(hyper.tau2) / 2, share, level)
    out["tau"] = tau_sd, math.exp(low), math.exp(high)
    if hyper.is_from_observations:
        out["sigma2"] = variance_interval(hyper.sigma2, share, math.nan, level, one_rule=True)
    return out
