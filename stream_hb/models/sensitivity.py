"""How much of an answer is the hyperprior's: the prior raised to the powers ½ and 2.

The nodes of the quadrature stay where they are and are weighted anew: it costs nothing.
Kallioinen et al. (2024), doi:10.1007/s11222-023-10366-5.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from stream_hb.statistics.columns import Floats, Statistic

if TYPE_CHECKING:
    from stream_hb.models.family import Family


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What the pool's spread becomes when the hyperprior says half, or twice, as much.

    The spread is that of the hyperpriors: s for counts, τ for ``normal``.

    Attributes
    ----------
    spread, spread_sd
        Posterior mean and standard deviation of the spread.
    halved, doubled
        Its posterior mean under the prior to the power ½, and to the power 2.
    halved_weight, doubled_weight
        Weights of the same nodes under these priors; they sum to 1.

    Examples
    --------
    Two nodes as likely as each other, of which the prior prefers the smaller spread 4 to 1:

    >>> log_prior = np.log([0.8, 0.2])
    >>> sensitivity = Sensitivity.of(np.array([1.0, 2.0]), np.array([0.5, 0.5]), log_prior)
    >>> sensitivity.spread, round(sensitivity.halved, 3), round(sensitivity.doubled, 3)
    (1.5, 1.667, 1.2)
    >>> round(sensitivity.shift_doubled, 3)  # in posterior sds
    -0.6
    """

    spread: float
    spread_sd: float
    halved: float
    doubled: float
    halved_weight: Floats
    doubled_weight: Floats

    @classmethod
    def of(cls, spread: Floats, weight: Floats, log_prior: Floats) -> Self:
        """Weight nodes anew.

        Parameters
        ----------
        spread, weight, log_prior
            At each node, arrays of one shape: the spread, the posterior weight (sum 1), and the
            log of the whole hyperprior, up to a constant.
        """
        halved, doubled = (_scaled(weight, log_prior, power) for power in (0.5, 2.0))
        mean = (spread * weight).sum()
        sd = np.sqrt((weight * (spread - mean) ** 2).sum())
        less, more = (float((spread * scaled).sum()) for scaled in (halved, doubled))
        return cls(float(mean), float(sd), less, more, halved, doubled)

    @property
    def shift_halved(self) -> float:
        """Shift of the spread's posterior mean under the halved prior, in posterior sds."""
        return (self.halved - self.spread) / self.spread_sd if self.spread_sd > 0 else 0.0

    @property
    def shift_doubled(self) -> float:
        """Shift of the spread's posterior mean under the doubled prior, in posterior sds."""
        return (self.doubled - self.spread) / self.spread_sd if self.spread_sd > 0 else 0.0


class Affected(NamedTuple):
    """The group whose estimate moves most when the hyperprior is scaled.

    Attributes
    ----------
    row
        Its row among the groups.
    power
        The power that moves it, 0.5 or 2.
    mean, moved
        Its estimate, and what that becomes.
    shift
        The difference in its posterior sds.
    """

    row: int
    power: float
    mean: float
    moved: float
    shift: float


def most_affected(
    family: "Family[Any, Any]", groups: Statistic, hyper: Any, sensitivity: Sensitivity
) -> Affected:
    """Return the group whose estimate the hyperprior moves most, in its posterior sds.

    Parameters
    ----------
    hyper
        An integrated hyper of the family: a dataclass with the nodes' ``weight``.
    """
    mean, sd = family.screen(groups, hyper)
    weights = {0.5: sensitivity.halved_weight, 2.0: sensitivity.doubled_weight}
    found = []
    for power, weight in weights.items():
        moved, _ = family.screen(groups, replace(hyper, weight=weight))
        shift = (moved - mean) / sd
        row = int(np.abs(shift).argmax())
        found.append(Affected(row, power, float(mean[row]), float(moved[row]), float(shift[row])))
    return max(found, key=lambda affected: abs(affected.shift))


def _scaled(weight: Floats, log_prior: Floats, power: float) -> Floats:
    """Return weights for the prior to a power; a node without weight stays without."""
    there = weight > 0
    change = (power - 1) * log_prior[there]
    out = np.zeros_like(weight)
    out[there] = weight[there] * np.exp(change - change.max())
    total: Floats = out / out.sum()
    return total
