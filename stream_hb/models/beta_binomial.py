"""Beta-Binomial: conversion rates of groups that share a Beta prior.

y ~ Bin(n, θ), θ ~ Beta(mκ, (1-m)κ) with mean m and concentration κ. Given both, the posterior is
Beta(mκ + y, (1-m)κ + n - y) and the weight on the pooled mean is κ/(κ + n).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import betaincc, expit, logit

from stream_hb.models.beta_binomial_fit import (
    BetaBinomialMarginal,
    Pool,
    concentration_by_moments,
    log_likelihood,
    maximise,
    pooled_mean,
    totals_of,
)
from stream_hb.models.beta_kernels import BetaKernels
from stream_hb.models.beta_nodes import BetaNodes, BetaPool, beta_mixture, beta_nodes
from stream_hb.models.count_bayes import integrate
from stream_hb.models.count_mixture import CountMixture
from stream_hb.models.family import Fit, Posterior
from stream_hb.models.given import take_given
from stream_hb.models.hyperprior import DEFAULT, Prior
from stream_hb.models.modes import Best
from stream_hb.models.pool import check_method, ratio, to_fit
from stream_hb.models.special import beta_quantile
from stream_hb.models.spread_table import interval_of, mean_and_sd
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.counts import Counts


@dataclass(frozen=True, slots=True)
class BetaHyper:
    """Hyperparameters of a pool of rates.

    Attributes
    ----------
    mean
        Mean m of the groups' rates; 0 or 1 where no trial, or every one, was a success.
    concentration
        Prior trials κ = α + β; infinite where the groups do not differ.
    pool_trials
        Trials of the whole pool: what the rate is known from where the groups do not differ.
        Infinite where the hyperparameters are given.
    """

    mean: float
    concentration: float
    pool_trials: float


class BetaBinomial:
    """Rates of successes in trials.

    Where the groups do not differ (infinite concentration) every posterior is that of complete
    pooling, Beta(mN, (1-m)N) with the pool's N trials. Where besides no trial (or every one) was a
    success that is Beta(½, N + ½) (or mirrored) by Jeffreys' prior, and its mean is the estimate.

    Examples
    --------
    A store with 2 of 20 in a chain that converts about 5 %:

    >>> hyper = BetaBinomial().condition({"alpha": 5, "beta": 95})
    >>> store = Counts(np.array([2.0]), np.array([20.0]))
    >>> posterior = BetaBinomial().posterior(store, hyper, level=0.95)
    >>> posterior.raw[0], posterior.pooled[0], posterior.weight[0].round(4)
    (np.float64(0.1), np.float64(0.05), np.float64(0.8333))
    >>> posterior.mean[0] == 7 / 120
    np.True_
    >>> posterior.lo.round(4), posterior.hi.round(4)  # quantiles of Beta(7, 113)
    (array([0.024]), array([0.1065]))
    """

    name: ClassVar[str] = "beta-binomial"
    methods: ClassVar[tuple[str, ...]] = ("moments", "ml", "bayes")
    given_names: ClassVar[tuple[str, ...]] = ("alpha", "beta")

    def fit(
        self,
        groups: Pool,
        method: str,
        prior: Prior = DEFAULT,
    ) -> Fit[Any]:
        """Fit mean and concentration to groups, or to a summary of them."""
        check_method(method, self.methods)
        pool = to_fit(groups)
        marginal = BetaBinomialMarginal.of(pool)
        if method == "bayes":
            return _integrated(pool, marginal, prior)
        if method == "moments":
            mean, concentration = pooled_mean(pool), concentration_by_moments(pool)
            best = Best(None, bimodal=False, iterations=0)
        else:
            mean, concentration, best = maximise(marginal)
        return Fit(
            method,
            BetaHyper(mean, concentration, totals_of(pool).trials),
            marginal.log_likelihood(mean, concentration),
            boundary=math.isinf(concentration),
            bimodal=best.bimodal,
            converged=best.mode is None or best.mode.converged,
            iterations=best.iterations,
            groups_count=pool.groups_count,
        )

    def condition(self, given: Mapping[str, float]) -> BetaHyper:
        """Take ``alpha`` and ``beta`` as given."""
        alpha, beta = take_given(given, self.given_names)
        return BetaHyper(alpha / (alpha + beta), alpha + beta, math.inf)

    def log_likelihood(self, groups: Pool, hyper: BetaHyper) -> float:
        """Return the marginal log-likelihood at any hyperparameters, with all its constants."""
        return log_likelihood(groups, hyper.mean, hyper.concentration)

    def audit(self, groups: Pool, prior: Prior = DEFAULT) -> Fit[BetaNodes]:
        """Fit as ``bayes`` does, but keep every node as a kernel of its own: slow, and closer."""
        pool = to_fit(groups)
        return _integrated(pool, BetaBinomialMarginal.of(pool), prior, audit=True)

    def screen(self, groups: Counts, hyper: BetaHyper | BetaNodes) -> tuple[Floats, Floats]:
        """Return posterior mean and sd."""
        if isinstance(hyper, BetaNodes):
            return _mixture(hyper).screen(groups.successes, groups.trials)
        return _mean_and_sd(*_kernel(groups, hyper))

    def posterior(self, groups: Counts, hyper: BetaHyper | BetaNodes, level: float) -> Posterior:
        """Return the posterior of every group."""
        if isinstance(hyper, BetaNodes):
            return _mixture(hyper).posterior(groups.successes, groups.trials, level, expit)
        a, b = _kernel(groups, hyper)
        mean, sd = _mean_and_sd(a, b)
        tail = (1 - level) / 2
        return Posterior(
            raw=ratio(groups.successes, groups.trials),
            pooled=np.full(len(groups), _pooled(hyper)),
            weight=1 / (1 + groups.trials / hyper.concentration),
            mean=mean,
            sd=sd,
            lo=beta_quantile(a, b, tail),
            hi=beta_quantile(a, b, tail, upper=True),
        )

    def kernels(self, groups: Counts, hyper: BetaHyper | BetaNodes) -> tuple[BetaKernels, Floats]:
        """Return every group's posterior as Betas, shape (kernels, groups), and their weights."""
        if isinstance(hyper, BetaNodes):
            mixture = _mixture(hyper)
            return mixture.kernels(groups.successes, groups.trials), hyper.weight.sum(axis=1)
        a, b = _kernel(groups, hyper)
        return BetaKernels(a[np.newaxis], b[np.newaxis]), np.ones(1)

    def tail_probability(
        self, groups: Counts, hyper: BetaHyper | BetaNodes, above: float
    ) -> Floats:
        """Return each group's P(θ > above)."""
        if isinstance(hyper, BetaNodes):
            link = logit(min(max(above, 0.0), 1.0))
            return _mixture(hyper).tail_probability(groups.successes, groups.trials, link)
        a, b = _kernel(groups, hyper)
        inside: Floats = betaincc(a, b, min(max(above, 0.0), 1.0))
        return inside

    def new_group(self, hyper: BetaHyper | BetaNodes, level: float) -> Posterior:
        """Return the predictive of a group never seen: the prior."""
        return self.posterior(Counts.zeros(1), hyper, level)

    def parameters(self, hyper: BetaHyper | BetaNodes) -> dict[str, float]:
        """Return ``alpha``, ``beta``, ``mean``, ``concentration``; or posterior means of nodes."""
        if isinstance(hyper, BetaNodes):
            means = _moments(hyper)
            return {name: mean for name, (mean, _) in means.items()}
        alpha, beta = (
            share * hyper.concentration if share > 0 else 0.0
            for share in (hyper.mean, 1 - hyper.mean)
        )
        return {
            "alpha": alpha,
            "beta": beta,
            "mean": hyper.mean,
            "concentration": hyper.concentration,
        }

    def uncertainty(
        self, hyper: BetaHyper | BetaNodes, level: float
    ) -> dict[str, tuple[float, float, float]]:
        """Return sd and interval of each parameter of integrated hyperparameters; else nothing.

        The intervals are within 2 % of their width of dense quadrature from 3 groups on, and
        within 1 % from 20 on.
        """
        if not isinstance(hyper, BetaNodes):
            return {}
        tables = {"mean": hyper.mean_table, "log_concentration": hyper.log_concentration_table}
        return {
            name: (sd, *interval_of(tables[name], level))
            for name, (_, sd) in _moments(hyper).items()
        }


