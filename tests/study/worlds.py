"""Worlds to draw pools from: three families, the groups' sizes, and how much groups differ.

Counts are visits with a rate about .1; means are of orders whose standard deviation is 1. A spread
is measured on the scale of its hyperprior: sd on the logit scale, coefficient of variation, τ.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.random import Generator

from stream_hb.models.hyperprior import DEFAULT, HalfNormal, Hyperprior, NormalLocation
from stream_hb.statistics.binned import BinnedSummary
from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.counts_summary import CountsSummary
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.exposure_summary import ExposureSummary
from stream_hb.statistics.moments import Moments
from stream_hb.statistics.moments_summary import MomentsSummary

RATE = 0.1
LOCATION_SCALE = 2.5
NO_SPREAD = 1e-7
"""Stands for zero where a family's formula would divide by it."""


class Drawn(NamedTuple):
    """A pool: the groups' true parameters, what is seen of them, and the true hyperparameters."""

    theta: Floats
    groups: Statistic
    given: dict[str, float]


class Kind(Protocol):
    """A family's way of making pools."""

    family: ClassVar[str]
    methods: ClassVar[tuple[str, ...]]
    summary: ClassVar[type[BinnedSummary[Any]]]
    spreads: ClassVar[tuple[float, ...]]
    usual_size: ClassVar[float]
    prior: ClassVar[Hyperprior]

    def hyperparameters(self, random: Generator) -> tuple[float, float]:
        """Draw location and spread from ``prior``."""
        ...

    def location(self) -> float:
        """Return the location of the worlds with a fixed spread."""
        ...

    def draw(self, random: Generator, sizes: Floats, location: float, spread: float) -> Drawn:
        """Draw a pool."""
        ...


class Conversions:
    """Beta-Binomial: visits that convert; the location is the logit of the mean."""

    family: ClassVar[str] = "beta-binomial"
    methods: ClassVar[tuple[str, ...]] = ("bayes", "ml")
    summary: ClassVar[type[BinnedSummary[Any]]] = CountsSummary
    spreads: ClassVar[tuple[float, ...]] = (0.0, 0.1, 0.25, 1.0)
    usual_size: ClassVar[float] = 200.0
    prior: ClassVar[Hyperprior] = Hyperprior(
        HalfNormal(1.0), NormalLocation(LOCATION_SCALE, math.log(RATE / (1 - RATE)))
    )

    def hyperparameters(self, random: Generator) -> tuple[float, float]:
        """Draw the logit of the mean and the sd on the logit scale."""
        return random.normal(self.location(), LOCATION_SCALE), abs(random.normal())

    def location(self) -> float:
        """Return logit .1."""
        return math.log(RATE / (1 - RATE))

    def draw(self, random: Generator, sizes: Floats, location: float, spread: float) -> Drawn:
        """Draw rates about 1/(1 + e^-location) with κ = 1/(s²m(1-m))."""
        mean = 1 / (1 + math.exp(-location))
        concentration = 1 / (max(spread, NO_SPREAD) ** 2 * mean * (1 - mean))
        alpha, beta = mean * concentration, (1 - mean) * concentration
        theta = random.beta(alpha, beta, len(sizes)) if spread > 0 else np.full(len(sizes), mean)
        successes = random.binomial(sizes.astype(np.int64), theta).astype(np.float64)
        return Drawn(theta, Counts(successes, sizes), {"alpha": alpha, "beta": beta})


