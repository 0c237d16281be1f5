"""A pass of emission over the shards: who may have changed, who is worth a record, the records."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain as flatten
from typing import NamedTuple

import numpy as np
from msgspec import Raw
from numpy.typing import NDArray

from stream_hb.estimator import Estimator, estimator_of
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
from stream_hb.statistics.forgetting import Forgetting, HalfLife
from stream_hb.unscreened import Looked
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
    looked
        The groups that were looked at, whether they were worth a record or not.
    waiting_count
        How many places of the limits were used: by groups that waited, or were due by the clock.
    is_part
        Others wait to be looked at.
    """

    records: list[OutRecord]
    updates: list[MemoryUpdate]
    looked: list[Looked]
    waiting_count: int = 0
    is_part: bool = False

    @property
    def looked_count(self) -> int:
        """How many estimates were looked at."""
        return sum(len(looked.rows) for looked in self.looked)


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


class _Written(NamedTuple):
    """A pool as its records tell of it: worked out once for all of its shards.

    Attributes
    ----------
    estimator
        Of the pool.
    hyper
        JSON of the hyperparameters.
    flags
        Those of the pool's fit.
    """

    estimator: Estimator
    hyper: Raw
    flags: tuple[str, ...]


def emit(
    shards: Iterable[tuple[Shard, ShardCandidate | None]],
    moment: Moment,
    settings: EngineSettings,
    rows_max: int | None = None,
) -> Emission:
    """Return the records of some shards, and what to remember of them.

    The groups of a pool are worked out together, whichever shards they are in: a call for every
    shard costs more than its few groups do. Of those that wait to be looked at, some ``rows_max``
    are (None: all), and as many of those that are due by the clock; those that the candidates touch
    are looked at in any case.
    """
    views = [
        View(shard, candidate, settings, moment.watermark_ms)
        for shard, candidate in shards
        if candidate is not None or not _is_quiet(shard, moment, settings)
    ]
    retired = [view.retired(moment.now_ms) for view in views]
    allotted = _allotted(views, settings, rows_max)
    beats, is_late = _beats(views, moment, settings, rows_max)
    looked: list[Looked] = []
    parts: list[tuple[list[OutRecord], MemoryUpdate]] = []
    for metric in settings.emitted_metrics:
        looks: dict[str, list[_Look]] = defaultdict(list)
        for view, gone in zip(views, retired, strict=True):
            due = _due(view, beats[view, metric], moment, settings)
            looked.append(_look(view, metric, due, allotted[view, metric], moment.now_ms))
            staying = np.setdiff1d(looked[-1].rows, gone) if len(gone) else looked[-1].rows
            for chain, rows in view.by_chain(staying):
                looks[chain].append(_Look(view, rows, due[rows]))
            if len(gone):
                parts.append(_bury(view, gone, metric, moment))
        for chain, some in looks.items():
            estimator = estimator_of(chain, metric, moment.pools, settings)
            if estimator is not None:
                parts.extend(_emit_pool(some, estimator, moment, settings))
    records = list(flatten.from_iterable(records for records, _ in parts))
    updates = [update for _, update in parts]
    waiting_count = sum(allotted.values()) + sum(map(len, beats.values()))
    waits = any(most < v.shard.unscreened.count(name) for (v, name), most in allotted.items())
    return Emission(records, updates, looked, waiting_count, waits or is_late)


def _is_quiet(shard: Shard, moment: Moment, settings: EngineSettings) -> bool:
    """Tell whether nothing can be due, so that nobody has to look: so it is while nothing comes."""
    beats = settings.emission.heartbeat_ms is not None or settings.stores is not None
    return not (beats or moment.everything or shard.unscreened)


def _allotted(
    views: Sequence[View], settings: EngineSettings, rows_max: int | None
) -> dict[tuple[View, str], int]:
    """Return how many of the waiting groups of each shard and metric are looked at.

    Whole shards in turn, and not some groups of each: every pool of a shard costs a call, so a
    thirtieth of all of them costs half of what all do.
    """
    waiting = {(v, name): v.shard.unscreened for name in settings.emitted_metrics for v in views}
    left = sys.maxsize if rows_max is None else rows_max
    allotted = {}
    for view, name in sorted(waiting, key=lambda one: waiting[one].over_at_ms(one[1])):
        allotted[view, name] = min(left, waiting[view, name].count(name))
        left -= allotted[view, name]
    return allotted


