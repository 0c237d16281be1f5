"""What a fit says of a group's next tick before it comes: its predictive distribution.

The doubt about the hyperparameters is in it: every kernel that the fit's posterior is made of
becomes one of the prediction. Families whose posteriors are no such mixtures (with covariates, or
nested) are taken for one kernel with the posterior's mean and sd, and one σ². Of plain families'
posteriors that would move the distribution function by up to .06 for a group with data, and by up
to .3 for a new one in a pool of so few groups (3) that its prior is anybody's guess (measured by
``make study-calibration``): that is why it is not done where the mixture is known.

Revenue per visit is not predicted. It is a product of two metrics with a prediction each, but on a
tick both parts come from the same visits, most ticks of small stores have no order at all, and the
distribution of a sum of a random number of log-normals has no form that a tick could pay for:
whether its parts' intervals keep their word says whether its own do.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from stream_hb.errors import FitError
from stream_hb.feeds.calibration.beta_binomial import BetaBinomialKernels
from stream_hb.feeds.calibration.lattice import CountPredictive
from stream_hb.feeds.calibration.negative_binomial import NegativeBinomialKernels
from stream_hb.feeds.calibration.normal_means import MeanPredictive
from stream_hb.feeds.calibration.scores import Scores
from stream_hb.models.beta_binomial import BetaBinomial
from stream_hb.models.beta_kernels import BetaKernels
from stream_hb.models.family import Family
from stream_hb.models.gamma_kernels import GammaKernels
from stream_hb.models.gamma_poisson import GammaPoisson
from stream_hb.models.moderation import VariancePrior
from stream_hb.models.normal import NormalFromObservations, NormalHyper
from stream_hb.models.normal_mixture import Mixture
from stream_hb.models.normal_nodes import Kernels, NormalNodes
from stream_hb.models.normal_observations_fit import as_measured
from stream_hb.models.normal_own import NormalSeparate, OwnVarianceHyper
from stream_hb.models.normal_shrinkage import Variances, shrink
from stream_hb.models.variance_nodes import variance_nodes
from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.moments import Moments

_CELLS_MAX = 1 << 16


class Predictive(Protocol):
    """Distributions of what a tick brings, one a group."""

    def mean(self) -> Floats:
        """Return the expectations."""
        ...

    def distribution(self, y: Floats) -> Floats:
        """Return P(Y ≤ y)."""
        ...

    def quantile(self, probability: float) -> Floats:
        """Return the quantiles."""
        ...

    def log_score(self, y: Floats) -> Floats:
        """Return the log density (of counts: probability) of what came."""
        ...

    def scores(self, y: Floats) -> Scores:
        """Return place, log score and CRPS of what came."""
        ...


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of some groups before a tick.

    Attributes
    ----------
    family
        Of models.
    hyper
        The pool's hyperparameters, as fitted by then.
    groups
        The groups' statistics as the family sees them, aged to the tick.
    half_life_ms
        That the statistics were forgotten with; None: they were not.
    """

    family: Family[Any, Any]
    hyper: Any
    groups: Any
    half_life_ms: int | None = None

    def take(self, rows: Any) -> "Belief":
        """Return the belief of some of the groups."""
        return Belief(self.family, self.hyper, self.groups.take(rows), self.half_life_ms)


def observed(increment: Statistic) -> Floats:
    """Return what of a tick is predicted: successes, events, or the mean of the observations."""
    match increment:
        case Counts():
            return increment.successes
        case Exposure():
            return increment.events
        case Moments():
            return increment.mean
    raise FitError(
        f"expected Counts, Exposure or Moments of a tick, got {type(increment).__name__}"
    )


def predict(belief: Belief, increment: Statistic) -> Predictive:
    """Return the predictive of each group's tick, given how many trials, … there were.

    Examples
    --------
    A store with 2 of 20 in a chain that converts about 5 %: its next 10 visits.

    >>> family = BetaBinomial()
    >>> store = Counts(np.array([2.0]), np.array([20.0]))
    >>> belief = Belief(family, family.condition({"alpha": 5, "beta": 95}), store)
    >>> predictive = predict(belief, Counts(np.zeros(1), np.array([10.0])))
    >>> predictive.mean().round(4), predictive.quantile(0.95)  # Beta-Binomial(10, 7, 113)
    (array([0.5833]), array([2.]))
    """
    match increment:
        case Counts():
            return _successes(belief, increment.trials)
        case Exposure():
            return _events(belief, increment.exposure)
        case Moments():
            return _means(belief, increment.weight)
    raise FitError(
        f"expected Counts, Exposure or Moments of a tick, got {type(increment).__name__}"
    )


