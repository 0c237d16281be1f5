"""What the feeds that look at ticks cost: the engine with one of them on, against all of them off.

The replay's path without files: batches in, closed ticks shown to the feeds, records made, a refit
and an emission every day of event time. Rounds of every mode in turn, medians of their CPU time.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from stream_hb.calibration_feed import CalibrationFeed, CalibrationSettings
from stream_hb.drift_feed import DriftFeed
from stream_hb.engine import Engine
from stream_hb.events.batch import RawBatch
from stream_hb.events.calendar import DAY_MS
from stream_hb.events.clock import TimeRules
from stream_hb.events.ticks import TickClock
from stream_hb.experiments_feed import ExperimentsFeed
from stream_hb.feeds.drift.settings import DriftSettings
from stream_hb.feeds.experiments.declaration import DeclaredArm, Experiment, Guardrail
from stream_hb.runtime.feeds import unit_rule
from stream_hb.runtime.quiet import quiet_collector
from stream_hb.settings import EngineSettings
from stream_hb.statistics.half_lives import HalfLives
from stream_hb.tick_feeds import TickFeed
from tests.benchmarks.engine_alone import cpu_seconds
from tests.benchmarks.table import print_table

STARTED_MS = 1_760_054_400_000
"""A midnight in UTC."""

BATCH = 40_000
CHAINS = 3
EXPERIMENTS = 5
PURCHASE_SHARE = 0.1

METHODS = {"conversion": "ml", "order_rate": "ml", "log_order_value": "reml"}
"""Point fits: what a refit takes is no feed's cost, and would only hide it."""

OFF = EngineSettings(METHODS, time=TimeRules(lateness_ms=0))

HEADER = ["feed", "events/s", "CPU s", "throughput of feeds off", "records"]


@dataclass(frozen=True, slots=True)
class On:
    """A configuration of feeds.

    Attributes
    ----------
    settings
        Of the engine.
    feeds
        Makes its feeds, by name.
    """

    settings: EngineSettings
    feeds: Callable[[EngineSettings], Mapping[str, TickFeed]]


def ticking(settings: EngineSettings = OFF) -> EngineSettings:
    """Return settings under which days are told."""
    return replace(settings, ticks=TickClock("day"))


def drifting(settings: EngineSettings) -> dict[str, TickFeed]:
    """Return the feed of alerts; stores are watched from the third day on, not the forty-third."""
    soon = DriftSettings(half_life_days=20, lag_days=1, warm_up_days=2)
    return {"alerts": DriftFeed(soon, tuple(settings.methods))}


def calibrating(settings: EngineSettings) -> dict[str, TickFeed]:
    """Return the feed of calibration: the half-lives that metrics have, or nothing forgotten."""
    half_lives_ms = {metric: settings.candidates(metric) for metric in settings.methods}
    choosing = frozenset(m for m, kept in half_lives_ms.items() if len(kept) > 1)
    every = CalibrationSettings(
        tuple(half_lives_ms), half_lives_ms, DAY_MS, 30 * DAY_MS, 30 * DAY_MS, choosing=choosing
    )
    return {"calibration": CalibrationFeed(every, settings)}


def declared() -> tuple[Experiment, ...]:
    """Return experiments over all stores, each of two metrics with a guardrail."""
    arms = DeclaredArm("a", 0.5), DeclaredArm("b", 0.5)
    return tuple(
        Experiment(
            f"e{number}",
            arms,
            "a",
            STARTED_MS,
            ("conversion", "order_rate"),
            (Guardrail("revenue_per_visit", 0.05),),
        )
        for number in range(EXPERIMENTS)
    )


AUTO = replace(
    OFF, forgetting=dict.fromkeys(METHODS, HalfLives.of(days * DAY_MS for days in (90, 30, 7)))
)

CONFIGURATIONS: dict[str, On] = {
    "off": On(OFF, lambda _settings: {}),
    "days told, to nobody": On(ticking(), lambda _settings: {}),
    "drift": On(ticking(), drifting),
    "calibration": On(ticking(), calibrating),
    "drift and calibration": On(
        ticking(), lambda settings: {**drifting(settings), **calibrating(settings)}
    ),
    "calibration, half_life: auto of three": On(ticking(AUTO), calibrating),
    "experiments": On(
        replace(ticking(), units=tuple(map(unit_rule, declared()))),
        lambda settings: {"experiments": ExperimentsFeed(declared(), settings.emission)},
    ),
}
"""By name; the first is what the others are held against."""


