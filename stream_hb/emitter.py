"""A pass of emission over the shards: who may have changed, who is worth a record, the records."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_hb.estimator import Estimator, estimator_of, parts_of
from stream_hb.feeds.emission import Emitted, heartbeat_rows, worth_a_record
from stream_hb.feeds.estimate_record import record_key
from stream_hb.feeds.estimates import (
    OutRecord,
    Provenance,
    Sizes,
    encode_raw,
    estimate_records,
)
from stream_hb.group_flags import group_flags
from stream_hb.metrics import OF_MONEY
from stream_hb.models.family import Posterior
from stream_hb.moment import Moment
from stream_hb.settings import EngineSettings
from stream_hb.shard import Shard, ShardCandidate
from stream_hb.statistics.columns import Floats, Rows
from stream_hb.view import View


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
class _Look:
    """Rows of one shard and chain that may be worth a record.

    Attributes
    ----------
    view
        The shard.
    rows
        The rows, ascending.
    due
        Those that get a record whether they have changed or not.
    """

    view: View
    rows: Rows
    due: NDArray[np.bool_]


def emit(
    shards: Iterable[tuple[Shard, ShardCandidate | None]], moment: Moment, settings: EngineSettings
) -> Iterator[tuple[list[OutRecord], MemoryUpdate]]:
    """Yield, per pool and shard, the records and what to remember of them.

    The groups of a pool are worked out together, whichever shards they are in: a call for every
    shard costs more than its few groups do.
    """
    views = [
        View(shard, candidate, settings, moment.watermark_ms)
        for shard, candidate in shards
        if candidate is not None or not _is_quiet(shard, moment, settings)
    ]
    retired = [view.retired(moment.now_ms) for view in views]
    for metric in settings.emitted_metrics:
        looks: dict[str, list[_Look]] = defaultdict(list)
        for view, gone in zip(views, retired, strict=True):
            for chain, look in _looks(view, gone, metric, moment, settings):
                looks[chain].append(look)
            if len(gone):
                yield _bury(view, gone, metric, moment)
        for chain, some in looks.items():
            estimator = estimator_of(chain, metric, moment.pools, settings)
            if estimator is not None:
                yield from _emit_pool(some, estimator, moment, settings)


def _is_quiet(shard: Shard, moment: Moment, settings: EngineSettings) -> bool:
    """Tell whether nothing can be due, so that nobody has to look: so it is while nothing comes."""
    beats = settings.emission.heartbeat_ms is not None or settings.stores is not None
    return not (beats or moment.everything or shard.unscreened or shard.refitted)


def _looks(
    view: View, retired: Rows, metric: str, moment: Moment, settings: EngineSettings
) -> Iterator[tuple[str, _Look]]:
    """Yield by chain what may be worth a record."""
    due = np.full(len(view), moment.everything)
    due[heartbeat_rows(settings.emission, view.shard.emitted[metric], moment.now_ms)] = True
    considered = due.copy()
    considered[slice(None) if view.shard.unscreened else view.touched] = True
    parts = parts_of(metric, settings)
    considered |= view.of_chains({chain for chain, name in view.shard.refitted if name in parts})
    considered[retired] = False
    if settings.emission.everything_touched:
        due[view.touched] = True
    for chain, rows in view.by_chain(np.flatnonzero(considered)):
        yield chain, _Look(view, rows, due[rows])


def _emit_pool(
    looks: list[_Look], estimator: Estimator, moment: Moment, settings: EngineSettings
) -> Iterator[tuple[list[OutRecord], MemoryUpdate]]:
    """Find who is worth a record among a pool's groups; yield the records by shard."""
    groups = estimator.joined([estimator.read(look.view, look.rows) for look in looks])
    mean, sd = estimator.screen(groups)
    last = Emitted.joined(
        [look.view.shard.emitted[estimator.metric].take(look.rows) for look in looks]
    )
    chosen = worth_a_record(settings.emission, last, mean, sd)
    chosen |= np.concatenate([look.due for look in looks])
    if not chosen.any():
        return
    posterior = estimator.posterior(estimator.take(groups, chosen), settings.level)
    known = estimator.is_known(posterior)
    chosen[chosen], posterior = known, posterior.take(known)
    sizes = estimator.sizes(estimator.take(groups, chosen))
    emitted = _emitted(last.take(np.flatnonzero(chosen)), mean[chosen], sd[chosen], moment)
    starts = np.cumsum([0, *(len(look.rows) for look in looks)])
    for look, start in zip(looks, starts.tolist(), strict=False):
        mine = chosen[start : start + len(look.rows)]
        if mine.any():
            before = int(chosen[:start].sum())
            some = np.arange(before, before + int(mine.sum()))
            view, rows, written = look.view, look.rows[mine], emitted.take(some)
            told = posterior.take(some), written.seq.tolist(), sizes[some]
            records = _records(view, rows, *told, estimator, moment, settings)
            yield records, MemoryUpdate(view.shard.number, estimator.metric, rows, written)


def _emitted(last: Emitted, mean: Floats, sd: Floats, moment: Moment) -> Emitted:
    """Return what is to be remembered of keys whose next record is written now."""
    at_ms = np.full(len(mean), moment.now_ms)
    return Emitted(last.seq + 1, mean, sd, at_ms, np.zeros(len(mean), dtype=bool))


def _records(
    view: View,
    rows: Rows,
    posterior: Posterior,
    seq: list[int],
    sizes: Floats,
    estimator: Estimator,
    moment: Moment,
    settings: EngineSettings,
) -> list[OutRecord]:
    """Return the records of some groups of a shard and pool."""
    base, half_life_ms = estimator.base_metric, estimator.half_life_ms
    return list(
        estimate_records(
            _provenance(view, estimator, moment, settings),
            [view.key(row) for row in rows.tolist()],
            seq,
            posterior,
            Sizes(sizes, view.mass(base, rows, half_life_ms), view.kish(base, rows, half_life_ms)),
            _currencies(view, estimator.metric, rows),
            group_flags(view, estimator.metric, rows, moment, settings),
        )
    )


def _currencies(view: View, metric: str, rows: Rows) -> list[str | None] | None:
    if metric not in OF_MONEY:
        return None
    return view.purse.names(rows)


def _bury(
    view: View, retired: Rows, metric: str, moment: Moment
) -> tuple[list[OutRecord], MemoryUpdate]:
    """Delete the keys of retired stores, each once, whether this epoch has written them or not."""
    last = view.shard.emitted[metric].take(retired)
    rows = retired[~last.buried]
    records = [OutRecord(record_key(*view.key(row), metric), None) for row in rows.tolist()]
    buried = view.shard.emitted[metric].take(rows).bury(moment.now_ms)
    return records, MemoryUpdate(view.shard.number, metric, rows, buried)


def _rates_version(metric: str, settings: EngineSettings) -> str | None:
    rates = settings.money.rates
    return rates.version if rates and metric in OF_MONEY else None


def _provenance(
    view: View, estimator: Estimator, moment: Moment, settings: EngineSettings
) -> Provenance:
    return Provenance(
        metric=estimator.metric,
        model=estimator.record_model,
        epoch=view.shard.epoch,
        hyper=encode_raw(estimator.reference()),
        offsets=view.offsets,
        level=settings.level,
        watermark_ms=moment.watermark_ms,
        as_of_ms=moment.now_ms,
        flags=estimator.flags() + moment.flags,
        half_life_s=view.half_life_s(estimator.base_metric, estimator.half_life_ms),
        rates_version=_rates_version(estimator.metric, settings),
    )
