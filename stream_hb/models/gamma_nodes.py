"""Gamma-Poisson pools with their hyperparameters integrated: nodes, and posteriors from them."""

import math
from dataclasses import dataclass

import numpy as np

from stream_hb.models.count_bayes import Integrated
from stream_hb.models.count_mixture import CountMixture
from stream_hb.models.gamma_kernels import GammaKernels
from stream_hb.models.gamma_poisson_fit import GammaPoissonMarginal
from stream_hb.models.hyperprior import JointPrior
from stream_hb.models.spread_table import concentration_table, location_table
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measure import Measure


@dataclass(frozen=True, slots=True)
class GammaNodes:
    """The posterior of a pool's two hyperparameters on nodes.

    Attributes
    ----------
    location, concentration, weight
        Prior mean μ and shape a at the nodes, and the nodes' weights (sum 1), shape (rows, I):
        the nodes of a row make one kernel.
    mean_table, log_shape_table
        Quantiles of μ and ln a at ``spread_table.SCORES``.
    error
        Bound on the error of an interval end by having few rows, in widths of the interval.
    """

    location: Floats
    concentration: Floats
    weight: Floats
    mean_table: Floats
    log_shape_table: Floats
    error: float


@dataclass(frozen=True, slots=True)
class GammaPool:
    """What the quadrature asks of a Gamma-Poisson pool; a = 1/s².

    Attributes
    ----------
    marginal
        Its marginal likelihood in (log mean, log shape).
    """

    marginal: GammaPoissonMarginal

    @property
    def link_pooled(self) -> float:
        """The log of the pooled rate, with half an event more where there was none."""
        events = self.marginal.total_events or 0.5
        return math.log(events / self.marginal.total_exposure)

    @property
    def is_flat_in_location(self) -> bool:
        """Whether there was no event."""
        return self.marginal.total_events == 0

    @property
    def spread_min(self) -> float:
        """A thousandth of the standard error of the pooled log rate."""
        return 0.001 / math.sqrt(1 + self.marginal.total_events)

    def condensed(self) -> "GammaPool":
        """Return a copy of bounded cost."""
        return GammaPool(self.marginal.condensed())

    def start(self, log_spread: Floats) -> tuple[Floats, Floats]:
        """Weigh the groups' rates by t/(b + t), with the precision that these weights have."""
        mean = math.exp(self.link_pooled)
        prior_exposure = np.exp(-2 * log_spread) / mean
        t, y = self.marginal.exposure, self.marginal.events_by_exposure
        groups = t.integrals(lambda x, b: x / (b + x), prior_exposure)
        events = y.integrals(lambda x, b: 1 / (b + x), prior_exposure)
        # Half a group more at the pooled rate keeps the centre finite.
        return np.log((events + 0.5 * mean) / (groups + 0.5)), groups * np.exp(-2 * log_spread)

    @property
    def sizes(self) -> Measure:
        """The groups' exposures."""
        return self.marginal.exposure

    def natural(self, t: Floats) -> Floats:
        """Undo the link."""
        return np.exp(np.minimum(t, 700.0))

    def mixture(
        self, location: Floats, log_spread: Floats, weight: Floats
    ) -> CountMixture[GammaKernels]:
        """Return the mixture that nodes are."""
        return gamma_mixture(np.exp(location), np.exp(log_shape(location, log_spread)), weight)

    def coordinates(self, location: Floats, size: Floats) -> tuple[Floats, Floats]:
        """Return (log mean, log spread) of prior means and exposures."""
        return np.log(location), -0.5 * np.log(size * location)

    def sd_given(self, mean: Floats, size: Floats, spread: float) -> Floats:
        """Return the sd of a group's raw rate about the prior mean."""
        return np.sqrt(mean * (mean * spread**2 + 1 / size))

    def values(self, location: Floats, log_spread: Floats) -> Floats:
        """Return the log marginal likelihood above complete pooling."""
        return self.marginal.values(location, log_shape(location, log_spread))

    def log_joint_prior(self, prior: JointPrior, location: Floats, log_spread: Floats) -> Floats:
        """Return the log density in (shape, rate)."""
        shape = np.exp(log_shape(location, log_spread))
        return prior.log_density(shape, shape * np.exp(-location))

    def log_jacobian(self, location: Floats, log_spread: Floats) -> Floats:
        """Return ln |∂(shape, rate)/∂(η, ln s)| = ln(2ab)."""
        return math.log(2) - location - 4 * log_spread


def log_shape(location: Floats, log_spread: Floats) -> Floats:
    """Return ln a = -2 ln s, whatever the location."""
    out: Floats = -2 * log_spread + np.zeros_like(location)
    return out


def gamma_mixture(location: Floats, shape: Floats, weight: Floats) -> CountMixture[GammaKernels]:
    """Return the mixture that nodes of (μ, a) are."""
    return CountMixture(location, shape / location, weight, _variance, GammaKernels.matched)


def _variance(mean: Floats, size: Floats) -> Floats:
    return mean / size


def gamma_nodes(integrated: Integrated) -> GammaNodes:
    """Return the nodes as hyperparameters."""
    mixture = integrated.mixture
    return GammaNodes(
        mixture.location,
        mixture.size * mixture.location,
        mixture.weight,
        np.exp(location_table(integrated.nodes)),
        concentration_table(integrated.nodes, log_shape),
        integrated.error,
    )
