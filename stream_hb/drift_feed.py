"""The feed of alerts: every closed tick of a chain, shown to the drift of each of its metrics."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from stream_hb.chain_ticks import ChainTick
from stream_hb.feeds.drift import feed
from stream_hb.feeds.drift.admittance import Admittance
from stream_hb.feeds.drift.alerts import AlertRecord, out_record
from stream_hb.feeds.drift.feed import Diagnostics
from stream_hb.feeds.drift.records import Stream
from stream_hb.feeds.drift.settings import DriftHyper, DriftSettings
from stream_hb.feeds.drift.state import DriftState
from stream_hb.feeds.drift.tick import Kind, Tick
from stream_hb.feeds.estimates import OutRecord
from stream_hb.pool_fit import Pool, PoolFit
from stream_hb.statistics.columns import Rows, Statistic
from stream_hb.stores import Stores
from stream_hb.tick_feeds import TickMoment

KINDS: Mapping[str, Kind] = {
    "conversion": Kind.COUNTS,
    "order_rate": Kind.RATES,
    "log_order_value": Kind.VALUES,
}
"""What a metric's ticks hold."""

SPREAD = 0.3
"""Between stores, link scale, before the pool has been fitted."""


@dataclass(frozen=True, slots=True)
class _Watched:
    """One chain and metric: its stores by row, and what the drift feed remembers of them."""

    stores: tuple[str, ...]
    state: DriftState


@dataclass(frozen=True, slots=True)
class DriftFeed:
    """See :class:`stream_hb.tick_feeds.TickFeed`.

    Attributes
    ----------
    settings
        Of the drift feed.
    metrics
        Those that are watched.
    stores
        Says which stores have retired; None: none does.
    pools
        What is remembered, by chain and metric.
    tallies
        What was seen and left out, by name.
    """

    settings: DriftSettings
    metrics: tuple[str, ...]
    stores: Stores | None = None
    pools: Mapping[Pool, _Watched] = field(default_factory=lambda: MappingProxyType({}))
    tallies: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    reads_controls = True
    """Ticks are shown in which stores did nothing and operators said something."""

    def step(self, tick: ChainTick, moment: TickMoment) -> tuple[Self, list[OutRecord]]:
        """Look at a closed tick of a chain."""
        pools, records, tallies = dict(self.pools), [], Counter(self.tallies)
        followed: set[str] = set()
        for metric in self.metrics:
            pool = tick.chain, metric
            pools[pool], told, found = self._stepped(pool, tick, moment)
            records += [out_record(record) for record in told]
            tallies.update(_counted(found))
            followed.update(pools[pool].stores[row] for row in found.accepted.tolist())
        idle = sum(control.store not in followed for control in tick.controls)
        tallies["accepted_without_alert"] += idle
        return replace(self, pools=pools, tallies=dict(+tallies)), records

    def _stepped(
        self, pool: Pool, tick: ChainTick, moment: TickMoment
    ) -> tuple[_Watched, Sequence[AlertRecord], Diagnostics]:
        chain, metric = pool
        settings = self.settings_of(metric)
        known = self.pools.get(pool, _Watched((), DriftState.of_new(settings)))
        stores = known.stores + tuple(sorted(set(tick.stores) - set(known.stores)))
        stream = Stream(chain, metric, KINDS[metric], stores, moment.epoch)
        hyper = hyper_of(moment.pools.get(pool))
        shown = self._shown(tick, metric, stores, moment)
        state, records, found = feed.step(known.state, shown, stream, settings, hyper)
        return _Watched(stores, state), records, found

    def settings_of(self, metric: str) -> DriftSettings:
        """Return what holds for a metric: log values move less than log-odds and log rates do."""
        if KINDS[metric] is not Kind.VALUES:
            return self.settings
        values = DriftSettings.for_values()
        dead_band = min(self.settings.dead_band, values.dead_band)
        return replace(self.settings, dead_band=dead_band, shifts=values.shifts)

    def _shown(
        self, tick: ChainTick, metric: str, stores: Sequence[str], moment: TickMoment
    ) -> Tick:
        row_of = {store: row for row, store in enumerate(stores)}
        size, value, m2 = _columns(tick.statistics[metric])
        some = size != 0  # what is not a number, or below zero, is refused there, and counted
        reasons = _reasons(tick, metric, row_of)
        return Tick(
            tick.number,
            tick.end_ms,
            np.array([row_of[store] for store in tick.stores], np.intp)[some],
            size[some],
            value[some],
            None if m2 is None else m2[some],
            tick.hours[some],
            accepted=np.array(sorted(reasons), np.intp),
            reasons=reasons,
            retired=self._retired(tick, stores),
            offsets=moment.offsets,
        )

    def _retired(self, tick: ChainTick, stores: Sequence[str]) -> Rows:
        if self.stores is None:
            return np.empty(0, np.intp)
        places = self.stores.places((tick.chain, store) for store in stores)
        return np.flatnonzero(self.stores.retired_at(places, tick.end_ms))

    def snapshot(self) -> Any:
        """Return what is remembered as plain values and arrays."""
        pools = [
            [*pool, list(watched.stores), watched.state.snapshot()]
            for pool, watched in self.pools.items()
        ]
        return {"pools": pools, "tallies": dict(self.tallies)}

    def restored(self, state: Any) -> Self:
        """Return the feed that remembers a :meth:`snapshot`."""
        if isinstance(state, list):  # as it was before anything was tallied
            state = {"pools": state, "tallies": {}}
        pools = {
            (chain, metric): _Watched(tuple(stores), DriftState.restored(values))
            for chain, metric, stores, values in state["pools"]
        }
        return replace(self, pools=pools, tallies=state["tallies"])


