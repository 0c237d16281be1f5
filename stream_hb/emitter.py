"""One pass of emission over a shard: who may have changed, who is worth a record, the records."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from stream_hb.feeds.emission import Emitted, heartbeat_rows, worth_a_record
from stream_hb.feeds.estimates import OutRecord, Provenance, encode_raw, estimate_records
from stream_hb.metrics import METRICS
from stream_hb.refit import Pool, PoolFit
from stream_hb.settings import EngineSettings
from stream_hb.shard import Position, Shard, ShardCandidate, Source
from stream_hb.statistics.columns import Rows, Statistic
from stream_hb.statistics.table import GroupKey


@dataclass(frozen=True, slots=True)
class MemoryUpdate:
    """What a shard must remember of the records written for one metric."""

    shard: int
    metric: str
    rows: Rows
    emitted: Emitted


@dataclass(frozen=True, slots=True)
class Emission:
    """Records, and what becomes the state when they are delivered.

    Attributes
    ----------
    records
        For the estimates topic, in the order to be written.
    updates
        The memory of what was emitted.
    shards
        The shards that were looked at.
    """

    records: list[OutRecord]
    updates: list[MemoryUpdate]
    shards: frozenset[int]


@dataclass(frozen=True, slots=True)
class Moment:
    """What all shards of one emission share.

    Attributes
    ----------
    now_ms
        Clock reading.
    watermark_ms
        Event time up to which every source has been read.
    pools
        The hyperparameters.
    everything
        Write a record for every key, changed or not.
    flags
        Flags of every record.
    """

    now_ms: int
    watermark_ms: int
    pools: Mapping[Pool, PoolFit]
    everything: bool
    flags: tuple[str, ...]


def emit_shard(
    shard: Shard, candidate: ShardCandidate | None, moment: Moment, settings: EngineSettings
) -> Iterator[tuple[list[OutRecord], MemoryUpdate]]:
    """Yield, per pool of the shard, the records and what to remember of them."""
    view = _View(shard, candidate)
    for metric in settings.methods:
        beating = heartbeat_rows(settings.emission, shard.emitted[metric], moment.now_ms)
        considered = _considered(view, beating, moment)
        for chain, rows in _by_chain(view, considered):
            if (chain, metric) in moment.pools:
                yield _emit_pool(view, rows, beating, (chain, metric), moment, settings)


def _by_chain(view: "_View", rows: Rows) -> Iterator[tuple[str, Rows]]:
    """Yield each chain with its share of the rows; sorted once, as there may be many chains."""
    codes = view.chain_codes[rows]
    order = np.argsort(codes, kind="stable")
    distinct, starts = np.unique(codes[order], return_index=True)
    for code, some in zip(distinct.tolist(), np.split(rows[order], starts[1:]), strict=False):
        yield view.chains[code], some


def _considered(view: "_View", beating: Rows, moment: Moment) -> Rows:
    """Return the rows that may be worth a record."""
    if moment.everything or view.shard.unscreened:
        return np.arange(len(view.chain_codes))
    considered = np.zeros(len(view.chain_codes), dtype=bool)
    considered[view.touched] = True
    considered[beating] = True
    return np.flatnonzero(considered)


def _emit_pool(
    view: "_View",
    rows: Rows,
    beating: Rows,
    pool: Pool,
    moment: Moment,
    settings: EngineSettings,
) -> tuple[list[OutRecord], MemoryUpdate]:
    metric = METRICS[pool[1]]
    pool_fit = moment.pools[pool]
    groups = metric.seen(view.read(metric.name, rows))
    mean, sd = metric.family.screen(groups, pool_fit.fit.hyper)
    last = view.shard.emitted[metric.name].take(rows)
    chosen = worth_a_record(settings.emission, last, mean, sd) | np.isin(rows, beating)
    if settings.emission.everything_touched:
        chosen |= np.isin(rows, view.touched)
    chosen |= moment.everything
    at_ms = np.full(int(chosen.sum()), moment.now_ms)
    emitted = Emitted(last.seq[chosen] + 1, mean[chosen], sd[chosen], at_ms)
    written = groups.take(chosen)
    records = estimate_records(
        _provenance(view, pool, pool_fit, moment, settings),
        [view.key(row) for row in rows[chosen].tolist()],
        emitted.seq.tolist(),
        metric.family.posterior(written, pool_fit.fit.hyper, settings.level),
        metric.sizes(written),
    )
    return list(records), MemoryUpdate(view.shard.number, metric.name, rows[chosen], emitted)


def _provenance(
    view: "_View", pool: Pool, pool_fit: PoolFit, moment: Moment, settings: EngineSettings
) -> Provenance:
    return Provenance(
        metric=pool[1],
        model=METRICS[pool[1]].record_model,
        epoch=view.shard.epoch,
        hyper=pool_fit.reference(pool[1]),
        offsets=view.offsets,
        level=settings.level,
        watermark_ms=moment.watermark_ms,
        as_of_ms=moment.now_ms,
        flags=pool_fit.flags() + moment.flags,
    )


class _View:
    """A shard as it will be once the candidate is applied."""

    def __init__(self, shard: Shard, candidate: ShardCandidate | None) -> None:
        self.shard = shard
        self._change = candidate.change if candidate else None
        positions = candidate.positions if candidate else shard.positions
        self.offsets = encode_raw(_offsets(positions))
        self.touched: Rows = self._change.rows if self._change else np.empty(0, dtype=np.intp)
        new = self._change.new_groups.keys if self._change else []
        self._new_keys = new
        self.chains, self.chain_codes = shard.table.chain_codes_with(new)

    def key(self, row: int) -> GroupKey:
        """Return the group of a row."""
        known = len(self.shard.table)
        return self.shard.table.keys[row] if row < known else self._new_keys[row - known]

    def read(self, metric: str, rows: Rows) -> Statistic:
        """Return the rows' statistics, the candidate's where it touches them."""
        groups = self.shard.table.read(metric, rows)
        if self._change is None:
            return groups
        _, here, there = np.intersect1d(
            rows, self._change.rows, assume_unique=True, return_indices=True
        )
        for name, column in self._change.statistics[metric].columns().items():
            groups.columns()[name][here] = column[there]
        return groups


def _offsets(positions: Mapping[Source, Position]) -> dict[str, int]:
    return {f"{topic}-{number}": p.next_offset for (topic, number), p in positions.items()}
