r"""Evidence that a store has left its relation: a dead-band Shiryaev-Roberts mixture.

For each shift δ, :math:`S_δ \leftarrow (1 + S_δ)\,L_δ`, L the predictive density at δ over that at
the edge ±ε of the dead band; the statistic is the mean over all shifts. While a store is within the
band, S less the number of ticks does not grow on average, so that a threshold A is reached no more
than once in A ticks (Shin, Ramdas & Rinaldo 2024, doi:10.48550/arXiv.2203.03532).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from stream_hb.feeds.drift.columns import Bools, StoreColumns
from stream_hb.feeds.drift.family import Predictive
from stream_hb.feeds.drift.settings import DriftSettings
from stream_hb.statistics.columns import Floats

NOTHING = -np.inf


@dataclass(frozen=True, slots=True)
class Evidence(StoreColumns):
    """Running evidence, (shifts, stores): all upward shifts first, then the same downward.

    S_δ sums over the ticks at which the change may have been; the other columns are means over
    those, with the terms of the sum as weights, and so need no memory of the past either.

    Attributes
    ----------
    log_s
        ln S_δ; minus infinity while there is none.
    changed_at
        Tick of the change.
    score, information
        Sums since the change: their ratio is its effect.
    """

    log_s: Floats
    changed_at: Floats
    score: Floats
    information: Floats

    @classmethod
    def of_new(cls, stores: int, shifts: int = 1) -> Self:
        """Return no evidence for any of so many shifts."""
        shape = (shifts, stores)
        return cls(np.full(shape, NOTHING), *(np.zeros(shape) for _ in range(3)))

    def like_new(self, stores: int) -> Self:
        """Return no evidence for the same shifts."""
        return self.of_new(stores, len(self.log_s))


def signed(shifts: tuple[float, ...]) -> Floats:
    """Return the shifts upward, then downward, as a column.

    >>> signed((0.15, 0.3)).ravel()
    array([ 0.15,  0.3 , -0.15, -0.3 ])
    """
    return np.concatenate([shifts, np.negative(shifts)])[:, np.newaxis]


def updated(
    evidence: Evidence,
    told: Predictive,
    relation_variance: Floats,
    tick: int,
    tested: Bools,
    settings: DriftSettings,
) -> Evidence:
    r"""Return the evidence with one tick of the tested stores; of the others it stays.

    The dead band's edge is :math:`\sqrt{ε^2 + c^2 v}`, v the variance of the store's baseline: what
    a baseline is off by it is off by every day, and a small store's looks like a drift for ever.
    A shift within the band is not looked for.
    """
    shifts = len(settings.shifts)
    edge = np.sqrt(settings.dead_band**2 + settings.baseline_share * relation_variance)
    edges = told.log_density(edge * np.array([[1.0], [-1.0]]))
    shift = signed(settings.shifts)
    ratio = told.log_density(shift) - np.repeat(edges, shifts, axis=0)
    ratio = np.where(np.abs(shift) > edge, ratio, NOTHING)
    before = np.logaddexp(0.0, evidence.log_s)
    older = np.exp(evidence.log_s - before)  # S/(1 + S): the share of the earlier ticks
    new = Evidence(
        np.minimum(before + ratio, settings.log_cap),
        tick + older * (evidence.changed_at - tick),
        told.score + older * evidence.score,
        told.information + older * evidence.information,
    )
    return evidence.where(tested, new)


def log_statistics(evidence: Evidence) -> tuple[Floats, Floats]:
    """Return ln S of each store upward and downward: the mean over that direction's shifts."""
    half = len(evidence.log_s) // 2
    return _log_mean(evidence.log_s[:half]), _log_mean(evidence.log_s[half:])


@dataclass(frozen=True, slots=True)
class Change:
    """What the evidence says of each store's change.

    Attributes
    ----------
    changed_at
        Tick at which it was.
    effect, sd
        Its size on the link scale.
    information
        About its size, since then.
    """

    changed_at: Floats
    effect: Floats
    sd: Floats
    information: Floats


def change(evidence: Evidence, relation_variance: Floats) -> Change:
    """Return the change by the evidence, its effect shrunk by a Normal(0, 1) prior.

    The baseline's own variance is part of the effect's: what it is off by, the effect is.
    """
    top = evidence.log_s.max(axis=0)
    weight = np.exp(evidence.log_s - np.where(np.isfinite(top), top, 0.0))
    weight /= np.maximum(weight.sum(axis=0), 1e-300)
    changed_at, score, information = (
        (weight * column).sum(axis=0)
        for column in (evidence.changed_at, evidence.score, evidence.information)
    )
    sd = np.sqrt(1 / (information + 1) + relation_variance)
    return Change(changed_at, score / (information + 1), sd, information)


def _log_mean(log_s: Floats) -> Floats:
    top = log_s.max(axis=0)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        out: Floats = safe + np.log(np.exp(log_s - safe).mean(axis=0))
    return out
