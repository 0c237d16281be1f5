"""Beta-Binomial pools with their hyperparameters integrated: nodes, and posteriors from them."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from stream_hb.models.beta_binomial_fit import BetaBinomialMarginal
from stream_hb.models.beta_kernels import BetaKernels
from stream_hb.models.count_bayes import Integrated
from stream_hb.models.count_mixture import CountMixture
from stream_hb.models.hyperprior import JointPrior
from stream_hb.models.spread_table import concentration_table, location_table
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measure import Measure


@dataclass(frozen=True, slots=True)
class BetaNodes:
    """The posterior of a pool's two hyperparameters on nodes.

    Attributes
    ----------
    location, concentration, weight
        Prior mean m and concentration κ at the nodes, and the nodes' weights (sum 1), shape
        (rows, I): the nodes of a row make one kernel.
    mean_table, log_concentration_table
        Quantiles of m and ln κ at ``spread_table.SCORES``.
    error
        Bound on the error of an interval end by having few rows, in widths of the interval.
    """

    location: Floats
    concentration: Floats
    weight: Floats
    mean_table: Floats
    log_concentration_table: Floats
    error: float


@dataclass(frozen=True, slots=True)
class BetaPool:
    """What the quadrature asks of a Beta-Binomial pool; κ = 1/(s²m(1-m)).

    Attributes
    ----------
    marginal
        Its marginal likelihood in (logit mean, log concentration).
    """

    marginal: BetaBinomialMarginal

    @property
    def link_pooled(self) -> float:
        """The logit of the pooled mean, with half a success and half a failure more."""
        y, f = self.marginal.total_successes, self.marginal.total_failures
        return float(np.log(y + 0.5) - np.log(f + 0.5))

    @property
    def is_flat_in_location(self) -> bool:
        """Whether there was no success, or no failure."""
        return min(self.marginal.total_successes, self.marginal.total_failures) == 0

    @property
    def spread_min(self) -> float:
        """A thousandth of the standard error of the pooled logit."""
        m, n = expit(self.link_pooled), self.marginal.total_successes + self.marginal.total_failures
        return float(0.001 / np.sqrt(1 + n * m * (1 - m)))

    def condensed(self) -> "BetaPool":
        """Return a copy of bounded cost."""
        return BetaPool(self.marginal.condensed())

    def start(self, log_spread: Floats) -> tuple[Floats, Floats]:
        """Weigh the groups' rates by n/(κ + n), with the precision that these weights have."""
        m = float(expit(self.link_pooled))
        concentration = np.exp(-2 * log_spread) / (m * (1 - m))
        ny, nj = self.marginal.successes_by_trials, self.marginal.groups_by_trials
        groups = nj.integrals(lambda n, c: n / (c + n), concentration)
        successes = ny.integrals(lambda n, c: 1 / (c + n), concentration)
        # Half a group more at the pooled mean keeps the centre finite.
        centre = logit((successes + 0.5 * m) / (groups + 0.5))
        return centre, groups * np.exp(-2 * log_spread)

    @property
    def sizes(self) -> Measure:
        """The groups' trials."""
        return self.marginal.groups_by_trials

    def natural(self, t: Floats) -> Floats:
        """Undo the link."""
        rate: Floats = expit(t)
        return rate

    def mixture(
        self, location: Floats, log_spread: Floats, weight: Floats
    ) -> CountMixture[BetaKernels]:
        """Return the mixture that nodes are."""
        concentration = np.exp(log_concentration(location, log_spread))
        return beta_mixture(expit(location), concentration, weight)

    def coordinates(self, location: Floats, size: Floats) -> tuple[Floats, Floats]:
        """Return (logit mean, log spread) of prior means and concentrations."""
        return logit(location), -0.5 * np.log(size * location * (1 - location))

    def sd_given(self, mean: Floats, size: Floats, spread: float) -> Floats:
        """Return the sd of a group's raw rate about the prior mean."""
        variance = mean * (1 - mean)
        sd: Floats = np.sqrt(variance * (variance * spread**2 + 1 / size))
        return sd

    def values(self, location: Floats, log_spread: Floats) -> Floats:
        """Return the log marginal likelihood above complete pooling."""
        return self.marginal.values(location, log_concentration(location, log_spread))

    def log_joint_prior(self, prior: JointPrior, location: Floats, log_spread: Floats) -> Floats:
        """Return the log density in (α, β)."""
        concentration = np.exp(log_concentration(location, log_spread))
        alpha, beta = expit(location) * concentration, expit(-location) * concentration
        return prior.log_density(alpha, beta)

    def log_jacobian(self, location: Floats, log_spread: Floats) -> Floats:
        """Return ln |∂(α, β)/∂(η, ln s)| = ln(2κ/s²)."""
        return math.log(2) + log_concentration(location, log_spread) - 2 * log_spread


def log_concentration(location: Floats, log_spread: Floats) -> Floats:
    """Return ln κ = -2 ln s - ln m(1-m)."""
    out: Floats = -2 * log_spread + np.logaddexp(0, location) + np.logaddexp(0, -location)
    return out


def beta_mixture(
    location: Floats, concentration: Floats, weight: Floats
) -> CountMixture[BetaKernels]:
    """Return the mixture that nodes of (m, κ) are."""
    return CountMixture(location, concentration, weight, _variance, BetaKernels.matched)


def _variance(mean: Floats, size: Floats) -> Floats:
    return mean * (1 - mean) / (size + 1)


def beta_nodes(integrated: Integrated) -> BetaNodes:
    """Return the nodes as hyperparameters."""
    mixture = integrated.mixture
    return BetaNodes(
        mixture.location,
        mixture.size,
        mixture.weight,
        expit(location_table(integrated.nodes)),
        concentration_table(integrated.nodes, log_concentration),
        integrated.error,
    )
