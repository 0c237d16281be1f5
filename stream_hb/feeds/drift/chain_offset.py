"""Where the chain as a whole is in a tick: promotions, weekdays and seasons, common to all stores.

Without it every promotion is a drift of every store.
"""

from dataclasses import dataclass

import numpy as np

from stream_hb.feeds.drift.columns import Bools
from stream_hb.feeds.drift.family import Family, Observed
from stream_hb.statistics.columns import Floats

NEWTON_STEPS = 4

STEP_MAX = 2.0
"""Of the offset in one step: where a store sells a thousand times what was expected of it, Newton's
own step leads to where no exponential is finite."""

FLAGSHIP_SHARE = 0.1
"""Stores with more of the chain's weight (there are no ten) are left out by solving anew: one step
from where such a store has drawn the chain does not lead back."""


@dataclass(frozen=True, slots=True)
class ChainOffset:
    """The chain's offset in one tick, link scale.

    Attributes
    ----------
    offset
        Of all stores that count.
    without
        Of all but the store itself, one place per store.
    variance
        Of ``without``; infinite where there is no other store.
    """

    offset: float
    without: Floats
    variance: Floats


def chain_offset(
    family: Family,
    observed: Observed,
    relation: Floats,
    own_variance: Floats,
    counting: Bools,
) -> ChainOffset:
    r"""Solve :math:`\sum_j \mu_j(m + \rho_j) = \sum_j y_j` for m, and m without each store.

    Newton's method from the pooled mean; without a (small) store by one step more,
    :math:`m_{-j} = m - (y_j - \mu_j)/(G - w_j)`, G the sum of the weights. A store that is part of
    the offset it is held against would hide a share of its own drift.

    Parameters
    ----------
    relation, own_variance
        What is known of each store's relation to the chain, and the variance of what it deviates
        by (baseline and daily noise): the offset inherits the deviations of the other stores.
    counting
        Stores that make the offset. Those told to have drifted do not: their old relation is wrong.
    """
    counted = Observed(observed.size * counting, observed.total * counting)
    share = counted.size / max(counted.size.sum(), 1e-300)
    start = family.pooled(counted) - float((share * relation).sum())
    offset, mean, weight = _solved(family, counted, relation, start)
    others = weight.sum() - weight
    alone = others <= 1e-9 * weight.sum()
    others = np.where(alone, 1.0, others)
    without = offset - np.where(alone, 0.0, _bounded((counted.total - mean) / others))
    for row in np.flatnonzero((weight > FLAGSHIP_SHARE * weight.sum()) & ~alone):
        rest = np.arange(len(weight)) != row
        left = Observed(counted.size * rest, counted.total * rest)
        without[row] = _solved(family, left, relation, float(without[row]))[0]
    inherited = weight**2 * own_variance
    variance = 1 / others + (inherited.sum() - inherited) / others**2
    unknown = alone | (weight.sum() <= 0)
    return ChainOffset(offset, without, np.where(unknown, np.inf, variance))


def _solved(
    family: Family, observed: Observed, relation: Floats, offset: float
) -> tuple[float, Floats, Floats]:
    """Return the offset, and the stores' means and weights there."""
    mean, weight = family.mean_and_weight(observed.size, offset + relation)
    for _ in range(NEWTON_STEPS):
        step = (observed.total.sum() - mean.sum()) / max(weight.sum(), 1e-300)
        offset += float(_bounded(step))
        mean, weight = family.mean_and_weight(observed.size, offset + relation)
    return offset, mean, weight


def _bounded(step: Floats) -> Floats:
    return np.clip(step, -STEP_MAX, STEP_MAX)
