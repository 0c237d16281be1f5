"""From judged ticks to alert records."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp

import numpy as np
from msgspec import UNSET

from stream_hb.feeds.drift.alerts import (
    ALERTS,
    SCHEMA_VERSION,
    TIME_MS_MAX,
    TIME_MS_MIN,
    Alert,
    AlertRecord,
    Evidence,
    Opinion,
    date_time,
    fingerprint,
    labels,
)
from stream_hb.feeds.drift.expectation import Expectation
from stream_hb.feeds.drift.family import Family
from stream_hb.feeds.drift.judgement import HALF_WIDTH
from stream_hb.feeds.drift.level import beyond_normal
from stream_hb.feeds.drift.lifecycle import Status
from stream_hb.feeds.drift.opinions import opinions
from stream_hb.feeds.drift.outcome import Judgements, Settled
from stream_hb.feeds.drift.settings import DAY_MS, DriftHyper, DriftSettings
from stream_hb.feeds.drift.state import DriftState
from stream_hb.feeds.drift.tick import Kind, Tick
from stream_hb.feeds.drift.wording import annotations, resolution
from stream_hb.feeds.estimate_record import Version

CRITICAL_PROBABILITY = 0.95


@dataclass(frozen=True, slots=True)
class Stream:
    """Whose ticks they are.

    Attributes
    ----------
    chain_id, metric
        Names of the chain and of the metric.
    kind
        What its ticks hold.
    stores
        Store ids by row.
    epoch
        Grows when the memory of what was told was lost.
    """

    chain_id: str
    metric: str
    kind: Kind
    stores: Sequence[str]
    epoch: int = 1


@dataclass(frozen=True, slots=True)
class Told:
    """What a tick's records are made from."""

    stream: Stream
    state: DriftState
    family: Family
    seen: Expectation
    judged: Judgements
    tick: Tick
    settings: DriftSettings
    hyper: DriftHyper


def alert_records(told: Told, after: Settled) -> Iterator[AlertRecord]:
    """Write the records of a tick, in the order of alerts and rows."""
    for alert, moved in zip(ALERTS, after.advanced, strict=True):
        for row in np.flatnonzero(moved.told).tolist():
            yield _record(told, alert, row, bool(moved.resolved[row]))


def _record(told: Told, alert: Alert, row: int, resolved: bool) -> AlertRecord:
    stream, ended_ms = told.stream, told.tick.ended_ms
    store = None if alert.of_chain else stream.stores[row]
    episodes = told.state.episodes[ALERTS.index(alert)]
    metric = "visits" if alert.detector == "silent" else stream.metric
    named = labels(alert, stream.chain_id, store, metric)
    key, started = fingerprint(named), date_time(int(episodes.started_ms[row]))
    evidence = _evidence(told, alert, row, float(episodes.changed_at[row]))
    status = "resolved" if resolved else Status(episodes.status[row]).name.lower()
    notes = annotations(alert, evidence, stream.kind, stream.chain_id, store, metric)
    if resolved and store is not None:
        notes |= resolution(bool(told.judged.retired[row]), told.tick.reasons.get(row))
    return AlertRecord(
        schema_version=SCHEMA_VERSION,
        fingerprint=key,
        episode_id=f"{key}-{started}",
        status=status,
        severity=_severity(told, alert, row),
        labels=named,
        annotations=notes,
        startsAt=started,
        endsAt=date_time(ended_ms) if resolved else None,
        updatedAt=date_time(ended_ms),
        version=Version(stream.epoch, int(episodes.seq[row])),
        evidence=evidence,
    )


def _severity(told: Told, alert: Alert, row: int) -> str:
    """Return how urgent it is: critical where twice the margin is all but certainly exceeded."""
    if alert.detector != "change":
        return "critical" if alert.detector == "silent" else "warning"
    change = told.judged.drifting.change
    margin = 2 * told.settings.margin
    beyond = beyond_normal(change.effect[row], change.sd[row], margin)
    return "critical" if beyond > CRITICAL_PROBABILITY else "warning"