def _beats(
    views: Sequence[View], moment: Moment, settings: EngineSettings, rows_max: int | None
) -> tuple[dict[tuple[View, str], Rows], bool]:
    """Return the groups that are due by the clock, the oldest first if not all; are others left?

    After a stop longer than a heartbeat all are: in one transaction they might be too many.
    """
    last = {(v, name): v.shard.emitted[name] for name in settings.emitted_metrics for v in views}
    found = {
        at: heartbeat_rows(settings.emission, each, moment.now_ms) for at, each in last.items()
    }
    count = sum(map(len, found.values()))
    if rows_max is None or count <= rows_max:
        return found, False
    at_ms = np.concatenate([last[at].at_ms[rows] for at, rows in found.items()])
    chosen = np.zeros(count, bool)
    chosen[np.argsort(at_ms, kind="stable")[:rows_max]] = True
    ends = np.cumsum([len(rows) for rows in found.values()])
    parts = np.split(chosen, ends[:-1])
    some = zip(found.items(), parts, strict=True)
    return {at: rows[mine] for (at, rows), mine in some}, True


def _due(view: View, beats: Rows, moment: Moment, settings: EngineSettings) -> NDArray[np.bool_]:
    """Tell which groups get a record whether they have changed or not."""
    due = np.full(len(view), moment.everything)
    due[beats] = True
    if settings.emission.everything_touched:
        due[view.touched] = True
    return due


def _look(view: View, metric: str, due: NDArray[np.bool_], most: int, now_ms: int) -> Looked:
    """Return what is looked at now of a shard and metric."""
    some, next_row = view.shard.unscreened.some(metric, most)
    considered = due.copy()
    considered[view.touched] = True
    considered[some] = True
    over_at_ms = now_ms if most and not next_row else None
    return Looked(view.shard.number, metric, np.flatnonzero(considered), next_row, over_at_ms)


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
    pool = _Written(estimator, encode_raw(estimator.reference()), estimator.flags())
    starts = np.cumsum([0, *(len(look.rows) for look in looks)])
    for look, start in zip(looks, starts.tolist(), strict=False):
        mine = chosen[start : start + len(look.rows)]
        if mine.any():
            before = int(chosen[:start].sum())
            some = np.arange(before, before + int(mine.sum()))
            view, rows, written = look.view, look.rows[mine], emitted.take(some)
            told = posterior.take(some), written.seq.tolist(), sizes[some]
            records = _records(view, rows, *told, pool, moment, settings)
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
    pool: _Written,
    moment: Moment,
    settings: EngineSettings,
) -> list[OutRecord]:
    """Return the records of some groups of a shard and pool."""
    metric, base = pool.estimator.metric, pool.estimator.base_metric
    kept = view.kept(base, rows, pool.estimator.half_life_ms)
    return list(
        estimate_records(
            _provenance(view, kept.rule, pool, moment, settings),
            view.keys(rows),
            seq,
            posterior,
            Sizes(sizes, view.mass(base, kept), view.kish(base, kept)),
            _currencies(view, metric, rows),
            group_flags(view, metric, rows, moment, settings),
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
    records = [OutRecord(record_key(*key, metric), None) for key in view.keys(rows)]
    buried = view.shard.emitted[metric].take(rows).bury(moment.now_ms)
    return records, MemoryUpdate(view.shard.number, metric, rows, buried)


def _rates_version(metric: str, settings: EngineSettings) -> str | None:
    rates = settings.money.rates
    return rates.version if rates and metric in OF_MONEY else None


def _provenance(
    view: View, rule: Forgetting, pool: _Written, moment: Moment, settings: EngineSettings
) -> Provenance:
    metric = pool.estimator.metric
    return Provenance(
        metric=metric,
        model=pool.estimator.record_model,
        epoch=view.shard.epoch,
        hyper=pool.hyper,
        offsets=view.offsets,
        level=settings.level,
        watermark_ms=moment.watermark_ms,
        as_of_ms=moment.now_ms,
        flags=pool.flags + moment.flags,
        half_life_s=rule.half_life_ms / 1000 if isinstance(rule, HalfLife) else None,
        rates_version=_rates_version(metric, settings),
    )