def score(belief: Belief, increment: Statistic) -> Scores:
    """Score every group's tick, so many groups at a time that memory is bounded."""
    out = Scores.unknown(len(increment))
    for rows in _chunks(belief):
        part = increment.take(rows)
        out.put(rows, predict(belief.take(rows), part).scores(observed(part)))
    return out


def log_score(belief: Belief, increment: Statistic) -> Floats:
    """Return the log scores only: a tenth of the work."""
    parts = []
    for rows in _chunks(belief):
        part = increment.take(rows)
        parts.append(predict(belief.take(rows), part).log_score(observed(part)))
    return np.concatenate(parts)


def _chunks(belief: Belief) -> list[slice]:
    weight = getattr(belief.hyper, "weight", None)
    step = max(1, _CELLS_MAX // (1 if weight is None else weight.size))
    return [slice(i, i + step) for i in range(0, max(len(belief.groups), 1), step)]


def _successes(belief: Belief, trials: Floats) -> CountPredictive:
    if isinstance(belief.family, BetaBinomial):
        kernels, weight = belief.family.kernels(belief.groups, belief.hyper)
    else:
        mean, sd = belief.family.screen(belief.groups, belief.hyper)
        kernels, weight = BetaKernels.matched(mean[None], sd[None] ** 2), np.ones(1)
    return CountPredictive(BetaBinomialKernels.of(kernels, trials), weight)


def _events(belief: Belief, exposure: Floats) -> CountPredictive:
    if isinstance(belief.family, GammaPoisson):
        kernels, weight = belief.family.kernels(belief.groups, belief.hyper)
    else:
        mean, sd = belief.family.screen(belief.groups, belief.hyper)
        kernels, weight = GammaKernels.matched(mean[None], sd[None] ** 2), np.ones(1)
    return CountPredictive(NegativeBinomialKernels.of(kernels, exposure), weight)


def _means(belief: Belief, size: Floats) -> MeanPredictive:
    column = size[:, np.newaxis]
    if isinstance(belief.family, NormalFromObservations):
        kernels = _kernels(belief.hyper)
        unit = Variances(as_measured(belief.groups, 1.0).variance[:, np.newaxis])
        shrunk = shrink(belief.groups.mean, unit, kernels).mixture
        return MeanPredictive.of(shrunk, kernels.sigma2 / column)
    if isinstance(belief.family, NormalSeparate):
        return _means_of_own_variance(belief, column)
    mean, sd = belief.family.screen(belief.groups, belief.hyper)
    sigma2 = belief.family.parameters(belief.hyper).get("sigma2")
    if sigma2 is None:
        raise FitError("means of known variances say nothing of the next observation's: no σ²")
    one = Mixture(mean[:, np.newaxis], sd[:, np.newaxis], np.ones(1))
    return MeanPredictive.of(one, sigma2 / column)


def _means_of_own_variance(belief: Belief, size: Floats) -> MeanPredictive:
    """Mix over the nodes of each group's own σ² besides."""
    hyper, groups = belief.hyper, belief.groups
    kernels = _kernels(hyper)
    prior = VariancePrior(hyper.prior_degrees, hyper.prior_variance, hyper.pooled_degrees)
    seen = groups.weight > 0
    # A group without data has σ² too: that of the prior, as if it had one observation.
    whole = Moments(np.where(seen, groups.weight, 1.0), groups.mean, np.where(seen, groups.m2, 0.0))
    nodes = variance_nodes(whole, prior)
    sigma2 = nodes.variance * whole.weight[:, np.newaxis]
    variance = np.where(seen[:, np.newaxis], nodes.variance, np.inf)
    belief_of = shrink(groups.mean, Variances(variance, nodes.log_share), kernels).mixture
    noise = np.repeat(sigma2[:, np.newaxis] / size[..., np.newaxis], len(kernels.weight), axis=1)
    return MeanPredictive.of(belief_of, noise.reshape(len(groups), -1))


def _kernels(hyper: NormalNodes | NormalHyper | OwnVarianceHyper) -> Kernels:
    """Return integrated hyperparameters as few kernels, known ones as one."""
    if isinstance(hyper, NormalNodes):
        return hyper.few_kernels()
    sigma2 = hyper.sigma2 if isinstance(hyper, NormalHyper) else 1.0
    if sigma2 is None:
        raise FitError("means of known variances say nothing of the next observation's: no σ²")
    values = (hyper.mu, hyper.se_mu, hyper.tau2**0.5, sigma2, 1.0)
    return Kernels(*(np.array([value]) for value in values))
