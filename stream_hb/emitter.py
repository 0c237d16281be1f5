"""One pass of emission over a shard: who may have changed, who is worth a record, the records."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
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
from stream_hb.field_names import field_names
from stream_hb.group_flags import group_flags
from stream_hb.metrics import OF_MONEY
from stream_hb.models.family import Posterior
from stream_hb.moment import Moment
from stream_hb.settings import EngineSettings
from stream_hb.shard import Shard, ShardCandidate
from stream_hb.statistics.columns import Rows
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


def emit_shard(
    shard: Shard, candidate: ShardCandidate | None, moment: Moment, settings: EngineSettings
) -> Iterator[tuple[list[OutRecord], MemoryUpdate]]:
    """Yield, per pool of the shard, the records and what to remember of them."""
    if candidate is None and _is_quiet(shard, moment, settings):
        return
    view = View(shard, candidate, settings, moment.watermark_ms)
    retired = view.retired(moment.now_ms)
    for metric in settings.emitted_metrics:
        beating = heartbeat_rows(settings.emission, shard.emitted[metric], moment.now_ms)
        considered = np.setdiff1d(_considered(view, beating, moment), retired, assume_unique=True)
        for chain, rows in view.by_chain(considered):
            estimator = estimator_of(chain, metric, moment.pools, settings)
            if estimator is not None:
                yield _emit_pool(view, rows, beating, estimator, moment, settings)
        if len(retired):
            yield _bury(view, retired, metric, moment)


def _is_quiet(shard: Shard, moment: Moment, settings: EngineSettings) -> bool:
    """Tell whether nothing can be due, so that nobody has to look: so it is while nothing comes."""
    beats = settings.emission.heartbeat_ms is not None or settings.stores is not None
    return not (beats or moment.everything or shard.unscreened)


def _considered(view: View, beating: Rows, moment: Moment) -> Rows:
    """Return the rows that may be worth a record."""
    if moment.everything or view.shard.unscreened:
        return np.arange(len(view))
    considered = np.zeros(len(view), dtype=bool)
    considered[view.touched] = True
    considered[beating] = True
    return np.flatnonzero(considered)


def _emit_pool(
    view: View,
    rows: Rows,
    beating: Rows,
    estimator: Estimator,
    moment: Moment,
    settings: EngineSettings,
) -> tuple[list[OutRecord], MemoryUpdate]:
    groups = estimator.read(view, rows)
    mean, sd = estimator.screen(groups)
    last = view.shard.emitted[estimator.metric].take(rows)
    chosen = worth_a_record(settings.emission, last, mean, sd) | np.isin(rows, beating)
    if settings.emission.everything_touched:
        chosen |= np.isin(rows, view.touched)
    chosen |= moment.everything
    if not chosen.any():
        return [], MemoryUpdate(view.shard.number, estimator.metric, rows[:0], last.take(rows[:0]))
    posterior = estimator.posterior(estimator.take(groups, chosen), settings.level)
    known = estimator.is_known(posterior)
    chosen[chosen] = known
    size = int(chosen.sum())
    alive = np.zeros(size, dtype=bool)
    at_ms = np.full(size, moment.now_ms)
    emitted = Emitted(last.seq[chosen] + 1, mean[chosen], sd[chosen], at_ms, alive)
    records = estimate_records(
        _provenance(view, estimator, moment, settings),
        [view.key(row) for row in rows[chosen].tolist()],
        emitted.seq.tolist(),
        _taken(posterior, known),
        Sizes(
            estimator.sizes(estimator.take(groups, chosen)),
            view.mass(estimator.base_metric, rows[chosen]),
            view.kish(estimator.base_metric, rows[chosen]),
        ),
        _currencies(view, estimator.metric, rows[chosen]),
        group_flags(view, estimator.metric, rows[chosen], moment, settings),
    )
    update = MemoryUpdate(view.shard.number, estimator.metric, rows[chosen], emitted)
    return list(records), update


def _currencies(view: View, metric: str, rows: Rows) -> list[str | None] | None:
    if metric not in OF_MONEY:
        return None
    return view.purse.names(rows)


def _taken(posterior: Posterior, chosen: NDArray[np.bool_]) -> Posterior:
    return Posterior(*(getattr(posterior, name)[chosen] for name in field_names(Posterior)))


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
        half_life_s=view.half_life_s(estimator.base_metric),
        rates_version=_rates_version(estimator.metric, settings),
    )
