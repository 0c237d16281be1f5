"""A shard's part of the pools: what a refit reads of it, wherever the shard is.

A refit is of whole pools, and a pool's groups may be in shards of several workers. So it reads
parts: those of this process's shards as they stand, those of others as they were last told.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from stream_hb.description import described
from stream_hb.metrics import METRICS
from stream_hb.models.described import Described
from stream_hb.pool_summaries import Summarised
from stream_hb.settings import EngineSettings
from stream_hb.shard import Shard
from stream_hb.statistics.columns import Rows, Statistic

FROM_SUMMARY = frozenset({"beta-binomial", "gamma-poisson", "normal"})
"""The models whose fits read a summary, and so cost the same for any number of groups."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Some groups of a pool, over all shards: those with data.

    Attributes
    ----------
    names
        Their stores.
    groups
        Their data as the metric's model may see them.
    asked
        The same as its family takes them: with covariates or regions, where it has these.
    places
        Their rows in the stores table, -1 where they have none.
    """

    names: Sequence[str]
    groups: Statistic
    asked: Any
    places: Rows

    def take(self, rows: Any) -> "Sample":
        """Return some of the groups."""
        names = [self.names[row] for row in rows.tolist()]
        return Sample(names, self.groups.take(rows), self.asked.take(rows), self.places[rows])

    def concatenate(self, other: "Sample") -> "Sample":
        """Return the groups of both."""
        return Sample(
            [*self.names, *other.names],
            self.groups.concatenate(other.groups),
            self.asked.concatenate(other.asked),
            np.concatenate([self.places, other.places]),
        )


class Asked(NamedTuple):
    """What a refit asks for.

    Attributes
    ----------
    chain, metric
        The pool.
    now_ms
        Clock reading: it says which stores have retired.
    half_life_ms
        Which of the statistics that are kept side by side; None: there is no choice.
    """

    chain: str
    metric: str
    now_ms: int
    half_life_ms: int | None = None


class PoolParts(Protocol):
    """What a refit asks of a shard.

    Attributes
    ----------
    number
        The shard.
    chains
        The chains of its groups.
    """

    @property
    def number(self) -> int:
        """The shard."""
        ...

    @property
    def chains(self) -> Sequence[str]:
        """The chains of its groups."""
        ...

    def data(self, asked: Asked) -> Summarised | None:
        """Return its groups of a pool without those of retired stores; None: it has none."""
        ...

    def sample(self, asked: Asked, most: int) -> Sample | None:
        """Return at most so many of its groups of a pool, evenly; None: it has none."""
        ...


class LocalParts:
    """The parts of a shard of this process.

    Parameters
    ----------
    shard
        The shard.
    settings
        The engine's.
    """

    def __init__(self, shard: Shard, settings: EngineSettings) -> None:
        self._shard = shard
        self._settings = settings

    @property
    def number(self) -> int:
        """The shard."""
        return self._shard.number

    @property
    def chains(self) -> Sequence[str]:
        """The chains of its groups."""
        return self._shard.table.chains

    def data(self, asked: Asked) -> Summarised:
        """Return its groups of a pool, as a summary where the model's fit reads one.

        A model that asks more of its groups than their numbers, or that no summary serves, is
        given the groups themselves.
        """
        metric, summaries = METRICS[asked.metric], self._shard.summaries
        if metric.model_name(self._settings.model(asked.metric)) in FROM_SUMMARY:
            return summaries.of(asked.chain, asked.metric, asked.now_ms, asked.half_life_ms)
        rows = summaries.rows(asked.chain, asked.now_ms)
        groups = summaries.seen(asked.metric, rows, asked.half_life_ms)
        whole = self._described(groups, asked.chain, asked.metric, rows)
        return Summarised(whole, metric.data_count(groups))

    def sample(self, asked: Asked, most: int) -> Sample:
        """Return at most so many of its groups of a pool, evenly from its rows."""
        rows = self._shard.summaries.rows(asked.chain, asked.now_ms)
        rows = rows[:: max(1, -(-len(rows) // most))]
        groups = self._shard.summaries.seen(asked.metric, rows, asked.half_life_ms)
        names = [self._shard.table.keys[row][1] for row in rows.tolist()]
        whole = self._described(groups, asked.chain, asked.metric, rows)
        return Sample(names, groups, whole, self._shard.membership.places(rows))

    def _described(
        self, groups: Statistic, chain: str, metric: str, rows: Rows
    ) -> Statistic | Described[Any]:
        places = self._shard.membership.places(rows)
        return described(groups, chain, metric, places, self._settings)


def all_chains(parts: Iterable[PoolParts]) -> list[str]:
    """Return the chains of all shards, in order."""
    return sorted({chain for part in parts for chain in part.chains})