class OrderRates:
    """Gamma-Poisson: orders per visit; the location is the log of the mean."""

    family: ClassVar[str] = "gamma-poisson"
    methods: ClassVar[tuple[str, ...]] = ("bayes", "ml")
    summary: ClassVar[type[BinnedSummary[Any]]] = ExposureSummary
    spreads: ClassVar[tuple[float, ...]] = (0.0, 0.1, 0.25, 1.0)
    usual_size: ClassVar[float] = 200.0
    prior: ClassVar[Hyperprior] = Hyperprior(
        HalfNormal(1.0), NormalLocation(LOCATION_SCALE, math.log(RATE))
    )

    def hyperparameters(self, random: Generator) -> tuple[float, float]:
        """Draw the log of the mean and the coefficient of variation."""
        return random.normal(self.location(), LOCATION_SCALE), abs(random.normal())

    def location(self) -> float:
        """Return log .1."""
        return math.log(RATE)

    def draw(self, random: Generator, sizes: Floats, location: float, spread: float) -> Drawn:
        """Draw rates about e^location with shape a = 1/s²."""
        mean, shape = math.exp(location), 1 / max(spread, NO_SPREAD) ** 2
        theta = np.full(len(sizes), mean)
        if spread > 0:
            theta = random.gamma(shape, mean / shape, len(sizes))
        events = random.poisson(sizes * theta).astype(np.float64)
        return Drawn(theta, Exposure(events, sizes), {"shape": shape, "rate": shape / mean})


class OrderValues:
    """Normal-Normal from observations of variance 1, to be fitted; the location is μ."""

    family: ClassVar[str] = "normal"
    methods: ClassVar[tuple[str, ...]] = ("bayes", "ml", "reml")
    summary: ClassVar[type[BinnedSummary[Any]]] = MomentsSummary
    usual_size: ClassVar[float] = 30.0
    spreads: ClassVar[tuple[float, ...]] = tuple(
        ratio / math.sqrt(30.0) for ratio in (0.0, 0.25, 1.0, 4.0)
    )
    prior: ClassVar[Hyperprior] = Hyperprior(HalfNormal(2 / math.sqrt(30.0)))

    def hyperparameters(self, random: Generator) -> tuple[float, float]:
        """Draw τ; μ has a flat prior, under which any value will do."""
        return self.location(), abs(random.normal()) * 2 / math.sqrt(30.0)

    def location(self) -> float:
        """Return a log order value."""
        return 4.0

    def draw(self, random: Generator, sizes: Floats, location: float, spread: float) -> Drawn:
        """Draw means about μ, and the moments of the observations about them."""
        theta = random.normal(location, spread, len(sizes))
        mean = random.normal(theta, 1 / np.sqrt(sizes))
        moments = Moments(sizes, mean, random.chisquare(sizes - 1))
        return Drawn(theta, moments, {"mu": location, "tau2": spread**2, "sigma2": 1.0})


KINDS: dict[str, Kind] = {
    kind.family: kind for kind in (Conversions(), OrderRates(), OrderValues())
}


@dataclass(frozen=True, slots=True)
class World:
    """What a cell of the study draws its pools from.

    Attributes
    ----------
    family
        One of :data:`KINDS`.
    groups_count
        Groups in a pool (J).
    flagship
        One store has 250 times the usual size, the others .1 to 2.5 times; else all have the usual.
    spread
        How much groups differ; None: hyperparameters are drawn from the hyperprior, anew per pool.
    """

    family: str
    groups_count: int
    flagship: bool
    spread: float | None

    @property
    def kind(self) -> Kind:
        """The family's way of making pools."""
        return KINDS[self.family]

    @property
    def prior(self) -> Hyperprior:
        """The prior to fit with: the one drawn from, or the default that a stream has."""
        return self.kind.prior if self.spread is None else DEFAULT

    def sizes(self) -> Floats:
        """Return the groups' sizes, whole numbers."""
        usual = self.kind.usual_size
        if not self.flagship:
            return np.full(self.groups_count, usual)
        small = np.geomspace(0.1, 2.5, self.groups_count - 1)
        return np.rint(usual * np.append(small, 250.0))

    def draw(self, random: Generator) -> Drawn:
        """Draw a pool."""
        if self.spread is None:
            location, spread = self.kind.hyperparameters(random)
        else:
            location, spread = self.kind.location(), self.spread
        return self.kind.draw(random, self.sizes(), location, spread)


def pooled_mean(groups: Any) -> float:
    """Return the estimate of complete pooling."""
    if isinstance(groups, Moments):
        return float((groups.weight * groups.mean).sum() / groups.weight.sum())
    numerator, denominator = groups.columns().values()
    return float(numerator.sum() / denominator.sum())
