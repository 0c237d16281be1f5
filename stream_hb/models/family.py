"""What every family of models offers: a fit of the pool, and posteriors of its groups."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from stream_hb.field_names import field_names
from stream_hb.models.hyperprior import DEFAULT, Prior
from stream_hb.models.sensitivity import Sensitivity
from stream_hb.statistics.columns import Floats, Statistic

Hyper = TypeVar("Hyper")
S_contra = TypeVar("S_contra", bound=Statistic, contravariant=True)


@dataclass(frozen=True, slots=True)
class Fit(Generic[Hyper]):
    """Fitted hyperparameters of one pool, with the diagnostics of the fit.

    Attributes
    ----------
    method
        ``moments``, ``ml``, ``dl``, ``pm``, ``reml``, or ``given`` (conditioned on, not fitted).
    hyper
        The family's hyperparameters.
    log_likelihood
        Marginal log-likelihood with all its constants (``reml``: the restricted one).
    boundary
        The fit lies where groups do not differ (concentration or shape infinite, tau2 zero):
        a result, not an error. The weight on the pooled mean is then 1.
    bimodal
        The likelihood has a second mode worth knowing of (see ``statistics.md``, boundaries).
    converged
        False where the iteration stopped for want of steps; the last point is then reported.
    iterations
        Steps taken; 0 for closed forms.
    groups_count
        Groups with data that the fit used.
    sensitivity
        What scaling the hyperprior does to the spread; None for fits without one.
    """

    method: str
    hyper: Hyper
    log_likelihood: float
    boundary: bool
    bimodal: bool
    converged: bool
    iterations: int
    groups_count: int
    sensitivity: Sensitivity | None = None

    @property
    def plug_in(self) -> bool:
        """Whether the hyperparameters are taken as known, so that intervals are too narrow."""
        return self.method != "bayes"


@dataclass(frozen=True, slots=True)
class Posterior:
    """Posterior of every group: arrays of one length, one row per group.

    ``mean = (1 - weight) * raw + weight * pooled`` for every group with data.

    Attributes
    ----------
    raw
        The group's own estimate; NaN while it has no data.
    pooled
        What the group is drawn to.
    weight
        Weight on the pooled mean, in [0, 1]; 1 while the group has no data.
    mean, sd
        Posterior mean and standard deviation.
    lo, hi
        Ends of the equal-tailed credible interval.
    """

    raw: Floats
    pooled: Floats
    weight: Floats
    mean: Floats
    sd: Floats
    lo: Floats
    hi: Floats

    def take(self, chosen: Any) -> "Posterior":
        """Return some of the groups (an index array, a mask or a slice)."""
        return Posterior(*(getattr(self, name)[chosen] for name in field_names(Posterior)))


class Family(Protocol[S_contra, Hyper]):
    """A family of models over one statistic. Stateless: every method is a pure function."""

    name: ClassVar[str]
    """``beta-binomial``, ``gamma-poisson`` or ``normal``."""

    methods: ClassVar[tuple[str, ...]]
    """The fits it has, the default for streams last."""

    given_names: ClassVar[tuple[str, ...]]
    """Names that :meth:`condition` takes."""

    def fit(self, groups: S_contra, method: str, prior: Prior = DEFAULT) -> Fit[Hyper]:
        """Fit the hyperparameters from the groups' statistics; ``prior`` is read by ``bayes``."""
        ...

    def condition(self, given: Mapping[str, float]) -> Hyper:
        """Take hyperparameters as given instead of fitting them."""
        ...

    def log_likelihood(self, groups: S_contra, hyper: Hyper) -> float:
        """Return the marginal log-likelihood at any hyperparameters, with all its constants."""
        ...

    def screen(self, groups: S_contra, hyper: Hyper) -> tuple[Floats, Floats]:
        """Return posterior mean and sd only: cheap, to decide who may have changed."""
        ...

    def posterior(self, groups: S_contra, hyper: Hyper, level: float) -> Posterior:
        """Return the posterior of every group."""
        ...

    def tail_probability(self, groups: S_contra, hyper: Hyper, above: float) -> Floats:
        """Return each group's posterior probability that its parameter lies above a value."""
        ...

    def new_group(self, hyper: Hyper, level: float) -> Posterior:
        """Return the predictive of a group never seen: one row, raw NaN, weight 1."""
        ...

    def parameters(self, hyper: Hyper) -> dict[str, float]:
        """Return the hyperparameters under their names in ``fit --json`` and in the records."""
        ...

    def uncertainty(self, hyper: Hyper, level: float) -> Mapping[str, tuple[float, float, float]]:
        """Return (sd, lo, hi) of each of :meth:`parameters` where it is integrated; else {}."""
        ...
