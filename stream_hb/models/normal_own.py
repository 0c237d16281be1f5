"""Normal-Normal where each group has its own variance of one observation: separate or moderated.

``separate`` takes nothing from the other groups (σ_j² has the prior 1/σ_j²): at three observations
a group its variance is anybody's guess, and its mean a t with two degrees of freedom.
``moderated`` draws the variances to what they have in common, as limma does: σ_j² is scaled inverse
χ² with (d0, s0²) fitted by the moments of log s². Under ``bayes`` the variances' own uncertainty is
integrated; the other methods take the squeezed variances as known.

What a summary must keep
------------------------
The groups themselves, for now (an exact summary). A binned one of squeezed means and variances is
that of :class:`~stream_hb.models.normal.NormalKnownVariance`, but a new (d0, s0²) moves every
group's variance, and with it its bin: it has to be made anew from the groups when these move.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from stream_hb.errors import FitError
from stream_hb.field_names import field_names
from stream_hb.models import normal_shrinkage
from stream_hb.models.distinct import once_each
from stream_hb.models.family import Fit, Posterior
from stream_hb.models.given import take_given
from stream_hb.models.hyperprior import DEFAULT, Prior
from stream_hb.models.moderation import VariancePrior, degrees_of, fit_variance_prior
from stream_hb.models.normal import METHODS, NormalHyper, NormalKnownVariance, bayes_fit
from stream_hb.models.normal_nodes import NormalNodes
from stream_hb.models.normal_observations_fit import pooled_variance
from stream_hb.models.pool import check_method, groups_of, with_data
from stream_hb.models.variance_common import least_variance
from stream_hb.models.variance_nodes import sampling_variance, variance_nodes
from stream_hb.models.variance_own import integrate_own
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments
from stream_hb.statistics.summary import ExactSummary


@dataclass(frozen=True, slots=True)
class OwnVarianceHyper:
    """Hyperparameters of a pool of means whose groups have their own variances.

    Attributes
    ----------
    mu, tau2, se_mu
        As in :class:`~stream_hb.models.normal.NormalHyper`.
    prior_degrees
        d0, what the groups together say of one group's variance, in degrees of freedom; 0 for
        ``separate``.
    prior_variance
        s0²; for ``separate`` the pooled one, which groups without a variance borrow.
    pooled_degrees
        Σd_j; infinite where the variances are given.
    """

    mu: float
    tau2: float
    se_mu: float
    prior_degrees: float
    prior_variance: float
    pooled_degrees: float = math.inf


AnyHyper = OwnVarianceHyper | NormalNodes


class NormalSeparate:
    """Means of observations whose variance is each group's own, and nothing is known of it else.

    Examples
    --------
    Three orders that happen to agree are not three certain orders; if the groups' variances have
    anything in common, that says so:

    >>> stores = Moments(np.full(3, 3.0), np.array([4.0, 5.0, 6.0]), np.array([2.0, 3.0, 1e-3]))
    >>> for family in (NormalSeparate(), NormalModerated()):
    ...     family.posterior(stores, family.fit(stores, "reml").hyper, 0.95).sd[2].round(3)
    np.float64(0.013)
    np.float64(0.026)
    """

    name: ClassVar[str] = "normal"
    methods: ClassVar[tuple[str, ...]] = METHODS
    given_names: ClassVar[tuple[str, ...]] = ("mu", "tau2", "sigma2")

    _moderated: ClassVar[bool] = False

    def __init__(self) -> None:
        self._known = NormalKnownVariance()

    def variance_prior(self, groups: Moments) -> VariancePrior:
        """Return (d0, s0²) from the groups: moderation is part of the fit.

        Where no group has two observations, the variance of all of them is taken as known.
        """
        degrees = degrees_of(groups)
        if not degrees.any():
            return VariancePrior(math.inf, pooled_variance(groups))
        if not self._moderated:
            return VariancePrior(0.0, pooled_variance(groups), float(degrees.sum()))
        variance = np.zeros(len(groups))
        np.divide(groups.m2, degrees, out=variance, where=degrees > 0)
        # Zeros are offset in units of 1 where half of the variances are zero: which unit of money
        # was chosen must not matter, so one is the median of those that are not.
        least = least_variance(groups)
        positive = variance[variance > least]
        if not len(positive):
            return VariancePrior(math.inf, least, float(degrees.sum()))
        unit = float(np.median(positive))
        found = fit_variance_prior(variance / unit, degrees)
        return found._replace(variance=max(found.variance * unit, least))

    def fit(
        self, groups: Moments | ExactSummary[Moments], method: str, prior: Prior = DEFAULT
    ) -> Fit[Any]:
        """Fit μ and τ², and what the groups' variances have in common."""
        check_method(method, self.methods)
        groups = groups_of(groups)
        groups = with_data(groups, groups.weight)
        variances = self.variance_prior(groups)
        measured = Measured(groups.mean, sampling_variance(groups, variances))
        if method == "bayes":
            is_flat = self._known.fit(measured, "reml").boundary
            return bayes_fit(integrate_own(groups, variances, prior), len(groups), boundary=is_flat)
        fit = self._known.fit(measured, method)
        point = fit.hyper
        return replace(fit, hyper=OwnVarianceHyper(point.mu, point.tau2, point.se_mu, *variances))

    def condition(self, given: Mapping[str, float]) -> OwnVarianceHyper:
        """Take ``mu``, ``tau2``, ``sigma2`` (s0²) and, moderated, ``d0`` as given."""
        mu, tau2, *degrees, variance = take_given(
            given, self.given_names, may_be_zero=("tau2", "d0"), real=("mu",)
        )
        return OwnVarianceHyper(mu, tau2, 0.0, degrees[0] if degrees else 0.0, variance)

    def log_likelihood(self, groups: Moments, hyper: AnyHyper) -> float:
        """Return the marginal log-likelihood of the means, their squeezed variances as known."""
        return self._known.log_likelihood(*_as_known(groups, hyper))

    def screen(self, groups: Moments, hyper: AnyHyper) -> tuple[Floats, Floats]:
        """Return posterior mean and sd."""
        if isinstance(hyper, NormalNodes):
            mean, sd = once_each(partial(_screen, hyper), *groups.columns().values())
            return mean, sd
        return self._known.screen(*_as_known(groups, hyper))

    def posterior(self, groups: Moments, hyper: AnyHyper, level: float) -> Posterior:
        """Return the posterior of every group."""
        if isinstance(hyper, NormalNodes):
            return Posterior(
                *once_each(partial(_posterior, hyper, level), *groups.columns().values())
            )
        return self._known.posterior(*_as_known(groups, hyper), level)

    def tail_probability(self, groups: Moments, hyper: AnyHyper, above: float) -> Floats:
        """Return each group's P(θ > above)."""
        if isinstance(hyper, NormalNodes):
            nodes = variance_nodes(groups, _variances(hyper))
            return normal_shrinkage.tail_probability(groups.mean, nodes, hyper.kernels(), above)
        return self._known.tail_probability(*_as_known(groups, hyper), above)

    def new_group(self, hyper: AnyHyper, level: float) -> Posterior:
        """Return the predictive of a group never seen."""
        return self.posterior(Moments.zeros(1), hyper, level)

    def parameters(self, hyper: AnyHyper) -> dict[str, float]:
        """Return the hyperparameters, ``sigma2`` being s0²; integrated, their means."""
        if isinstance(hyper, NormalNodes):
            return hyper.means()
        point = {"mu": hyper.mu, "tau2": hyper.tau2, "se_mu": hyper.se_mu}
        return {**point, "d0": hyper.prior_degrees, "sigma2": hyper.prior_variance}

    def uncertainty(self, hyper: AnyHyper, level: float) -> dict[str, tuple[float, float, float]]:
        """Return sd and interval of each hyperparameter; nothing where they are taken as known."""
        return hyper.uncertainty(level) if isinstance(hyper, NormalNodes) else {}