def _counted(found: Diagnostics) -> dict[str, int]:
    """Return what a tick had that was left out."""
    return {
        "alert_rows_refused": found.refused,
        "alert_ticks_set_aside": int(found.admittance is Admittance.SUSPECTED),
    }


def _reasons(tick: ChainTick, metric: str, row_of: Mapping[str, int]) -> dict[int, str]:
    """Return what operators say of stores, by row: of several, what was said first."""
    said = sorted(tick.controls, key=lambda control: (control.time_ms, control.control_id))
    reasons: dict[int, str] = {}
    for control in said:
        if control.store in row_of and control.metric in ("", metric):
            reasons.setdefault(row_of[control.store], control.reason)
    return reasons


def _columns(statistic: Statistic) -> tuple[Any, Any, Any]:
    """Return size, value and, of values, the squared deviations of a tick's stores."""
    columns = statistic.columns()
    if "trials" in columns:
        return columns["trials"], columns["successes"], None
    if "exposure" in columns:
        return columns["exposure"], columns["events"], None
    return columns["weight"], columns["mean"], columns["m2"]


def hyper_of(fit: PoolFit | None) -> DriftHyper:
    """Return what a pool's fit says of how much its stores differ, on the link scale.

    >>> hyper_of(None)
    DriftHyper(spread=0.3, sigma2=1.0, version=0)
    """
    if fit is None:
        return DriftHyper(SPREAD)
    told = fit.family.parameters(fit.fit.hyper)
    sigma2 = told.get("sigma2", float(getattr(fit.fit.hyper, "prior_variance", np.nan)))
    return DriftHyper(_spread(told), sigma2 if sigma2 > 0 else 1.0, fit.version)


def _spread(told: Mapping[str, float]) -> float:
    """Return the sd of the stores' logits, log rates or means, by the names that a family has."""
    if "concentration" in told or "log_concentration" in told:
        concentration = told.get("concentration", np.exp(told.get("log_concentration", 0.0)))
        odds = told["mean"] * (1 - told["mean"])
        return float(1 / np.sqrt(concentration * odds)) if odds > 0 else SPREAD
    if "shape" in told or "log_shape" in told:
        return float(1 / np.sqrt(told.get("shape", np.exp(told.get("log_shape", 0.0)))))
    if "tau" in told or "tau2" in told:
        return float(told.get("tau", np.sqrt(told.get("tau2", 0.0))))
    return SPREAD
