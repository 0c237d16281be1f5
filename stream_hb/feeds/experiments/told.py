"""What was last said of stores, and which of them are worth a record now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.feeds.experiments.analysis import Look
from stream_hb.feeds.experiments.declaration import Experiment
from stream_hb.feeds.experiments.outcomes import METRICS
from stream_hb.feeds.experiments.store_belief import StoreBelief
from stream_hb.settings import EmissionRule
from stream_hb.statistics.columns import Floats


@dataclass(frozen=True, slots=True)
class Told:
    """What the last record of each store said, by analysed metric; a row a metric.

    Attributes
    ----------
    seq
        Its number; 0 where there was none. A row for each of all metrics, analysed or not: numbers
        go on where a metric comes back. Shape (4, stores).
    effect, sd
        Effects and their standard deviations, NaN where not known; (metrics, stores, comparisons).
    marked
        Whether the effect was among the discovered; the same shape.
    """

    seq: NDArray[np.int64]
    effect: Floats
    sd: Floats
    marked: NDArray[np.bool_]

    @classmethod
    def nothing(cls, metrics: int, stores: int, comparisons: int) -> Self:
        """Return that nothing was told."""
        shape = metrics, stores, comparisons
        unknown = np.full(shape, np.nan)
        seq = np.zeros((len(METRICS), stores), np.int64)
        return cls(seq, unknown, unknown, np.zeros(shape, np.bool_))

    @classmethod
    def of_look(
        cls,
        experiment: Experiment,
        found: Look,
        beliefs: Mapping[str, Sequence[StoreBelief]],
        stores: int,
    ) -> Self:
        """Return what records of all stores would say after a look."""
        new = cls.nothing(len(experiment.analysed), stores, len(experiment.treatments))
        effect, sd, marked = new.effect.copy(), new.sd.copy(), new.marked
        for place, metric in enumerate(experiment.analysed):
            marked[place] = found.metrics[metric].discovered
            for i, belief in enumerate(beliefs[metric]):
                if belief.sites is not None:
                    effect[place, :, i] = belief.sites.stores.mean
                    sd[place, :, i] = belief.sites.stores.sd
        return cls(new.seq, effect, sd, marked)

    def with_stores(self, stores: int) -> Self:
        """Return it with room for so many stores."""
        metrics, before, comparisons = self.effect.shape
        more = self.nothing(metrics, stores - before, comparisons)
        return type(self)(
            *(
                np.concatenate([getattr(self, name), getattr(more, name)], axis=1)
                for name in ("seq", "effect", "sd", "marked")
            )
        )

    def worth(self, other: "Told", metrics: Sequence[str], rule: EmissionRule) -> NDArray[np.bool_]:
        """Tell of which metrics and stores another one is worth a record after this one."""
        with np.errstate(invalid="ignore"):
            moved = np.abs(other.effect - self.effect) > rule.changed_sd * other.sd
            wider = np.abs(other.sd - self.sd) > rule.changed_width * self.sd
        known = np.isnan(other.effect) != np.isnan(self.effect)
        changed: NDArray[np.bool_] = (moved | wider | known).any(axis=2)
        changed |= (self.marked != other.marked).any(axis=2)
        changed |= self.seq[rows_of(metrics)] == 0
        return changed

    def replaced(self, other: "Told", metrics: Sequence[str], which: NDArray[np.bool_]) -> "Told":
        """Return what was told after records of some metrics and stores."""
        at, seq = which[..., None], self.seq.copy()
        seq[rows_of(metrics)] += which
        return Told(
            seq,
            np.where(at, other.effect, self.effect),
            np.where(at, other.sd, self.sd),
            np.where(at, other.marked, self.marked),
        )


def rows_of(metrics: Sequence[str]) -> list[int]:
    """Return where metrics stand among all.

    >>> rows_of(("order_rate", "conversion"))
    [1, 0]
    """
    return [METRICS.index(metric) for metric in metrics]