def feeds_on(
    rounds: int, count: int, stores: int = 10_000, days: int = 7, names: Sequence[str] = ()
) -> None:
    """Print the table, of some configurations beside none or of all."""
    texts = list(payloads(count, stores, days))
    chosen = {
        name: on for name, on in CONFIGURATIONS.items() if name in {"off", *names} or not names
    }
    taken: dict[str, list[float]] = {name: [] for name in chosen}
    records: dict[str, int] = {}
    with quiet_collector():
        for _ in range(rounds):
            for name, on in chosen.items():

                def run(some: list[bytes], name: str = name, on: On = on) -> None:
                    records[name] = replayed(some, on, days)

                taken[name].append(cpu_seconds(run, texts))
    what = f"{count:,} events of {days} days, {stores:,} stores, {EXPERIMENTS} experiments"
    print_table(f"Feeds on: {what}, {rounds} rounds", HEADER, _rows(taken, records, count))


def _rows(taken: dict[str, list[float]], records: dict[str, int], count: int) -> list[list[str]]:
    seconds = {name: median(some) for name, some in taken.items()}
    off = seconds["off"]
    return [
        [
            name,
            f"{count / took:,.0f}",
            f"{took:.1f}",
            f"{off / took:.2f}",
            f"{records[name]:,}",
        ]
        for name, took in seconds.items()
    ]


def replayed(texts: list[bytes], on: On, days: int = 7) -> int:
    """Put everything through an engine with these feeds; return how many records they made."""
    engine = Engine(on.settings, feeds=on.feeds(on.settings))
    engine.open_shard(0, epoch=1)
    told, now_ms = 0, STARTED_MS
    per_day = -(-len(texts) // days)
    for day in range(days):
        ends = min((day + 1) * per_day, len(texts))
        for start in range(day * per_day, ends, BATCH):
            some = texts[start : min(start + BATCH, ends)]
            raw = RawBatch("events", 0, some, start.__add__, start + len(some))
            told += _taken(engine, {0: [raw]}, now_ms)
        now_ms += DAY_MS
        refit = engine.refit(now_ms, force=True)
        if refit:
            engine.apply(refit)
        engine.apply(engine.emit(now_ms))
    return told + _taken(engine, {}, now_ms)


def _taken(engine: Engine, batches: dict[int, list[RawBatch]], now_ms: int) -> int:
    candidate = engine.ingest(batches, now_ms)
    watched = engine.watch(engine.chain_ticks(candidate.closing), now_ms)
    engine.apply(watched)
    engine.apply(candidate)
    return sum(len(records) for records in watched.records.values())


def payloads(count: int, stores: int, days: int, seed: int = 1) -> Iterator[bytes]:
    """Yield events in the order of time, spread over the days; every visit is in an experiment."""
    rng = np.random.default_rng(seed)
    popularity = rng.lognormal(0, 0.8, stores)
    store_of = rng.choice(stores, count, p=popularity / popularity.sum())
    bought = rng.random(count) < PURCHASE_SHARE
    arms = rng.integers(0, 2, count)
    amounts = np.exp(rng.normal(8.0, 0.8, count)).astype(int)
    for number in range(count):
        buys = bool(bought[number]) and number > 0
        of = number - 1 if buys else number
        event: dict[str, object] = {
            "schema_version": 1,
            "event_type": "purchase" if buys else "visit",
            "event_id": f"e{number:011}",
            "event_time_ms": STARTED_MS + number * days * DAY_MS // count,
            "store_id": f"store-{store_of[of]:05}",
            "chain_id": f"chain-{store_of[of] % CHAINS}",
            "visit_id": f"v{of:011}",
        }
        if buys:
            amount = int(amounts[number])
            event |= {"order_id": f"o{number:011}", "amount_minor": amount, "currency": "EUR"}
        else:
            arm = "ab"[arms[number]]
            event["experiment"] = {"experiment_id": f"e{number % EXPERIMENTS}", "arm": arm}
        yield json.dumps(event, separators=(",", ":")).encode()
