"""Beta-Binomial and Gamma-Poisson with covariates: each group is drawn to the rate of its like.

The prior mean is a regression on the link scale, the concentration one for all groups
(:mod:`link_likelihood`). A fit costs time in proportion to the groups: it is exact, and for pools
of up to some thousands.
"""

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
from scipy.special import expit, logit

from stream_hb.errors import UsageError
from stream_hb.models.beta_kernels import BetaKernels
from stream_hb.models.covariates.design import Design, with_data
from stream_hb.models.covariates.link_bayes import integrate
from stream_hb.models.covariates.link_fit import maximise
from stream_hb.models.covariates.link_hyper import LinkHyper
from stream_hb.models.covariates.link_likelihood import (
    BetaBinomialRegression,
    GammaPoissonRegression,
    LinkLikelihood,
)
from stream_hb.models.covariates.regression_hyper import interval
from stream_hb.models.covariates.weighted_quantile import interval_of_nodes
from stream_hb.models.described import Described
from stream_hb.models.family import Fit, Posterior
from stream_hb.models.gamma_kernels import GammaKernels
from stream_hb.models.hyperprior import DEFAULT, Prior
from stream_hb.models.mixture import Kernels, mixture_quantile
from stream_hb.models.pool import check_method, ratio
from stream_hb.models.quadrature_quantile import interval_of_rows
from stream_hb.models.spread_table import mean_and_sd
from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure

S = TypeVar("S", bound=Statistic)

_CELLS_MAX = 1 << 20


class Shrunk(NamedTuple):
    """Every group's posterior given each node, arrays that broadcast to (outer, inner, groups).

    weight, pooled
        Weight on the prior mean, and the prior mean.
    mean, variance
        Of the conjugate posterior.
    """

    weight: Floats
    pooled: Floats
    mean: Floats
    variance: Floats


class Collapsed(NamedTuple):
    """One kernel per outer node, shape (outer, groups), and what all nodes say together."""

    mean: Floats
    variance: Floats
    weight: Floats
    pooled: Floats
    whole_mean: Floats
    whole_variance: Floats


