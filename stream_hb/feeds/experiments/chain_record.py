"""The chain's record of an experiment: what to do, and everything that it rests on."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stream_hb.feeds.estimates import OutRecord
from stream_hb.feeds.experiments.adjustment import Adjustment, adjustment
from stream_hb.feeds.experiments.analysis import Look, Seen
from stream_hb.feeds.experiments.belief import arm_beliefs, lift_belief
from stream_hb.feeds.experiments.bernoulli_sequence import bernoulli_sequence
from stream_hb.feeds.experiments.declaration import Experiment
from stream_hb.feeds.experiments.fieller import Ends
from stream_hb.feeds.experiments.lift import Lift
from stream_hb.feeds.experiments.multisite import ChainMean, MultiSite
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

STORES_NAMED_MAX = 20
"""Stores that a record of the chain names; the others are counted."""


def chain_record(
    provenance: Provenance,
    seq: int,
    experiment: Experiment,
    state: State,
    seen: Seen,
    found: Look,
    beliefs: Mapping[str, Sequence[StoreBelief]],
) -> OutRecord:
    """Write the chain's record of one look.

    Parameters
    ----------
    provenance
        What the look's records share.
    seq
        Number of the record of this key in its epoch.
    experiment, state, seen, found
        The declaration, the memory after the look, what the look was given, and what it found.
    beliefs
        From :func:`~stream_hb.feeds.experiments.store_belief.all_store_beliefs`.
    """
    metrics = [
        {
            "metric": name,
            "arms": _metric_arms(experiment, state, seen, name),
            "effects": [
                _chain_effect(experiment, seen, name, found, belief, i)
                for i, belief in enumerate(beliefs[name])
            ],
        }
        for name in found.metrics
    ]
    decision = found.decision
    value = {
        **head(provenance, seq, experiment, state, None, None),
        "decision": {
            "action": decision.action,
            "arm": decision.arm,
            "reasons": list(decision.reasons),
            "metric": experiment.metrics[0],
        },
        "srm": _srm(provenance, found),
        "arms": _arms(experiment, seen),
        "metrics": metrics,
        "flags": _chain_flags(found, metrics, state),
    }
    return OutRecord(record_key(experiment, provenance.chain_id), encode(value))


def _srm(provenance: Provenance, found: Look) -> dict[str, Any]:
    stores = np.flatnonzero(found.srm_stores)
    return {
        "status": found.srm.status,
        "p_value": found.srm.p_value,
        "log_e": found.srm.log_e,
        "deviation": found.srm.deviation,
        "unexpected_units": found.srm.unexpected,
        "stores": len(stores),
        "stores_named": [provenance.stores[i] for i in stores[:STORES_NAMED_MAX]],
    }


def _arms(experiment: Experiment, seen: Seen) -> list[dict[str, Any]]:
    chain = seen.statistics.chain()
    return [
        {
            "arm": arm.name,
            "is_control": arm.name == experiment.control,
            "weight": arm.weight,
            "assigned_units": float(seen.assigned[:, i].sum()),
            "units": float(chain.units[0, i]),
            "visits": float(chain.visits[0, i]),
            "conversions": float(chain.conversions[0, i]),
            "orders": float(chain.orders[0, i]),
            "capped_share": _capped_share(chain.capped, chain.units, i),
        }
        for i, arm in enumerate(experiment.arms)
    ]


def _capped_share(capped: Any, units: Any, i: int) -> float | None:
    return None if capped is None or units[0, i] == 0 else float(capped[0, i] / units[0, i])


def _metric_arms(
    experiment: Experiment, state: State, seen: Seen, metric: str
) -> list[dict[str, Any]]:
    names = ("mean", "sd", "probability_best", "expected_loss")
    beliefs = arm_beliefs(experiment, seen.statistics, metric)
    return [
        {
            "arm": arm.name,
            **_fields(beliefs[i], *names),
            "sequence": _rate_sequence(experiment, state, seen, metric, i),
        }
        for i, arm in enumerate(experiment.arms)
    ]


def _rate_sequence(
    experiment: Experiment, state: State, seen: Seen, metric: str, i: int
) -> dict[str, Any] | None:
    """Return the exact sequence of a conversion rate: valid from the first unit on."""
    if metric != "conversion":
        return None
    units = float(seen.statistics.units[:, i].sum())
    successes = float(seen.statistics.conversions[:, i].sum())
    lo, hi = bernoulli_sequence(successes, units, experiment.alpha, state.tuning.units / 2)
    return {"lo": lo, "hi": hi}


def _chain_effect(
    experiment: Experiment, seen: Seen, metric: str, found: Look, belief: StoreBelief, i: int
) -> dict[str, Any]:
    look = found.metrics[metric]
    evidence = look.evidence
    return {
        "arm": experiment.comparisons[i],
        "status": status(evidence, 0, i),
        "absolute": _lift(evidence.absolute, evidence.sequence, i),
        "relative": _lift(evidence.relative, evidence.relative_sequence, i),
        "log_e": number(look.log_e[0, i]),
        "p": float(look.p[0, i]),
        "lift_posterior": _fields(
            lift_belief(experiment, evidence, metric, i),
            *("mean", "sd", "lo", "hi", "probability_above", "loss_keep", "loss_ship"),
        ),
        "stores": _sites(belief.sites, metric),
        "stores_discovered": int(look.discovered[:, i].sum()),
        "cuped": _cuped(adjustment(experiment, seen.statistics, metric, i, seen.pre_rate)),
        "guardrail": _rail(found, metric, i),
    }


def _rail(found: Look, metric: str, i: int) -> dict[str, Any] | None:
    for rail in found.rails[i]:
        if rail.metric == metric:
            ends = {"lower": number(rail.lower), "upper": number(rail.upper)}
            return {"margin": rail.margin, "verdict": rail.verdict, **ends}
    return None


def _lift(lift: Lift, sequence: Ends, i: int) -> dict[str, Any]:
    return {
        "effect": number(lift.effect[0, i]),
        "sd": number(np.sqrt(lift.variance[0, i])),
        "sequence": ends(sequence.lo[0, i], sequence.hi[0, i]),
    }


def _sites(sites: MultiSite | None, metric: str) -> dict[str, Any] | None:
    if sites is None:
        return None
    return {
        "scale": SCALES[metric],
        "these": _mean(sites.these),
        "population": _mean(sites.population),
        "new_store": _mean(sites.new_store),
        "reml": {"tau2": sites.fit.tau2, "mu": sites.fit.mu, "se": sites.fit.se},
        "paule_mandel_tau2": sites.fit.tau2_pm,
        "hartung_knapp": None
        if sites.fit.hartung_knapp is None
        else _mean(sites.fit.hartung_knapp),
    }


def _mean(mean: ChainMean) -> dict[str, Any]:
    return {"effect": mean.effect, "sd": mean.sd, "interval": {"lo": mean.lo, "hi": mean.hi}}


def _cuped(found: Adjustment | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "theta": found.theta,
        "absolute": number(found.absolute.effect),
        "absolute_sd": number(math.sqrt(found.absolute.variance)),
        "relative": number(found.relative.effect),
        "relative_sd": number(math.sqrt(found.relative.variance)),
        "variance_left": found.variance_left,
    }


def _fields(belief: Any, *names: str) -> dict[str, Any]:
    return {name: None if belief is None else number(getattr(belief, name)) for name in names}


def _chain_flags(found: Look, metrics: list[dict[str, Any]], state: State) -> list[str]:
    effects = [effect for metric in metrics for effect in metric["effects"]]
    flags = {
        "insufficient": any(effect["status"] != "ok" for effect in effects),
        "srm": found.srm.status == "alert" or bool(found.srm_stores.any()),
        "unexpected_arm": found.srm.unexpected > 0,
        "boundary_tau0": any(e["stores"] and e["stores"]["reml"]["tau2"] == 0 for e in effects),
        "new_epoch": state.first_look_ms == state.last_look_ms and state.epoch > 1,
    }
    return [*(name for name, holds in flags.items() if holds), *found.quality]