class NormalModerated(NormalSeparate):
    """The same, the variances drawn to what they have in common."""

    given_names: ClassVar[tuple[str, ...]] = ("mu", "tau2", "d0", "sigma2")

    _moderated: ClassVar[bool] = True


def _variances(hyper: AnyHyper) -> VariancePrior:
    if math.isnan(hyper.prior_variance):
        raise FitError("these hyperparameters know no group's variance: they are another family's")
    return VariancePrior(hyper.prior_degrees, hyper.prior_variance, hyper.pooled_degrees)


def _screen(hyper: NormalNodes, *columns: Floats) -> tuple[Floats, Floats]:
    groups = Moments(*columns)
    nodes = variance_nodes(groups, _variances(hyper))
    return normal_shrinkage.screen(groups.mean, nodes, hyper.kernels())


def _posterior(hyper: NormalNodes, level: float, *columns: Floats) -> Iterator[Floats]:
    groups = Moments(*columns)
    nodes = variance_nodes(groups, _variances(hyper))
    kernels = hyper.kernels(), hyper.few_kernels()
    found = normal_shrinkage.posterior(groups.mean, nodes, *kernels, level)
    return (getattr(found, name) for name in field_names(Posterior))


def _as_known(groups: Moments, hyper: AnyHyper) -> tuple[Measured, NormalHyper]:
    if isinstance(hyper, NormalNodes):
        raise FitError("integrated hyperparameters are many: the fit has their log evidence")
    measured = Measured(groups.mean, sampling_variance(groups, _variances(hyper)))
    return measured, NormalHyper(hyper.mu, hyper.tau2, hyper.se_mu)
