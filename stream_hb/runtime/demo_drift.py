"""A simulated chain in which one store drifts: what the alerts make of it, day by day."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_hb.drift_feed import DriftFeed
from stream_hb.engine import Engine
from stream_hb.events.batch import RawBatch
from stream_hb.events.calendar import DAY_MS
from stream_hb.events.ticks import TickClock
from stream_hb.feeds.drift.settings import DriftSettings
from stream_hb.settings import EngineSettings, Input

Record = Mapping[str, Any]

STORES, DAYS, SEED = 25, 90, 1
DRIFTER, CHANGED, SHIFT = 6, 70, -0.5
"""From this day on the store's odds of a purchase are a factor of exp(-.5) what they were."""

PROMOTIONS = (50, 51, 52, 76, 77, 78)
"""Days on which the odds of the whole chain are half as high again."""

FIRST_DAY = 20_000
WEEK = 7
_WEEKDAYS = np.array([0.9, 0.8, 0.85, 0.95, 1.2, 1.4, 1.1])


@dataclass(frozen=True, slots=True)
class Told:
    """What was simulated, and what was told of it.

    Attributes
    ----------
    store
        The store that drifts.
    changed_ms
        Since when.
    alerts
        Every alert record, in order.
    """

    store: str
    changed_ms: int
    alerts: Sequence[Record]

    @property
    def found(self) -> Record | None:
        """The first alert that the store has drifted."""
        return next(iter(self._mine), None)

    @property
    def newest(self) -> Record | None:
        """The last word on it."""
        return next(reversed(self._mine), None)

    @property
    def _mine(self) -> list[Record]:
        mine = {"alertname": "StoreDrift", "store_id": self.store}.items()
        return [alert for alert in self.alerts if mine <= alert["labels"].items()]

    def days_of(self, alert: Record | None) -> int:
        """Return how many days of the new level an alert has seen; -1: there is none."""
        if alert is None:
            return -1
        told_ms = datetime.fromisoformat(alert["updatedAt"]).timestamp() * 1000
        return round((told_ms - self.changed_ms) / DAY_MS)

    @property
    def others(self) -> int:
        """How many others were told of, the chain as one of them."""
        return len({alert["labels"].get("store_id", "") for alert in self.alerts} - {self.store})


def drift_told() -> Told:
    """Put the chain through the engine, a day of totals after the other.

    >>> told = drift_told()
    >>> told.store, told.days_of(told.found), told.days_of(told.newest), told.others
    ('store-07', 3, 18, 0)
    """
    engine = _engine()
    alerts: list[Record] = []
    for day, events in enumerate(_days()):
        candidate = engine.ingest({0: [_batch(events, day)]})
        watched = engine.watch(engine.chain_ticks(candidate.closing))
        alerts += [json.loads(record.value or b"") for record in watched.records["alerts"]]
        engine.apply(watched)
        engine.apply(candidate)
        made = engine.refit(_end_ms(day), force=True) if day % WEEK == 0 else None
        if made:
            engine.apply(made)
    return Told(_name(DRIFTER), (FIRST_DAY + CHANGED) * DAY_MS, alerts)


def _engine() -> Engine:
    settings = EngineSettings(
        {"conversion": "ml"},
        ticks=TickClock("day"),
        inputs={"conversion": Input(totals=True)},
    )
    engine = Engine(settings, feeds={"alerts": DriftFeed(DriftSettings(), ("conversion",))})
    engine.open_shard(0, epoch=1)
    return engine


def _days() -> Iterator[list[bytes]]:
    rng = np.random.default_rng(SEED)
    odds, size = rng.normal(-3.0, 0.3, STORES), rng.lognormal(6.3, 0.4, STORES)
    for day in range(DAYS):
        moved = odds + np.where(np.arange(STORES) == DRIFTER, SHIFT * (day >= CHANGED), 0.0)
        moved += np.log(1.5) * (day in PROMOTIONS) + rng.normal(0, 0.05, STORES)
        visits = rng.poisson(size * _WEEKDAYS[day % WEEK])
        sales = rng.binomial(visits, 1 / (1 + np.exp(-moved)))
        yield [_totals(store, day, visits, sales) for store in range(STORES)]


def _totals(
    store: int, day: int, visits: npt.NDArray[np.int64], sales: npt.NDArray[np.int64]
) -> bytes:
    event = {
        "schema_version": 1,
        "event_type": "totals",
        "event_id": f"{_name(store)}-day-{day}",
        "event_time_ms": _end_ms(day),
        "chain_id": "simulated",
        "store_id": _name(store),
        "source": "simulation",
        "period_start_ms": _end_ms(day) - DAY_MS,
        "period_end_ms": _end_ms(day),
        "visits": int(visits[store]),
        "conversions": int(sales[store]),
    }
    return json.dumps(event).encode()


def _batch(events: list[bytes], day: int) -> RawBatch:
    first = day * STORES
    return RawBatch("simulation", 0, events, lambda at: first + at, first + STORES)


def _end_ms(day: int) -> int:
    return (FIRST_DAY + day + 1) * DAY_MS


def _name(store: int) -> str:
    return f"store-{store + 1:02d}"
