"""Gamma-Poisson: event rates of groups that share a Gamma prior.

y ~ Poisson(tθ), θ ~ Gamma(shape a, rate b) with mean μ = a/b. Given both, the posterior is
Gamma(a + y, b + t) and the weight on the pooled mean is b/(b + t).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import gammaincc, gammainccinv, gammaincinv

from stream_hb.models.count_bayes import integrate
from stream_hb.models.count_mixture import CountMixture
from stream_hb.models.family import Fit, Posterior
from stream_hb.models.gamma_kernels import GammaKernels
from stream_hb.models.gamma_nodes import GammaNodes, GammaPool, gamma_mixture, gamma_nodes
from stream_hb.models.gamma_poisson_fit import (
    GammaPoissonMarginal,
    Pool,
    log_likelihood,
    maximise,
    pooled_rate,
    shape_by_moments,
    totals_of,
)
from stream_hb.models.given import take_given
from stream_hb.models.hyperprior import DEFAULT, Prior
from stream_hb.models.modes import Best
from stream_hb.models.pool import check_method, ratio, to_fit
from stream_hb.models.spread_table import interval_of, mean_and_sd
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.exposure import Exposure


@dataclass(frozen=True, slots=True)
class GammaHyper:
    """Hyperparameters of a pool of rates.

    Attributes
    ----------
    mean
        Mean μ of the groups' rates, per unit of exposure; 0 where there was no event at all.
    shape
        Shape a: 1/a is the squared coefficient of variation between groups; infinite where they do
        not differ.
    pool_exposure
        Exposure of the whole pool: what the rate is known from where the groups do not differ.
        Infinite where the hyperparameters are given.
    """

    mean: float
    shape: float
    pool_exposure: float

    @property
    def rate(self) -> float:
        """Prior exposure b = a/μ."""
        return self.shape / self.mean if self.mean > 0 else math.inf


class GammaPoisson:
    """Rates of events per exposure.

    Where the groups do not differ (infinite shape) every posterior is that of complete pooling,
    Gamma(μT, T) with the pool's exposure T; where besides there was no event, Gamma(½, T) by
    Jeffreys' prior, and its mean is the estimate.

    Examples
    --------
    >>> hyper = GammaPoisson().condition({"shape": 2, "rate": 4})
    >>> store = Exposure(events=np.array([7.0]), exposure=np.array([5.0]))
    >>> posterior = GammaPoisson().posterior(store, hyper, level=0.95)
    >>> posterior.mean, posterior.weight.round(4)  # (2 + 7)/(4 + 5), 4/(4 + 5)
    (array([1.]), array([0.4444]))
    """

    name: ClassVar[str] = "gamma-poisson"
    methods: ClassVar[tuple[str, ...]] = ("moments", "ml", "bayes")
    given_names: ClassVar[tuple[str, ...]] = ("shape", "rate")

    def fit(
        self,
        groups: Pool,
        method: str,
        prior: Prior = DEFAULT,
    ) -> Fit[Any]:
        """Fit mean and shape to groups, or to a summary of them."""
        check_method(method, self.methods)
        pool = to_fit(groups)
        marginal = GammaPoissonMarginal.of(pool)
        if method == "bayes":
            return _integrated(pool, marginal, prior)
        if method == "moments":
            mean, shape = pooled_rate(pool), shape_by_moments(pool)
            best = Best(None, bimodal=False, iterations=0)
        else:
            mean, shape, best = maximise(marginal)
        return Fit(
            method,
            GammaHyper(mean, shape, totals_of(pool).exposure),
            marginal.log_likelihood(mean, shape),
            boundary=math.isinf(shape),
            bimodal=best.bimodal,
            converged=best.mode is None or best.mode.converged,
            iterations=best.iterations,
            groups_count=pool.groups_count,
        )

    def condition(self, given: Mapping[str, float]) -> GammaHyper:
        """Take ``shape`` and ``rate`` as given."""
        shape, rate = take_given(given, self.given_names)
        return GammaHyper(shape / rate, shape, math.inf)

    def log_likelihood(self, groups: Pool, hyper: GammaHyper) -> float:
        """Return the marginal log-likelihood at any hyperparameters, with all its constants."""
        return log_likelihood(groups, hyper.mean, hyper.shape)

    def audit(self, groups: Pool, prior: Prior = DEFAULT) -> Fit[GammaNodes]:
        """Fit as ``bayes`` does, but keep every node as a kernel of its own: slow, and closer."""
        pool = to_fit(groups)
        return _integrated(pool, GammaPoissonMarginal.of(pool), prior, audit=True)

    def screen(self, groups: Exposure, hyper: GammaHyper | GammaNodes) -> tuple[Floats, Floats]:
        """Return posterior mean and sd."""
        if isinstance(hyper, GammaNodes):
            return _mixture(hyper).screen(groups.events, groups.exposure)
        return _mean_and_sd(*_kernel(groups, hyper))

    def posterior(
        self, groups: Exposure, hyper: GammaHyper | GammaNodes, level: float
    ) -> Posterior:
        """Return the posterior of every group."""
        if isinstance(hyper, GammaNodes):
            return _mixture(hyper).posterior(groups.events, groups.exposure, level, np.exp)
        shape, rate = _kernel(groups, hyper)
        mean, sd = _mean_and_sd(shape, rate)
        tail = (1 - level) / 2
        return Posterior(
            raw=ratio(groups.events, groups.exposure),
            pooled=np.full(len(groups), _pooled(hyper)),
            weight=1 / (1 + groups.exposure / hyper.rate),
            mean=mean,
            sd=sd,
            lo=gammaincinv(shape, tail) / rate,
            hi=gammainccinv(shape, tail) / rate,
        )

    def kernels(
        self, groups: Exposure, hyper: GammaHyper | GammaNodes
    ) -> tuple[GammaKernels, Floats]:
        """Return every group's posterior as Gammas, shape (kernels, groups), and their weights."""
        if isinstance(hyper, GammaNodes):
            mixture = _mixture(hyper)
            return mixture.kernels(groups.events, groups.exposure), hyper.weight.sum(axis=1)
        shape, rate = _kernel(groups, hyper)
        return GammaKernels(shape[np.newaxis], rate[np.newaxis]), np.ones(1)

    def tail_probability(
        self, groups: Exposure, hyper: GammaHyper | GammaNodes, above: float
    ) -> Floats:
        """Return each group's P(θ > above)."""
        if isinstance(hyper, GammaNodes):
            link = math.log(above) if above > 0 else -math.inf
            return _mixture(hyper).tail_probability(groups.events, groups.exposure, link)
        shape, rate = _kernel(groups, hyper)
        inside: Floats = gammaincc(shape, rate * max(above, 0.0))
        return inside

    def new_group(self, hyper: GammaHyper | GammaNodes, level: float) -> Posterior:
        """Return the predictive of a group never seen: the prior."""
        return self.posterior(Exposure.zeros(1), hyper, level)

    def parameters(self, hyper: GammaHyper | GammaNodes) -> dict[str, float]:
        """Return ``shape``, ``rate`` and ``mean``; or the posterior means of nodes."""
        if isinstance(hyper, GammaNodes):
            means = _moments(hyper)
            return {name: mean for name, (mean, _) in means.items()}
        return {"shape": hyper.shape, "rate": hyper.rate, "mean": hyper.mean}

    def uncertainty(
        self, hyper: GammaHyper | GammaNodes, level: float
    ) -> dict[str, tuple[float, float, float]]:
        """Return sd and interval of each parameter of integrated hyperparameters; else nothing.

        The intervals are within 2 % of their width of dense quadrature from 3 groups on, and
        within 1 % from 20 on.
        """
        if not isinstance(hyper, GammaNodes):
            return {}
        tables = {"mean": hyper.mean_table, "log_shape": hyper.log_shape_table}
        return {
            name: (sd, *interval_of(tables[name], level))
            for name, (_, sd) in _moments(hyper).items()
        }