def _evidence(told: Told, alert: Alert, row: int, changed_at: float) -> Evidence:
    if alert.detector == "change":
        return _change_evidence(told, row, changed_at)
    if alert.detector == "level":
        return _level_evidence(told, row)
    if alert.detector == "silent":
        return Evidence(
            detector="silent",
            statistic=float(told.judged.log_silent[row]),
            threshold=told.settings.silent_log_probability,
        )
    found = told.judged.shifts[alert.direction == "down"]
    return Evidence(
        detector="chain_shift",
        statistic=found.share,
        threshold=told.settings.shift_share,
        peers_firing=found.peers,
        chain_mean=float(told.family.natural(np.array([told.seen.offset.offset]))[0]),
    )


def _change_evidence(told: Told, row: int, changed_at: float) -> Evidence:
    judged, seen, settings = told.judged.drifting, told.seen, told.settings
    change = judged.change
    effect, half = float(change.effect[row]), HALF_WIDTH * float(change.sd[row])
    statistic = float(judged.log_statistic[row])
    means = told.family.natural(np.array([seen.offset.without[row], seen.link[row] + effect]))
    beyond = beyond_normal(change.effect[row], change.sd[row], settings.margin)
    peers = judged.fires & (judged.up == judged.up[row])
    return Evidence(
        detector="change",
        statistic=exp(statistic),
        threshold=exp(judged.log_threshold),
        log_evalue=max(statistic, -1e300),
        prob_beyond_delta=float(beyond),
        delta=settings.margin,
        effect=effect,
        effect_interval=(effect - half, effect + half),
        chain_mean=float(means[0]),
        store_mean=float(means[1]),
        n_eff=float(change.information[row]),
        baseline_window=_baseline_window(told, row),
        change_time_estimate_ms=_time_ms(told, changed_at),
        peers_firing=int(peers.sum()),
        hyper_version=told.hyper.version,
        offsets=dict(sorted(told.tick.offsets.items())) or UNSET,
        second_opinions=_second_opinions(told, row) or UNSET,
    )


def _level_evidence(told: Told, row: int) -> Evidence:
    found = told.judged.levelled
    mean, half = float(found.level.mean[row]), HALF_WIDTH * float(found.level.sd[row])
    return Evidence(
        detector="level",
        statistic=float(found.level.beyond[row]),
        threshold=1 - told.settings.level_fdr,
        prob_beyond_delta=float(np.clip(found.level.beyond[row], 0, 1)),
        lfsr=float(found.level.lfsr[row]),
        bfdr=float(np.clip(found.level.bfdr[row], 0, 1)),
        delta=found.margin,
        effect=mean,
        effect_interval=(mean - half, mean + half),
        n_eff=float(told.state.level.observed[row]),
        hyper_version=told.hyper.version,
        offsets=dict(sorted(told.tick.offsets.items())) or UNSET,
    )


def _time_ms(told: Told, tick: float) -> int:
    """Return when a tick began, by its distance from the one that has just ended."""
    back = told.tick.index + 1 - round(tick)
    began_ms = told.tick.ended_ms - back * told.settings.tick_ms
    return min(max(began_ms, TIME_MS_MIN), TIME_MS_MAX)


def _baseline_window(told: Told, row: int) -> tuple[int, int]:
    """Return between which times the store's baseline lies."""
    last_ms = told.tick.ended_ms - told.settings.lag_days * DAY_MS
    return _time_ms(told, float(told.state.known.first_tick[row])), last_ms


def _second_opinions(told: Told, row: int) -> Mapping[str, Opinion]:
    if not told.settings.opinions:
        return {}
    ticks = told.state.innovations
    z = np.array([column[row] if row < len(column) else np.nan for column in ticks])
    return opinions(told.settings.opinions, z, told.tick.index)
