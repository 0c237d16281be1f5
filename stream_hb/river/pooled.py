"""Running moments of groups and of all of them, in constant time an observation."""

from dataclasses import dataclass, field
from typing import Any

from stream_hb.models.normal_update import NormalBelief, update


@dataclass(slots=True)
class Moments:
    """Count, mean and sum of squared deviations (Welford)."""

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0

    def update(self, x: float) -> None:
        """Add one value."""
        self.n += 1
        deviation = x - self.mean
        self.mean += deviation / self.n
        self.m2 += deviation * (x - self.mean)


@dataclass(slots=True)
class Pooled:
    r"""Groups of values, each group's mean drawn to that of all values.

    With :math:`SS_W` and :math:`SS_B` the sums of squares within and between J groups of N values,
    the moments of the analysis of variance,

    .. math:: σ^2 = \frac{SS_W}{N - J}, \quad
        τ^2 = \Big(\frac{SS_B}{J - 1} - σ^2\Big)_+ \Big/ \frac{N - \sum n_j^2/N}{J - 1},

    need nothing but totals that each value moves. (``stream_hb.fit`` has the full posterior.)

    Attributes
    ----------
    groups, total
        Moments of each group, and of all values.
    within
        Sum of squares within the groups.
    squares
        Sum of the groups' squared counts.
    """

    groups: dict[Any, Moments] = field(default_factory=dict)
    total: Moments = field(default_factory=Moments)
    within: float = 0.0
    squares: int = 0

    def update(self, group: Any, x: float) -> None:
        """Add one value of a group."""
        own = self.groups.setdefault(group, Moments())
        self.squares += 2 * own.n + 1
        self.within -= own.m2
        own.update(x)
        self.within += own.m2
        self.total.update(x)

    def variances(self) -> tuple[float, float]:
        """Return the variance within groups and that of the groups' means; σ² 0 while unknown."""
        count, groups = self.total.n, len(self.groups)
        if groups < 2 or count <= groups:
            return 0.0, 0.0
        sigma2 = max(self.within, 0.0) / (count - groups)
        between = (self.total.m2 - self.within) / (groups - 1)
        size = (count - self.squares / count) / (groups - 1)
        return sigma2, max(between - sigma2, 0.0) / size

    def estimate(self, group: Any) -> float:
        """Return a group's shrunk mean; that of all values, of a group that was never seen."""
        own, (sigma2, tau2) = self.groups.get(group), self.variances()
        if own is None or sigma2 + tau2 <= 0:
            return self.total.mean
        belief = update(NormalBelief(self.total.mean, tau2), own.mean, sigma2, own.n)
        return float(belief.mean)
