"""A store's record of an experiment: the effects of the arms there, shrunk."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import compress, repeat
from typing import Any

import msgspec
import numpy as np

from stream_hb.feeds.estimate_record import Interval, Version
from stream_hb.feeds.estimates import OutRecord
from stream_hb.feeds.experiments.analysis import Look, MetricLook
from stream_hb.feeds.experiments.declaration import Experiment
from stream_hb.feeds.experiments.record import (
    Key,
    Provenance,
    encode,
    ends,
    head,
    numbers,
    record_key,
)
from stream_hb.feeds.experiments.state import State
from stream_hb.feeds.experiments.store_belief import SCALES, StoreBelief
from stream_hb.statistics.columns import Rows


def store_records(
    provenance: Provenance,
    seqs: Sequence[int],
    experiment: Experiment,
    state: State,
    found: Look,
    metric: str,
    beliefs: Sequence[StoreBelief],
    rows: Sequence[int] | None = None,
) -> Iterator[OutRecord]:
    """Write the records of stores for one metric.

    Parameters
    ----------
    provenance, experiment, state, found
        As for :func:`chain_record`.
    seqs
        Numbers of the records, one per row.
    metric, beliefs
        One of the declared ones, and what is believed of it.
    rows
        The stores that are worth a record; None: all.
    """
    chosen = np.arange(len(provenance.stores)) if rows is None else np.asarray(rows, np.intp)
    if not len(chosen):
        return
    effects = [
        _effects(experiment, found.metrics[metric], belief, chosen, i)
        for i, belief in enumerate(beliefs)
    ]
    # What all records share is made once: there may be a record for each of thousands of stores.
    shared = head(provenance, 0, experiment, state, "", metric)
    shared["scale"] = SCALES[metric]
    flags = _flags(found, metric, beliefs, chosen)
    for row, seq, raised, *mine in zip(chosen.tolist(), seqs, flags, *effects, strict=True):
        store = provenance.stores[row]
        value = {
            **shared,
            "key": Key(experiment.experiment_id, provenance.chain_id, store, metric),
            "version": Version(provenance.epoch, seq),
            "effects": mine,
            "flags": raised,
        }
        yield OutRecord(record_key(experiment, provenance.chain_id, store, metric), encode(value))


class _Effect(msgspec.Struct, frozen=True, gc=False):
    """The effect of an arm in a store, its fields as the schema has them."""

    arm: str
    status: str
    units: float
    control_units: float
    raw: float | None
    raw_sd: float | None
    effect: float | None
    sd: float | None
    interval: Interval | None
    shrinkage_weight: float | None
    pooled: float | None
    probability_above: float | None
    control_rate: float | None
    arm_rate: float | None
    relative_sequence: Any
    log_e: float | None
    p: float
    discovered: bool


def _effects(
    experiment: Experiment, look: MetricLook, belief: StoreBelief, rows: Rows, i: int
) -> Iterator[_Effect]:
    """Yield the effect of an arm in each of some stores."""
    evidence, at = look.evidence, (1 + rows, i)
    sequence = evidence.relative_sequence
    contrasts = belief.contrasts
    known = np.isfinite(contrasts.variance[rows])
    columns = (
        np.where(evidence.enough[at], "ok", "insufficient").tolist(),
        evidence.arm.units[at].tolist(),
        evidence.control.units[at].tolist(),
        numbers(np.where(known, contrasts.mean[rows], np.nan)),
        numbers(np.sqrt(contrasts.variance[rows])),
        *_pooled(belief, rows, 1 - experiment.alpha),
        *_rates(belief, rows),
        map(ends, sequence.lo[at].tolist(), sequence.hi[at].tolist()),
        numbers(look.log_e[at]),
        look.p[at].tolist(),
        look.discovered[rows, i].tolist(),
    )
    return map(partial(_Effect, experiment.comparisons[i]), *columns)


def _pooled(belief: StoreBelief, rows: Rows, level: float) -> list[Iterable[Any]]:
    """Return effect, sd, interval, weight, pooled and P(above 0), each for all the stores."""
    if belief.sites is None:
        return [repeat(None)] * 6
    s = belief.sites.stores
    intervals = map(Interval, s.lo[rows].tolist(), s.hi[rows].tolist(), repeat(level))
    columns = (s.weight, s.pooled, belief.sites.probability_above)
    return [
        s.mean[rows].tolist(),
        s.sd[rows].tolist(),
        intervals,
        *(column[rows].tolist() for column in columns),
    ]


def _rates(belief: StoreBelief, rows: Rows) -> list[Iterable[Any]]:
    if belief.rates is None:
        return [repeat(None)] * 2
    return [belief.rates.control[rows].tolist(), belief.rates.arm[rows].tolist()]


def _flags(
    found: Look, metric: str, beliefs: Sequence[StoreBelief], rows: Rows
) -> Iterator[list[str]]:
    enough = found.metrics[metric].evidence.enough[1 + rows]
    contrasts = np.ones(len(rows), np.bool_)
    for one in beliefs:
        contrasts = contrasts & np.isfinite(one.contrasts.variance[rows])
    boundary = any(one.sites is not None and one.sites.boundary for one in beliefs)
    flags = {
        "insufficient": ~enough.all(axis=1),
        "no_contrast": ~contrasts,
        "boundary_tau0": np.full(len(rows), boundary),
        "srm": found.srm_stores[rows],
    }
    for raised in zip(*(column.tolist() for column in flags.values()), strict=True):
        yield list(compress(flags, raised))
