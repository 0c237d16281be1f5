"""A store's record of an experiment: the effects of the arms there, shrunk."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from stream_hb.feeds.estimate_record import Interval
from stream_hb.feeds.estimates import OutRecord
from stream_hb.feeds.experiments.analysis import Look, MetricLook
from stream_hb.feeds.experiments.declaration import Experiment
from stream_hb.feeds.experiments.record import (
    Provenance,
    encode,
    ends,
    head,
    number,
    record_key,
    status,
)
from stream_hb.feeds.experiments.state import State
from stream_hb.feeds.experiments.store_belief import SCALES, StoreBelief


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
    look = found.metrics[metric]
    chosen = range(len(provenance.stores)) if rows is None else rows
    for row, seq in zip(chosen, seqs, strict=True):
        store = provenance.stores[row]
        effects = [
            _store_effect(experiment, look, belief, row, i) for i, belief in enumerate(beliefs)
        ]
        value = {
            **head(provenance, seq, experiment, state, store, metric),
            "scale": SCALES[metric],
            "effects": effects,
            "flags": _store_flags(found, beliefs, effects, row),
        }
        yield OutRecord(record_key(experiment, provenance.chain_id, store, metric), encode(value))


def _store_effect(
    experiment: Experiment, look: MetricLook, belief: StoreBelief, row: int, i: int
) -> dict[str, Any]:
    evidence, at = look.evidence, (1 + row, i)
    sequence = evidence.relative_sequence
    return {
        "arm": experiment.comparisons[i],
        "status": status(evidence, 1 + row, i),
        "units": float(evidence.arm.units[at]),
        "control_units": float(evidence.control.units[at]),
        **_measured(belief, row),
        **_pooled(belief, row, 1 - experiment.alpha),
        "relative_sequence": ends(sequence.lo[at], sequence.hi[at]),
        "log_e": number(look.log_e[at]),
        "p": float(look.p[at]),
        "discovered": bool(look.discovered[row, i]),
    }


def _measured(belief: StoreBelief, row: int) -> dict[str, Any]:
    variance = belief.contrasts.variance[row]
    raw = float(belief.contrasts.mean[row]) if math.isfinite(variance) else None
    return {"raw": raw, "raw_sd": number(np.sqrt(variance))}


def _pooled(belief: StoreBelief, row: int, level: float) -> dict[str, Any]:
    names = ("effect", "sd", "interval", "shrinkage_weight", "pooled", "probability_above")
    rates = belief.rates
    both = {
        "control_rate": None if rates is None else float(rates.control[row]),
        "arm_rate": None if rates is None else float(rates.arm[row]),
    }
    if belief.sites is None:
        return {**dict.fromkeys(names), **both}
    s = belief.sites.stores
    columns = (s.mean, s.sd, s.lo, s.hi, s.weight, s.pooled, belief.sites.probability_above)
    mean, sd, lo, hi, *rest = (float(column[row]) for column in columns)
    return {**dict(zip(names, (mean, sd, Interval(lo, hi, level), *rest), strict=True)), **both}


def _store_flags(
    found: Look, beliefs: Sequence[StoreBelief], effects: list[dict[str, Any]], row: int
) -> list[str]:
    flags = {
        "insufficient": any(effect["status"] != "ok" for effect in effects),
        "no_contrast": any(effect["raw"] is None for effect in effects),
        "boundary_tau0": any(one.sites is not None and one.sites.boundary for one in beliefs),
        "srm": bool(found.srm_stores[row]),
    }
    return [name for name, holds in flags.items() if holds]
