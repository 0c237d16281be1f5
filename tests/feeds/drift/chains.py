"""Chains for the drift feed's tests: constant expectations, so that a test says what deviates."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from stream_hb.feeds.drift.alerts import AlertRecord, out_record
from stream_hb.feeds.drift.feed import Step, step
from stream_hb.feeds.drift.records import Stream
from stream_hb.feeds.drift.settings import DAY_MS, DriftHyper, DriftSettings
from stream_hb.feeds.drift.state import DriftState
from stream_hb.feeds.drift.tick import Kind, Tick
from stream_hb.statistics.columns import Floats

FIRST_DAY = 20_000
STORES = 20
VISITS = 1_000.0
STREAM = Stream("north", "conversion", Kind.COUNTS, tuple(f"s{row}" for row in range(60)))
HYPER = DriftHyper(0.3, version=3)
SETTINGS = DriftSettings()

Shares = Callable[[int], Floats]


def steady(_day: int) -> Floats:
    return np.full(STORES, 0.05)


def one_at(share: float, first: int, last: int = 10**6, row: int = 0) -> Shares:
    """Return shares of which one store's is another between two days."""

    def shares(day: int) -> Floats:
        out = steady(day)
        if first <= day < last:
            out[row] = share
        return out

    return shares


def tick(day: int, size: Floats, value: Floats) -> Tick:
    index = FIRST_DAY + day
    return Tick(index, (index + 1) * DAY_MS, np.arange(len(size), dtype=np.intp), size, value)


def ticks(shares: Shares, days: int, visits: float = VISITS) -> Iterator[Tick]:
    """Return ticks with exactly the expected successes; whole numbers are not needed."""
    for day in range(days):
        share = shares(day)
        yield tick(day, np.full(len(share), visits), visits * share)


def fed(
    given: Iterator[Tick],
    state: DriftState | None = None,
    settings: DriftSettings = SETTINGS,
    stream: Stream = STREAM,
) -> Iterator[Step]:
    state = state or DriftState.of_new(settings)
    for one in given:
        done = step(state, one, stream, settings, HYPER)
        state = done.state
        yield done


def records(done: list[Step], name: str = "") -> list[AlertRecord]:
    """Return all records in order, or those of one alert."""
    told = [record for each in done for record in each.records]
    return [one for one in told if not name or one.labels["alertname"] == name]


def statuses(done: list[Step], name: str = "StoreDrift") -> list[tuple[str, str]]:
    """Return store (or chain) and status of every change of status."""
    out: list[tuple[str, str]] = []
    last: dict[str, str] = {}
    for one in records(done, name):
        if last.get(one.fingerprint) != one.status:
            out.append((one.labels.get("store_id", "chain"), one.status))
        last[one.fingerprint] = one.status
    return out


def written(done: list[Step]) -> bytes:
    """Return the alert log as bytes."""
    outs = (out_record(record) for record in records(done))
    return b"\n".join(out.key + b" " + (out.value or b"") for out in outs)


def quick(**changes: object) -> DriftSettings:
    """Return settings with fewer days to wait."""
    return replace(SETTINGS, lag_days=7, warm_up_days=14, **changes)  # type: ignore[arg-type]