class _CovariateCounts(Generic[S]):
    """What both families share; the subclasses know the likelihood and the conjugate posterior."""

    methods: ClassVar[tuple[str, ...]] = ("ml", "bayes")
    given_names: ClassVar[tuple[str, ...]] = ()
    _concentration: ClassVar[str]

    def fit(self, groups: Described[S], method: str, prior: Prior = DEFAULT) -> Fit[LinkHyper]:
        """Fit the coefficients and the concentration."""
        check_method(method, self.methods)
        groups = with_data(groups, self._size(groups.groups))
        design = Design.of(groups.covariates, groups.names)
        likelihood = self._likelihood(groups.groups, design.rows(groups.covariates))
        if method == "bayes":
            return _integrated_fit(likelihood, design, prior, len(groups))
        best = maximise(likelihood)
        concentration = math.exp(best.log_concentration)
        hyper = LinkHyper(
            design.names,
            design.centre,
            design.scale,
            best.beta[np.newaxis],
            _root(best.covariance)[np.newaxis],
            np.array([[concentration]]),
            np.ones((1, 1)),
        )
        return Fit(
            method,
            hyper,
            best.value + likelihood.constant,
            boundary=math.isinf(concentration),
            bimodal=best.bimodal,
            converged=best.converged,
            iterations=best.iterations,
            groups_count=len(groups),
        )

    def condition(self, given: Mapping[str, float]) -> LinkHyper:
        """Refuse: coefficients are fitted."""
        raise UsageError(
            f"{', '.join(given) or 'hyperparameters'}: a pool with covariates is fitted, not given"
        )

    def log_likelihood(self, groups: Described[S], hyper: LinkHyper) -> float:
        """Return the marginal log-likelihood, with all its constants; a mixture's over nodes."""
        seen = with_data(groups, self._size(groups.groups))
        rows = hyper.design.rows(seen.covariates)
        likelihood = self._likelihood(seen.groups, rows)
        eta = hyper.predictors(rows).reshape(-1, len(rows))
        logs = np.log(hyper.concentration).reshape(-1, 1)
        if hyper.is_point and np.isinf(logs).any():
            each = likelihood.at_limit(eta)[0].sum(axis=1)
        else:
            each = likelihood.values(eta, logs).sum(axis=1)
        top = float(each.max())
        share = hyper.weight.ravel() @ np.exp(each - top)
        return top + math.log(share) + likelihood.constant

    def screen(self, groups: Described[S], hyper: LinkHyper) -> tuple[Floats, Floats]:
        """Return posterior mean and sd."""
        parts = [(at.whole_mean, np.sqrt(at.whole_variance)) for at in self._parts(groups, hyper)]
        mean, sd = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return mean, sd

    def posterior(self, groups: Described[S], hyper: LinkHyper, level: float) -> Posterior:
        """Return the posterior of every group; ``pooled`` is its own prior mean."""
        parts = []
        for at in self._parts(groups, hyper):
            lo, hi = self._ends(at, hyper, level)
            parts.append((at.pooled, at.weight, at.whole_mean, np.sqrt(at.whole_variance), lo, hi))
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return Posterior(self._raw(groups.groups), *columns)

    def tail_probability(self, groups: Described[S], hyper: LinkHyper, above: float) -> Floats:
        """Return each group's P(θ > above)."""
        share, link = hyper.weight.sum(axis=1), self._link(above)
        parts = []
        for at in self._parts(groups, hyper):
            kernels = self._matched(at.mean, at.variance)
            t = np.full(len(at.whole_mean), link)
            parts.append(share @ kernels.tail(t, upper=True))
        return np.concatenate(parts)

    def new_group(self, hyper: LinkHyper, level: float) -> Posterior:
        """Return the predictive of a group never seen, of average covariates."""
        average = Described.of(self._nothing(), hyper.centre[np.newaxis])
        return self.posterior(average, hyper, level)

    def parameters(self, hyper: LinkHyper) -> dict[str, float]:
        """Return ``intercept``, the slopes by name, ``mean`` at the average covariates and the
        concentration: its logarithm's mean where it is integrated.
        """
        mean, _ = hyper.coefficients().moments()
        out = dict(zip(("intercept", *hyper.names), mean.tolist(), strict=True))
        out["mean"] = float((hyper.weight * self._unlink(hyper.location)).sum())
        if hyper.is_point:
            return out | {self._concentration: float(hyper.concentration[0, 0])}
        log = float((hyper.weight * np.log(hyper.concentration)).sum())
        return out | {f"log_{self._concentration}": log}

    def uncertainty(self, hyper: LinkHyper, level: float) -> dict[str, tuple[float, float, float]]:
        """Return sd and interval of each parameter; nothing for a point fit."""
        if hyper.is_point:
            return {}
        mixture = hyper.coefficients()
        lo, hi = interval(mixture, level)
        triples = zip(mixture.moments()[1].tolist(), lo.tolist(), hi.tolist(), strict=True)
        out = dict(zip(("intercept", *hyper.names), triples, strict=True))
        if hyper.has_rows_of_locations:
            ends = interval_of_rows(hyper.location, hyper.weight, level)
        else:
            # The link at the average covariates is the scaled covariates' intercept.
            at_average = interval(hyper.average_location(), level)
            ends = float(at_average[0][0]), float(at_average[1][0])
        low, high = self._unlink(np.array(ends)).tolist()
        rate_sd = mean_and_sd(self._unlink(hyper.location), hyper.weight)[1]
        out["mean"] = rate_sd, low, high
        share = hyper.weight.sum(axis=1)
        # The rule is in the root of the spread, that is the fourth of the concentration.
        root = hyper.concentration[:, 0] ** -0.25
        _, least, most = interval_of_nodes(root, share, level)
        log_sd = mean_and_sd(np.log(hyper.concentration[:, 0]), share)[1]
        out[f"log_{self._concentration}"] = log_sd, -4 * math.log(most), -4 * math.log(least)
        return out

    def _parts(self, groups: Described[S], hyper: LinkHyper) -> Iterator[Collapsed]:
        """Collapse the inner nodes, a bounded number of cells at a time."""
        rows = hyper.design.rows(groups.covariates)
        many = max(1, _CELLS_MAX // hyper.weight.size)
        for first in range(0, max(len(rows), 1), many):
            here = slice(first, first + many)
            if np.isinf(hyper.concentration).any():
                eta = hyper.predictors(rows[here])
                sd = hyper.predictor_sd(rows[here])[:, np.newaxis, :]
                at = self._unshrunk(eta, sd)
            else:
                eta = hyper.predictors(rows[here])
                concentration = hyper.concentration[:, :, np.newaxis]
                at = self._shrink(groups.groups.take(here), eta, concentration)
            yield _collapse(at, hyper.weight)

    def _ends(self, at: Collapsed, hyper: LinkHyper, level: float) -> tuple[Floats, Floats]:
        kernels = self._matched(at.mean, at.variance)
        whole = self._matched(at.whole_mean[np.newaxis], at.whole_variance[np.newaxis])
        share, tail = hyper.weight.sum(axis=1), (1 - level) / 2
        if len(share) == 1:
            lo, hi = (whole.quantile(tail, upper)[0] for upper in (False, True))
        else:
            lo, hi = (
                mixture_quantile(kernels, share, whole, tail, upper) for upper in (False, True)
            )
        return self._unlink(lo), self._unlink(hi)

    def _size(self, groups: S) -> Floats:
        raise NotImplementedError

    def _raw(self, groups: S) -> Floats:
        raise NotImplementedError

    def _nothing(self) -> S:
        raise NotImplementedError

    def _likelihood(self, groups: S, rows: Floats) -> LinkLikelihood:
        raise NotImplementedError

    def _shrink(self, groups: S, eta: Floats, concentration: Floats) -> Shrunk:
        raise NotImplementedError

    def _unshrunk(self, eta: Floats, sd: Floats) -> Shrunk:
        """Return what is believed where groups of the same covariates do not differ."""
        raise NotImplementedError

    def _matched(self, mean: Floats, variance: Floats) -> Kernels:
        raise NotImplementedError

    def _link(self, value: float) -> float:
        raise NotImplementedError

    def _unlink(self, eta: Floats) -> Floats:
        raise NotImplementedError


class CovariateBetaBinomial(_CovariateCounts[Counts]):
    """Rates of successes in trials, logit of their prior mean a regression.

    Examples
    --------
    Six stores of two formats. Each is drawn to the stores of its own format:

    >>> stores = Counts(np.array([2.0, 9, 4, 30, 26, 41]), np.full(6, 100.0))
    >>> formats = Described.of(stores, np.array([[0.0], [0], [0], [1], [1], [1]]), names=("big",))
    >>> family = CovariateBetaBinomial()
    >>> fit = family.fit(formats, "ml")
    >>> family.posterior(formats, fit.hyper, level=0.95).pooled.round(3)
    array([0.05 , 0.05 , 0.05 , 0.323, 0.323, 0.323])
    """

    name: ClassVar[str] = "beta-binomial"
    _concentration: ClassVar[str] = "concentration"

    def _size(self, groups: Counts) -> Floats:
        return groups.trials

    def _raw(self, groups: Counts) -> Floats:
        return ratio(groups.successes, groups.trials)

    def _nothing(self) -> Counts:
        return Counts.zeros(1)

    def _likelihood(self, groups: Counts, rows: Floats) -> LinkLikelihood:
        return BetaBinomialRegression.of(groups, rows)

    def _shrink(self, groups: Counts, eta: Floats, concentration: Floats) -> Shrunk:
        m, q, total = expit(eta), expit(-eta), concentration + groups.trials
        mean = (m * concentration + groups.successes) / total
        rest = (q * concentration + (groups.trials - groups.successes)) / total
        return Shrunk(concentration / total, m, mean, mean * rest / (total + 1))

    def _unshrunk(self, eta: Floats, sd: Floats) -> Shrunk:
        # As many trials as leave a logit this sd: the pool's own where there are no covariates.
        m, variance = expit(eta), expit(eta) * expit(-eta)
        return Shrunk(np.ones_like(m), m, m, variance / (1 / (variance * sd**2) + 1))

    def _matched(self, mean: Floats, variance: Floats) -> Kernels:
        return BetaKernels.matched(mean, variance)

    def _link(self, value: float) -> float:
        return float(logit(min(max(value, 0.0), 1.0)))

    def _unlink(self, eta: Floats) -> Floats:
        rate: Floats = expit(eta)
        return rate


class CovariateGammaPoisson(_CovariateCounts[Exposure]):
    """Rates of events per exposure, log of their prior mean a regression."""

    name: ClassVar[str] = "gamma-poisson"
    _concentration: ClassVar[str] = "shape"

    def _size(self, groups: Exposure) -> Floats:
        return groups.exposure

    def _raw(self, groups: Exposure) -> Floats:
        return ratio(groups.events, groups.exposure)

    def _nothing(self) -> Exposure:
        return Exposure.zeros(1)

    def _likelihood(self, groups: Exposure, rows: Floats) -> LinkLikelihood:
        return GammaPoissonRegression.of(groups, rows)

    def _shrink(self, groups: Exposure, eta: Floats, concentration: Floats) -> Shrunk:
        mu = np.exp(eta)
        rate = concentration / mu
        total = rate + groups.exposure
        mean = (concentration + groups.events) / total
        return Shrunk(rate / total, mu, mean, mean / total)

    def _unshrunk(self, eta: Floats, sd: Floats) -> Shrunk:
        mu = np.exp(eta)
        return Shrunk(np.ones_like(mu), mu, mu, (mu * sd) ** 2)

    def _matched(self, mean: Floats, variance: Floats) -> Kernels:
        return GammaKernels.matched(mean, variance)

    def _link(self, value: float) -> float:
        return math.log(value) if value > 0 else -math.inf

    def _unlink(self, eta: Floats) -> Floats:
        rate: Floats = np.exp(eta)
        return rate


def _integrated_fit(
    likelihood: LinkLikelihood, design: Design, prior: Prior, count: int
) -> Fit[LinkHyper]:
    found = integrate(likelihood, design, prior)
    return Fit(
        "bayes",
        found.hyper,
        found.log_evidence,
        boundary=found.shape.boundary,
        bimodal=found.shape.bimodal,
        converged=True,
        iterations=0,
        groups_count=count,
        sensitivity=found.sensitivity,
    )


def _collapse(at: Shrunk, weight: Floats) -> Collapsed:
    """Match one kernel per outer node to the mean and the variance over its inner nodes."""
    shape = np.broadcast_shapes(at.weight.shape, at.mean.shape)
    outer = weight.sum(axis=1)
    share = weight / outer[:, np.newaxis]
    mean = np.einsum("ok,okj->oj", share, np.broadcast_to(at.mean, shape))
    spread = at.variance + (at.mean - mean[:, np.newaxis, :]) ** 2
    variance = np.einsum("ok,okj->oj", share, spread)
    drawn = np.broadcast_to(at.weight, shape)
    total = np.einsum("ok,okj->j", weight, drawn)
    pooled = np.einsum("ok,okj->j", weight, drawn * at.pooled) / total
    whole = outer @ mean
    whole_variance = outer @ (variance + (mean - whole) ** 2)
    return Collapsed(mean, variance, np.minimum(total, 1.0), pooled, whole, whole_variance)


def _root(covariance: Floats) -> Floats:
    """Return a square root; a coefficient may be without variance."""
    variance, axes = np.linalg.eigh(covariance)
    root: Floats = axes * np.sqrt(np.maximum(variance, 0.0))
    return root