def _integrated(
    pool: Any, marginal: GammaPoissonMarginal, prior: Prior, audit: bool = False
) -> Fit[GammaNodes]:
    """Fit with the hyperparameters integrated; the diagnostics are those of the likelihood.

    ``boundary`` says that maximum likelihood finds no difference between the groups: the spread's
    posterior is then highest near zero, and no weight is 1.
    """
    integrated = integrate(GammaPool(marginal), prior, audit)
    _, concentration, best = maximise(marginal)
    return Fit(
        "bayes",
        gamma_nodes(integrated),
        marginal.at_pooling + integrated.nodes.log_evidence,
        boundary=math.isinf(concentration),
        bimodal=best.bimodal,
        converged=True,
        iterations=0,
        groups_count=pool.groups_count,
        sensitivity=integrated.sensitivity,
    )


def _mixture(hyper: GammaNodes) -> CountMixture[Any]:
    return gamma_mixture(hyper.location, hyper.concentration, hyper.weight)


def _moments(hyper: GammaNodes) -> dict[str, tuple[float, float]]:
    """Return posterior mean and sd of each parameter."""
    columns = {"mean": hyper.location, "log_shape": np.log(hyper.concentration)}
    return {name: mean_and_sd(values, hyper.weight) for name, values in columns.items()}


def _kernel(groups: Exposure, hyper: GammaHyper) -> tuple[Floats, Floats]:
    """Return shape and rate of every group's Gamma posterior."""
    if math.isinf(hyper.shape):
        return np.full(len(groups), _events(hyper)), np.full(len(groups), hyper.pool_exposure)
    return hyper.shape + groups.events, hyper.rate + groups.exposure


def _events(hyper: GammaHyper) -> float:
    """Return the shape of complete pooling: the pool's events, or ½ where there were none."""
    return hyper.mean * hyper.pool_exposure if hyper.mean > 0 else 0.5


def _pooled(hyper: GammaHyper) -> float:
    return hyper.mean if hyper.mean > 0 else _events(hyper) / hyper.pool_exposure


def _mean_and_sd(shape: Floats, rate: Floats) -> tuple[Floats, Floats]:
    return shape / rate, np.sqrt(shape) / rate
