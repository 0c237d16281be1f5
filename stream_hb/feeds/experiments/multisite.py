r"""One arm's effect in many stores: the multi-site model, the spread τ between them integrated.

d_j ~ N(Δ_j, V_j), Δ_j ~ N(μ, τ²). With τ taken as known, intervals of a store's effect cover .42 to
.95 of a nominal .95; so τ runs over a grid, weighted by its restricted likelihood under a flat
prior, and intervals and probabilities are those of the mixture over the grid (Rubin 1981,
doi:10.3102/10769986006004377; Gelman 2006, doi:10.1214/06-BA117A).

The estimate itself is at the likeliest τ, metafor's blup: averaged over the grid it would err by
up to 1 % less where stores differ, up to 16 % more where they do not (``make study-experiments``).
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri, stdtrit

from stream_hb.models.family import Posterior
from stream_hb.models.few_kernels import few_kernels
from stream_hb.models.normal_fit import fit_tau2
from stream_hb.models.normal_mixture import Mixture
from stream_hb.models.normal_nodes import Kernels
from stream_hb.models.normal_shrinkage import (
    Variances,
    posterior,
    posterior_mean,
    tail_probability,
)
from stream_hb.models.normal_sums import NormalSums, sums_of
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured

_NODES = 60
_MANY = 1_000
"""Stores from which on fewer kernels are looked for: they cost a search, and save more."""

_WEIGHT_LEAST = 1e-9


class ChainMean(NamedTuple):
    """A mean effect: estimate, standard deviation and ends of its interval."""

    effect: float
    sd: float
    lo: float
    hi: float


@dataclass(frozen=True, slots=True)
class RandomEffects:
    """The classical fit, for comparison: τ² taken as known.

    Attributes
    ----------
    tau2, tau2_pm
        By REML and by Paule and Mandel.
    mu, se
        Mean effect of a population of stores at the REML τ², and its standard error.
    hartung_knapp
        The same with Hartung and Knapp's standard error and Student's t; of one store: None.
    """

    tau2: float
    tau2_pm: float
    mu: float
    se: float
    hartung_knapp: ChainMean | None


@dataclass(frozen=True, slots=True)
class MultiSite:
    """The effects of one arm.

    Attributes
    ----------
    fit
        The classical fit.
    boundary
        REML finds no spread between stores at all: no fact, only the likeliest value.
    kernels
        μ and τ integrated.
    stores
        Each store's effect: estimate and weight at the likeliest τ, sd about that estimate and
        interval with τ integrated. A store without a contrast has the population's.
    integrated
        The same with everything integrated.
    probability_above
        P(effect > 0) of each store.
    these
        Mean over these stores, weighted by fixed shares: what the arm did.
    population
        Mean over the population that these stores are a sample of.
    new_store
        Effect in one store more of that population (a prediction).
    """

    fit: RandomEffects
    boundary: bool
    kernels: Kernels
    stores: Posterior
    integrated: Posterior
    probability_above: Floats
    these: ChainMean
    population: ChainMean
    new_store: ChainMean


def pool_sites(contrasts: Measured, shares: Floats, level: float) -> MultiSite | None:
    """Return what is known of an arm's effect in every store; None without a single contrast.

    Parameters
    ----------
    contrasts
        Effect and sampling variance of each store; variance infinite where there is none.
    shares
        Weight of each store in the mean over these stores, fixed (its share of units, say).
    level
        Probability of the intervals.

    Examples
    --------
    Two stores, 1.4 standard errors apart, are drawn together, not made one:

    >>> sites = pool_sites(Measured(np.array([0.1, 0.3]), np.array([0.01, 0.01])), np.ones(2), 0.95)
    >>> sites.stores.mean.round(3), round(sites.population.effect, 3), sites.boundary
    (array([0.15, 0.25]), 0.2, False)
    """
    if not np.isfinite(contrasts.variance).any():
        return None
    sums = sums_of(contrasts)
    fit, kernels = random_effects(sums, level), tau_grid(sums)
    variances = Variances(contrasts.variance[:, None])
    few = _fewer(kernels) if len(contrasts) > _MANY else kernels
    integrated = posterior(contrasts.mean, variances, kernels, few, level)
    return MultiSite(
        fit,
        fit.tau2 == 0,
        kernels,
        _at_the_likeliest(fit, contrasts, integrated),
        integrated,
        tail_probability(contrasts.mean, variances, kernels, 0.0),
        _of_these(contrasts, shares, level),
        _mixed(kernels, kernels.mu_sd, level),
        _mixed(kernels, np.hypot(kernels.mu_sd, kernels.tau), level),
    )


def site_means(measured: Measured) -> Floats:
    """Return what :func:`pool_sites` has as ``integrated.mean``, without what it takes besides.

    >>> level = Measured(np.array([0.1, 0.3]), np.array([0.01, 0.01]))
    >>> site_means(level).round(6) == pool_sites(level, np.ones(2), 0.95).integrated.mean.round(6)
    array([ True,  True])
    """
    if not np.isfinite(measured.variance).any():
        return measured.mean
    variances = Variances(measured.variance[:, None])
    return posterior_mean(measured.mean, variances, tau_grid(sums_of(measured)))


def tau_grid(sums: NormalSums) -> Kernels:
    r"""Return μ given τ at 60 values of τ, weighted by the restricted likelihood.

    :math:`τ_k = Us_k^{1.5}`, :math:`s_k = (k - ½)/60`, :math:`U = 3\sqrt{\max(var\,d, median\,V)}`;
    the prior of τ is flat on (0, U). Nodes without weight are left out.
    """
    count = sums.groups_count
    apart = sums.squares / (count - 1) if count > 1 else 0.0
    # The median of the variances is the reciprocal of the median precision.
    upper = 3 * math.sqrt(max(apart, float(np.median(1 / sums.precision))))
    s = (np.arange(_NODES) + 0.5) / _NODES
    tau = upper * s**1.5
    at = sums.at(tau**2)
    log_weight = 0.5 * np.log(s) - (at.log_variance + np.log(at.total) + at.q) / 2
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    kept = weight > _WEIGHT_LEAST
    nodes = at.mu, 1 / np.sqrt(at.total), tau, np.ones(_NODES), weight / weight[kept].sum()
    return Kernels(*(node[kept] for node in nodes))


def random_effects(sums: NormalSums, level: float) -> RandomEffects:
    """Fit the model as metafor does (Viechtbauer 2010, doi:10.18637/jss.v036.i03).

    Hartung & Knapp (2001, doi:10.1002/sim.1009): the standard error is multiplied by
    √(Q/(J - 1)), Q = Σw(d - μ)² at the fitted τ².
    """
    tau2 = fit_tau2(sums, "reml").tau2
    at, degrees = sums.at(tau2), sums.groups_count - 1
    mu, se = float(at.mu), 1 / math.sqrt(at.total)
    adjusted = None
    if degrees > 0:
        sd = se * math.sqrt(float(at.q) / degrees)
        half = float(stdtrit(degrees, (1 + level) / 2)) * sd
        adjusted = ChainMean(mu, sd, mu - half, mu + half)
    return RandomEffects(tau2, fit_tau2(sums, "pm").tau2, mu, se, adjusted)


def _at_the_likeliest(fit: RandomEffects, contrasts: Measured, integrated: Posterior) -> Posterior:
    """Return B·mu + (1-B)·d with the integrated posterior's error about it."""
    weight = 1 / (1 + fit.tau2 / contrasts.variance)
    estimate = contrasts.mean + weight * (fit.mu - contrasts.mean)
    return replace(
        integrated,
        pooled=np.full(len(contrasts), fit.mu),
        weight=weight,
        mean=estimate,
        sd=np.hypot(integrated.sd, integrated.mean - estimate),
        # An estimate outside of its own interval would be two answers to one question.
        lo=np.minimum(integrated.lo, estimate),
        hi=np.maximum(integrated.hi, estimate),
    )


def _of_these(contrasts: Measured, shares: Floats, level: float) -> ChainMean:
    """Return Σa_j d_j with V = Σa_j²V_j: nothing is assumed of other stores."""
    known = np.isfinite(contrasts.variance) & (shares > 0)
    share = np.where(known, shares, 0.0) if known.any() else np.isfinite(contrasts.variance) * 1.0
    share = share / share.sum()
    variance = np.where(share > 0, contrasts.variance, 0.0)
    effect, sd = float(share @ contrasts.mean), math.sqrt(float(share**2 @ variance))
    half = float(ndtri((1 + level) / 2)) * sd
    return ChainMean(effect, sd, effect - half, effect + half)


def _mixed(kernels: Kernels, sd: Floats, level: float) -> ChainMean:
    mixture = Mixture(kernels.mu[None], sd[None], kernels.weight)
    mean, spread = mixture.moments()
    lo, hi = (mixture.quantile(p) for p in ((1 - level) / 2, (1 + level) / 2))
    return ChainMean(*(float(one[0]) for one in (mean, spread, lo, hi)))


def _fewer(kernels: Kernels) -> Kernels:
    return Kernels(*few_kernels(*(column[:, None] for column in kernels)))
