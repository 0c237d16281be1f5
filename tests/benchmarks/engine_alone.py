"""Decode, join and statistics without Kafka, against msgspec's decode of the same payloads."""

import time
from collections.abc import Callable

import msgspec
import numpy as np

from stream_hb.engine import Engine
from stream_hb.events.batch import RawBatch
from stream_hb.events.schema import Event
from stream_hb.runtime.quiet import quiet_collector
from stream_hb.settings import EngineSettings
from tests.benchmarks.job import Result
from tests.benchmarks.table import RATES, print_table, rate_rows
from tests.benchmarks.workload import payloads

BATCH = 40_000
SLICE = 1_000
DUPLICATE_SHARES = (0.0, 0.05, 0.5)


def engine_alone(rounds: int, count: int, stores: int = 10_000) -> None:
    """Print the table of each share of duplicates."""
    fresh = [payload for _, payload in payloads(count, stores)]
    for share in DUPLICATE_SHARES:
        texts = with_duplicates(fresh, share)
        size = sum(map(len, texts)) / count
        what = f"{count:,} events of {size:.0f} B, {stores:,} stores, {share:.0%} sent twice"
        print_table(
            f"Engine alone: {what}, {rounds} rounds", RATES[:5], _rows(_compared(texts, rounds))
        )


def _rows(taken: dict[str, list[Result]]) -> list[list[str]]:
    count = int(next(iter(taken.values()))[0]["count"])
    return [row[:5] for row in rate_rows(taken, count)]


def with_duplicates(texts: list[bytes], share: float) -> list[bytes]:
    """Return as many events, of which a share repeats earlier ones from anywhere in the log."""
    rng = np.random.default_rng(3)
    repeated = rng.random(len(texts)) < share
    sources = (rng.random(len(texts)) * np.arange(len(texts))).astype(int)
    return [texts[sources[at]] if repeated[at] else text for at, text in enumerate(texts)]


def _compared(texts: list[bytes], rounds: int) -> dict[str, list[Result]]:
    modes = {"bare msgspec decode": bare_decode, "decode + join + statistics": ingest}
    taken: dict[str, list[Result]] = {mode: [] for mode in modes}
    with quiet_collector():
        for _ in range(rounds):
            for mode, run in modes.items():
                taken[mode].append({"cpu": cpu_seconds(run, texts), "count": len(texts)})
    return taken


def bare_decode(texts: list[bytes]) -> None:
    """Decode into the checked union, a thousand at a time, and drop them."""
    decode = msgspec.json.Decoder(Event).decode
    for start in range(0, len(texts), SLICE):
        list(map(decode, texts[start : start + SLICE]))


def ingest(texts: list[bytes]) -> None:
    """Put everything through an engine with one shard."""
    engine = Engine(EngineSettings())
    engine.open_shard(0, epoch=1)
    for start in range(0, len(texts), BATCH):
        some = texts[start : start + BATCH]
        batch = RawBatch("events", 0, some, start.__add__, start + len(some))
        engine.apply(engine.ingest({0: [batch]}))


def cpu_seconds(run: Callable[[list[bytes]], None], texts: list[bytes]) -> float:
    """Return the process's CPU seconds of one call."""
    started = time.process_time()
    run(texts)
    return time.process_time() - started
