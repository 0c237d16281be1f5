"""Pools as the fitted model predicts them: simulated with the same group sizes."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from stream_hb.errors import FitError, nearest
from stream_hb.models.checks.nodes import GroupPriors, HyperNodes
from stream_hb.models.moderation import VariancePrior
from stream_hb.models.normal_observations_fit import as_measured
from stream_hb.models.variance_nodes import own_variances
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments


@dataclass(frozen=True, slots=True)
class Predicted:
    """The raw estimates of a pool's groups, and those of simulated pools.

    Attributes
    ----------
    rates
        Shape (1 + draws, groups): the pool's own first.
    centre
        The prior mean, which deviations are from: a number, or one of each group.
    sd
        Standard deviation of each group's estimate about it, sampling and the groups' differences
        together, at the mean of the hyperparameters; shape (groups,).
    has_zeros
        Whether an estimate of zero means that nothing happened.
    """

    rates: Floats
    centre: Floats
    sd: Floats
    has_zeros: bool


def sizes(family_name: str, groups: Any) -> Floats:
    """Return how much data each group has, 0 where it has none."""
    return _model(family_name).size(groups)


def predict(
    family_name: str, groups: Any, hyper: Any, draws: int, rng: np.random.Generator
) -> Predicted:
    """Simulate pools; every group must have data.

    Effective (decayed) sizes of counts are rounded to whole trials, at least one.
    """
    return _model(family_name).predict(groups, hyper, draws, rng)


def _priors(hyper: Any) -> HyperNodes | GroupPriors:
    return hyper if isinstance(hyper, GroupPriors) else HyperNodes.of(hyper)


def _rates(groups: Counts, hyper: Any, draws: int, rng: np.random.Generator) -> Predicted:
    nodes = _priors(hyper)
    trials = np.maximum(np.rint(groups.trials), 1.0)
    mean, concentration = nodes.draw(draws, rng)
    shape = (draws, len(groups))
    # A prior mean of 0 or 1 (no success, or nothing else) has no Beta.
    alpha = np.maximum(mean * concentration, 1e-300)
    beta = np.maximum((1 - mean) * concentration, 1e-300)
    theta = rng.beta(alpha, beta, shape)
    simulated = rng.binomial(trials.astype(np.int64), theta) / trials
    centre = nodes.mean_of(nodes.location)
    spread = nodes.mean_of(1 / (1 + nodes.concentration))
    variance = centre * (1 - centre) * (spread + (1 - spread) / trials)
    return _predicted(groups.successes / groups.trials, simulated, centre, variance, True)


def _events(groups: Exposure, hyper: Any, draws: int, rng: np.random.Generator) -> Predicted:
    nodes = _priors(hyper)
    mean, shape = nodes.draw(draws, rng)
    theta = rng.standard_gamma(shape, (draws, len(groups))) * (mean / shape)
    simulated = rng.poisson(groups.exposure * theta) / groups.exposure
    centre = nodes.mean_of(nodes.location)
    variance = centre / groups.exposure + centre**2 * nodes.mean_of(1 / nodes.concentration)
    return _predicted(groups.events / groups.exposure, simulated, centre, variance, True)


def _means(
    groups: Measured | Moments, hyper: Any, draws: int, rng: np.random.Generator
) -> Predicted:
    nodes = _priors(hyper)
    variance, degrees = _sampling(groups, hyper)
    mu, tau = nodes.draw(draws, rng)
    shape = (draws, len(groups))
    drawn = variance
    if np.isfinite(degrees).any():
        # Of few observations the variance is a guess: their mean's deviation is a t, not a normal.
        chi2 = 2 * rng.standard_gamma(np.where(np.isinf(degrees), 1.0, degrees) / 2, shape)
        drawn = variance * np.where(np.isinf(degrees), 1.0, degrees / np.maximum(chi2, 1e-300))
    simulated = mu + np.sqrt(drawn + tau**2) * rng.standard_normal(shape)
    predicted = variance + nodes.mean_of(nodes.concentration**2)
    return _predicted(groups.mean, simulated, nodes.mean_of(nodes.location), predicted, False)


def _predicted(
    observed: Floats, simulated: Floats, centre: Floats, variance: Floats, has_zeros: bool
) -> Predicted:
    rates = np.concatenate((observed[None, :], simulated))
    return Predicted(rates, centre, np.sqrt(variance), has_zeros)


def _sampling(groups: Measured | Moments, hyper: Any) -> tuple[Floats, Floats]:
    """Return the variance of each group's mean, and the degrees of freedom it is known with."""
    known = np.full(len(groups), np.inf)
    if isinstance(groups, Measured):
        return groups.variance, known
    own = getattr(hyper, "prior_variance", math.nan)
    if not math.isnan(own):
        prior = VariancePrior(hyper.prior_degrees, own, hyper.pooled_degrees)
        variance, degrees = own_variances(groups, prior)
        return variance / groups.weight, degrees
    sigma2 = getattr(hyper, "sigma2", None)
    if sigma2 is None:
        raise FitError("expected Measured, or sigma2 in the hyperparameters; means have neither")
    if isinstance(sigma2, np.ndarray):
        sigma2 = float((hyper.weight * sigma2).sum())
    return as_measured(groups, sigma2).variance, known


def _size_of_means(groups: Measured | Moments) -> Floats:
    return groups.weight if isinstance(groups, Moments) else 1 / groups.variance


class _Model(NamedTuple):
    """How much data a family's groups have, and its simulation."""

    size: Callable[[Any], Floats]
    predict: Callable[[Any, Any, int, np.random.Generator], Predicted]


_MODELS: Mapping[str, _Model] = {
    "beta-binomial": _Model(lambda groups: groups.trials, _rates),
    "gamma-poisson": _Model(lambda groups: groups.exposure, _events),
    "normal": _Model(_size_of_means, _means),
}


def _model(family_name: str) -> _Model:
    if family_name not in _MODELS:
        raise FitError(f"no checks for family {family_name!r}; {nearest(family_name, _MODELS)}")
    return _MODELS[family_name]
