"""What is believed of a pool's hyperparameters before its data: the hyperpriors.

The spread s says how much groups differ: the standard deviation of the rates on the logit scale for
``beta-binomial`` (κ = 1/(s²m(1-m))), their coefficient of variation for ``gamma-poisson``
(a = 1/s²), τ for ``normal``. The location is the prior mean on the link scale (logit, log,
identity). Half-normal spreads:
Gelman (2006), doi:10.1214/06-BA117A.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stream_hb.errors import UsageError, nearest
from stream_hb.statistics.columns import Floats

LogDensity = Callable[[Floats, Floats], Floats]
"""Log density of two hyperparameters: (α, β), (shape, rate) or (μ, τ), arrays of one shape."""


class SpreadPrior(Protocol):
    """A density of the spread on s > 0, normalised."""

    @property
    def scale(self) -> float:
        """The spread that it takes for usual."""
        ...

    def log_density(self, spread: Floats) -> Floats:
        """Return the log density at positive spreads."""
        ...


@dataclass(frozen=True, slots=True)
class HalfNormal:
    """p(s) ∝ exp(-s²/2S²)."""

    scale: float

    def log_density(self, spread: Floats) -> Floats:
        """Return the log density."""
        return 0.5 * math.log(2 / math.pi) - math.log(self.scale) - 0.5 * (spread / self.scale) ** 2


@dataclass(frozen=True, slots=True)
class HalfCauchy:
    """p(s) ∝ 1/(1 + s²/S²): heavier tail, for spreads that may be far larger than S."""

    scale: float

    def log_density(self, spread: Floats) -> Floats:
        """Return the log density."""
        return math.log(2 / (math.pi * self.scale)) - np.log1p((spread / self.scale) ** 2)


@dataclass(frozen=True, slots=True)
class Uniform:
    """p(s) = 1/S on (0, S)."""

    scale: float

    def log_density(self, spread: Floats) -> Floats:
        """Return the log density, -∞ beyond S."""
        inside: Floats = np.where(spread <= self.scale, -math.log(self.scale), -np.inf)
        return inside


@dataclass(frozen=True, slots=True)
class Flat:
    """No opinion on the location (improper; the posterior is proper where the data have one)."""


@dataclass(frozen=True, slots=True)
class NormalLocation:
    """The location is normal on the link scale, about the pooled mean or a given centre.

    Attributes
    ----------
    scale
        Its standard deviation.
    centre
        Its mean on the link scale; None: the pooled mean of the data.
    """

    scale: float
    centre: float | None = None


@dataclass(frozen=True, slots=True)
class Hyperprior:
    """The named hyperpriors: a spread and a location, independent.

    Attributes
    ----------
    spread
        None: half-normal with the family's own scale (1 for counts; for ``normal`` that of
        :func:`half_normal_of_means`).
    location
        None: the family's own, ``NormalLocation(2.5)`` for counts and ``Flat()`` for ``normal``.
    """

    spread: SpreadPrior | None = None
    location: Flat | NormalLocation | None = None


@dataclass(frozen=True, slots=True)
class JointPrior:
    """Any log prior over the family's two hyperparameters.

    Attributes
    ----------
    log_density
        Called with arrays (α, β) for ``beta-binomial``, (shape, rate) for ``gamma-poisson`` or
        (μ, τ) for ``normal``; returns the log density with respect to these two, up to a constant.
        The library applies the Jacobian of its own coordinates.

    Examples
    --------
    The pumps of WinBUGS, shape ~ Exponential(1) and rate ~ Gamma(0.1, 1):

    >>> pumps = JointPrior(lambda shape, rate: -shape - 0.9 * np.log(rate) - rate)
    >>> float(pumps.log_density(np.array(1.0), np.array(1.0)))
    -2.0
    """

    log_density: LogDensity


Prior = Hyperprior | JointPrior
"""What a full Bayes fit takes."""

DEFAULT = Hyperprior()

BDA = JointPrior(lambda a, b: -2.5 * np.log(a + b))
"""(α + β)^(-5/2) of Gelman et al., Bayesian Data Analysis, §5.3; E[α] and E[α + β] do not exist."""


def half_normal_of_means(median_se: float, tau2: float) -> HalfNormal:
    """Return the prior of a pool of means' τ where none is given.

    Its scale is twice the median standard error, or twice DerSimonian and Laird's τ where that is
    more: a thousand orders a store make the standard errors tiny, but not the differences, and a
    prior in their units alone would then outweigh five stores, or a hundred. Twice, so that what
    the data have already said is not said once more: with half of it the 95 % interval of five
    stores' τ covers .68 (``tests/benchmarks/default_spread.py``).

    Parameters
    ----------
    median_se
        Median standard error of the groups' means.
    tau2
        τ² by DerSimonian and Laird.

    Examples
    --------
    >>> half_normal_of_means(0.1, 0.3**2), half_normal_of_means(0.1, 3.0**2)
    (HalfNormal(scale=0.6), HalfNormal(scale=6.0))
    """
    return HalfNormal(2 * max(median_se, math.sqrt(tau2)))


_SPREADS: dict[str, Callable[[float], SpreadPrior]] = {
    "half-normal": HalfNormal,
    "half-cauchy": HalfCauchy,
    "uniform": Uniform,
}


def spread_named(text: str) -> SpreadPrior:
    """Read a spread's prior, ``half-normal:S``, ``half-cauchy:S`` or ``uniform:S``.

    >>> spread_named("half-cauchy:0.5")
    HalfCauchy(scale=0.5)
    """
    name, _, scale = text.partition(":")
    if name not in _SPREADS:
        raise UsageError(f"no prior {name!r}; {nearest(name, (*_SPREADS, 'bda'))}")
    return _SPREADS[name](_scale(text, scale))


def location_named(text: str) -> Flat | NormalLocation:
    """Read a location's prior, ``flat`` or ``normal:S``."""
    name, _, scale = text.partition(":")
    if text == "flat":
        return Flat()
    if name != "normal":
        raise UsageError(f"no prior {name!r} of the location; {nearest(name, ('flat', 'normal'))}")
    return NormalLocation(_scale(text, scale))


def _scale(text: str, scale: str) -> float:
    try:
        value = float(scale)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        name = text.partition(":")[0]
        raise UsageError(f"prior {text!r}: expected {name}:S with S a finite number above 0")
    return value
