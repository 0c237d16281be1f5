"""Hyperparameters of simulated pools: drawn from the nodes of an integrated hyper, or as given."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from stream_hb.errors import FitError
from stream_hb.models.beta_binomial import BetaHyper
from stream_hb.models.gamma_poisson import GammaHyper
from stream_hb.models.normal import NormalHyper
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
            case NormalHyper(mu, tau2, se_mu):
                return cls._point(mu, se_mu, tau2**0.5)
        try:
            location = np.ravel(hyper.location)
            spread = np.minimum(np.ravel(hyper.concentration), _NEVER_INFINITE)
            weight = np.ravel(hyper.weight)
        except AttributeError as error:
            raise FitError(f"cannot check a pool by {type(hyper).__name__}: {error}") from error
        sd = np.ravel(getattr(hyper, "location_sd", np.zeros_like(location)))
        return cls(location, sd, spread, weight / weight.sum())

    @classmethod
    def _point(cls, location: float, sd: float, concentration: float) -> Self:
        return cls(*(np.array([value]) for value in (location, sd, concentration, 1.0)))

    def mean_of(self, values: Floats) -> float:
        """Return a posterior mean over the nodes."""
        return float((self.weight * values).sum())

    def draw(self, draws: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return location and concentration of each draw, shapes (draws, 1)."""
        at = rng.choice(len(self.weight), size=(draws, 1), p=self.weight)
        noise = self.location_sd[at] * rng.standard_normal((draws, 1))
        return self.location[at] + noise, self.concentration[at]