def _integrated(
    pool: Any, marginal: BetaBinomialMarginal, prior: Prior, audit: bool = False
) -> Fit[BetaNodes]:
    """Fit with the hyperparameters integrated; the diagnostics are those of the likelihood.

    ``boundary`` says that maximum likelihood finds no difference between the groups: the spread's
    posterior is then highest near zero, and no weight is 1.
    """
    integrated = integrate(BetaPool(marginal), prior, audit)
    _, concentration, best = maximise(marginal)
    return Fit(
        "bayes",
        beta_nodes(integrated),
        marginal.at_pooling + integrated.nodes.log_evidence,
        boundary=math.isinf(concentration),
        bimodal=best.bimodal,
        converged=True,
        iterations=0,
        groups_count=pool.groups_count,
        sensitivity=integrated.sensitivity,
    )


def _mixture(hyper: BetaNodes) -> CountMixture[Any]:
    return beta_mixture(hyper.location, hyper.concentration, hyper.weight)


def _moments(hyper: BetaNodes) -> dict[str, tuple[float, float]]:
    """Return posterior mean and sd of each parameter."""
    columns = {"mean": hyper.location, "log_concentration": np.log(hyper.concentration)}
    return {name: mean_and_sd(values, hyper.weight) for name, values in columns.items()}


def _kernel(groups: Counts, hyper: BetaHyper) -> tuple[Floats, Floats]:
    """Return both parameters of every group's Beta posterior."""
    if math.isinf(hyper.concentration):
        a, b = _complete_pooling(hyper)
        return np.full(len(groups), a), np.full(len(groups), b)
    alpha, beta = hyper.mean * hyper.concentration, (1 - hyper.mean) * hyper.concentration
    return alpha + groups.successes, beta + (groups.trials - groups.successes)


def _complete_pooling(hyper: BetaHyper) -> tuple[float, float]:
    jeffreys = 0.0 if 0 < hyper.mean < 1 else 0.5
    successes = hyper.mean * hyper.pool_trials
    return successes + jeffreys, hyper.pool_trials - successes + jeffreys


def _pooled(hyper: BetaHyper) -> float:
    if 0 < hyper.mean < 1:
        return hyper.mean
    a, b = _complete_pooling(hyper)
    return a / (a + b)


def _mean_and_sd(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    total = a + b
    mean = a / total
    return mean, np.sqrt(mean * (b / total) / (total + 1))
