"""Priors of simulated pools: drawn from the nodes of an integrated hyper, or each group's own."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from stream_hb.errors import FitError
from stream_hb.models.beta_binomial import BetaHyper
from stream_hb.models.family import Posterior
from stream_hb.models.gamma_poisson import GammaHyper
from stream_hb.models.normal import NormalHyper
from stream_hb.models.normal_own import OwnVarianceHyper
from stream_hb.statistics.columns import Floats

_NEVER_INFINITE = 1e12
"""A concentration at which groups differ by a millionth of what sampling does."""


@dataclass(frozen=True, slots=True)
class HyperNodes:
    """Nodes with weights, arrays of one length; a point hyper is one node.

    Attributes
    ----------
    location, location_sd
        Prior mean, and what is left unknown of it at the node.
    concentration
        κ, the shape a, or τ for means.
    weight
        Sums to 1.
    """

    location: Floats
    location_sd: Floats
    concentration: Floats
    weight: Floats

    @classmethod
    def of(cls, hyper: Any) -> Self:
        """Read a point hyper of a family, or the nodes of an integrated one."""
        match hyper:
            case BetaHyper(mean, concentration):
                return cls._point(mean, 0.0, min(concentration, _NEVER_INFINITE))
            case GammaHyper(mean, shape):
                return cls._point(mean, 0.0, min(shape, _NEVER_INFINITE))
            case NormalHyper(mu, tau2, se_mu) | OwnVarianceHyper(mu, tau2, se_mu):
                return cls._point(mu, se_mu, tau2**0.5)
        try:
            location = np.ravel(hyper.location)
            spread = np.minimum(np.ravel(hyper.concentration), _NEVER_INFINITE)
            weight = np.ravel(hyper.weight)
        except AttributeError as error:
            name = type(hyper).__name__
            raise FitError(
                f"cannot check a pool by {name}, only by GroupPriors: {error}"
            ) from error
        sd = np.ravel(getattr(hyper, "location_sd", np.zeros_like(location)))
        return cls(location, sd, spread, weight / weight.sum())

    @classmethod
    def _point(cls, location: float, sd: float, concentration: float) -> Self:
        return cls(*(np.array([value]) for value in (location, sd, concentration, 1.0)))

    def mean_of(self, values: Floats) -> Floats:
        """Return a posterior mean over the nodes."""
        return np.asarray((self.weight * values).sum())

    def draw(self, draws: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return location and concentration of each draw, shapes (draws, 1)."""
        at = rng.choice(len(self.weight), size=(draws, 1), p=self.weight)
        noise = self.location_sd[at] * rng.standard_normal((draws, 1))
        return self.location[at] + noise, self.concentration[at]


@dataclass(frozen=True, slots=True)
class GroupPriors:
    """Each group's own prior mean and concentration, as they show in a fit's posterior.

    This is how a pool with covariates or regions is checked: given what is known of them its
    groups are exchangeable, and their deviations are from their own prior means. The
    hyperparameters' uncertainty is left out, so that the checks are a little less patient.

    Attributes
    ----------
    location
        Prior mean of each group, shape (groups,).
    concentration
        κ, the shape a, or τ of each group.

    Examples
    --------
    >>> from stream_hb.models.beta_binomial import BetaBinomial
    >>> from stream_hb.statistics.counts import Counts
    >>> stores = Counts(np.array([2.0, 30.0]), np.array([20.0, 1000.0]))
    >>> hyper = BetaBinomial().condition({"alpha": 5, "beta": 95})
    >>> posterior = BetaBinomial().posterior(stores, hyper, 0.95)
    >>> priors = GroupPriors.of("beta-binomial", stores.trials, posterior)
    >>> priors.location, priors.concentration.round(9)
    (array([0.05, 0.05]), array([100., 100.]))
    """

    location: Floats
    concentration: Floats

    @classmethod
    def of(cls, family_name: str, size: Floats, posterior: Posterior) -> Self:
        """Read a posterior.

        Parameters
        ----------
        family_name
            ``beta-binomial``, ``gamma-poisson`` or ``normal``.
        size
            Trials, exposure, or for means the reciprocals of their sampling variances.
        posterior
            Of the same groups; its weight is κ/(κ + n), b/(b + t) or v/(v + τ²).
        """
        seen = (size > 0) & (posterior.weight < 1)
        prior_size = np.full(len(size), _NEVER_INFINITE)
        odds = np.divide(posterior.weight, 1 - posterior.weight, out=prior_size.copy(), where=seen)
        np.multiply(size, odds, out=prior_size, where=seen)
        if family_name == "gamma-poisson":
            prior_size = prior_size * posterior.pooled
        if family_name == "normal":
            prior_size = np.where(seen, 1 / np.sqrt(np.maximum(prior_size, 1e-300)), 0.0)
        return cls(posterior.pooled, np.minimum(prior_size, _NEVER_INFINITE))

    def take(self, rows: Any) -> Self:
        """Return the given groups' priors."""
        return type(self)(self.location[rows], self.concentration[rows])

    def mean_of(self, values: Floats) -> Floats:
        """Return the values: there is nothing to average over."""
        return values

    def draw(self, draws: int, rng: np.random.Generator) -> tuple[Floats, Floats]:  # noqa: ARG002
        """Return location and concentration, shapes (1, groups)."""
        return self.location[None, :], self.concentration[None, :]
