"""Drives the feed over a simulated chain, tick by tick."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_hb.feeds.drift.alerts import AlertRecord
from stream_hb.feeds.drift.feed import Step, step
from stream_hb.feeds.drift.records import Stream
from stream_hb.feeds.drift.settings import DAY_MS, DriftHyper, DriftSettings
from stream_hb.feeds.drift.state import DriftState
from stream_hb.feeds.drift.tick import Kind, Tick
from stream_hb.statistics.columns import Floats
from tests.drift200.world import World

FIRST_DAY = 20_000
"""2024-10-04, the local day of every chain's first tick."""


@dataclass(frozen=True)
class Run:
    """What the feed said of a chain.

    Attributes
    ----------
    alerts
        (days, stores): an episode of StoreDrift begins.
    z
        (days, stores): innovations, NaN where not tested.
    records
        All of them, with the day of the chain that they were written on.
    state
        After the last tick.
    """

    alerts: NDArray[np.bool_]
    z: Floats
    records: list[tuple[int, AlertRecord]]
    state: DriftState


def stream_of(stores: int, kind: Kind = Kind.COUNTS, metric: str = "conversion") -> Stream:
    return Stream("north", metric, kind, tuple(f"s{row}" for row in range(stores)))


def tick_of(day: int, size: Floats, value: Floats, m2: Floats | None = None) -> Tick:
    index = FIRST_DAY + day
    rows = np.arange(len(size), dtype=np.intp)
    return Tick(index, (index + 1) * DAY_MS, rows, size, value, m2)


def counts(world: World) -> Iterator[Tick]:
    for day, (visits, orders) in enumerate(zip(world.visits, world.orders, strict=True)):
        yield tick_of(day, visits.astype(np.float64), orders.astype(np.float64))


def run(
    ticks: Iterator[Tick],
    stream: Stream,
    settings: DriftSettings | None = None,
    hyper: DriftHyper | None = None,
) -> Run:
    """Give every tick to the feed."""
    settings, hyper = settings or DriftSettings(), hyper or DriftHyper(0.3)
    state = DriftState.of_new(settings)
    place = {name: row for row, name in enumerate(stream.stores)}
    alerts, z, records = [], [], []
    for day, tick in enumerate(ticks):
        state, written, told = step(state, tick, stream, settings, hyper)
        alerts.append(begun(written, place))
        z.append(np.full(len(place), np.nan) if told.z is None else told.z)
        records += [(day, record) for record in written]
    return Run(np.array(alerts), np.array(z), records, state)


def begun(records: tuple[AlertRecord, ...], place: dict[str, int]) -> NDArray[np.bool_]:
    """Return the stores of which a drift begins to be told with these records."""
    alerts = np.zeros(len(place), bool)
    for record in records:
        begins = record.status == "firing" and record.startsAt == record.updatedAt
        if begins and record.labels["alertname"] == "StoreDrift":
            alerts[place[record.labels["store_id"]]] = True
    return alerts


def steps(ticks: Iterator[Tick], stream: Stream, settings: DriftSettings) -> Iterator[Step]:
    """Give every tick to the feed, and return all that comes of each."""
    state = DriftState.of_new(settings)
    for tick in ticks:
        done = step(state, tick, stream, settings, DriftHyper(0.3))
        state = done.state
        yield done
