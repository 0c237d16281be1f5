"""``make bench``: events per CPU-second, each as a ratio to an anchor in the same run.

All in one run, because the machine's speed changes from one minute to the next: rounds of every
mode in turn, and the median of the rounds.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import Producer

from stream_hb.engine import Engine
from stream_hb.events.batch import RawBatch
from stream_hb.events.partitioner import murmur2_partition
from stream_hb.events.schema import Event
from stream_hb.runtime.quiet import quiet_collector
from stream_hb.settings import EngineSettings
from tests.benchmarks.workload import payloads
from tests.support import topics
from tests.support.broker import find_broker

PARTITIONS = 8
BATCH = 40_000
SLICE = 1_000
DUPLICATE_SHARES = (0.0, 0.05, 0.5)
MODES = ("bare", "decode", "worker", "every-batch", "everything")


def main() -> None:
    """Run everything and print two tables."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--events", type=int, default=2_000_000, help="events in the topic")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stores", type=int, nargs="+", default=[10_000, 100])
    options = parser.parse_args()
    engine_alone(options.rounds)
    with ExitStack() as running:
        bootstrap = find_broker(running).bootstrap_servers
        topics.create(bootstrap, "bench-estimates", PARTITIONS, cleanup_policy="compact")
        topics.create(bootstrap, "bench-rejects", PARTITIONS)
        for stores in options.stores:
            catching_up(bootstrap, stores, options.events, options.rounds)


def engine_alone(rounds: int, count: int = 400_000, stores: int = 10_000) -> None:
    """Decode and ingest without Kafka, against msgspec's decode of the same payloads."""
    fresh = [payload for _, payload in payloads(count, stores)]
    for share in DUPLICATE_SHARES:
        texts = with_duplicates(fresh, share)
        size = sum(map(len, texts)) / count
        print(
            f"engine alone, {count:,} events of {size:.0f} B, {stores:,} stores, {share:.0%} twice"
        )
        compare(texts, rounds)


def with_duplicates(texts: list[bytes], share: float) -> list[bytes]:
    """Return as many events, of which a share repeats earlier ones from anywhere in the log."""
    rng = np.random.default_rng(3)
    repeated = rng.random(len(texts)) < share
    sources = (rng.random(len(texts)) * np.arange(len(texts))).astype(int)
    return [texts[sources[at]] if repeated[at] else text for at, text in enumerate(texts)]


def compare(texts: list[bytes], rounds: int) -> None:
    """Print the engine's rate beside the bare decode's."""
    count = len(texts)
    modes = {"bare msgspec decode": bare_decode, "decode + ingest + apply": ingest}
    taken: dict[str, list[float]] = {mode: [] for mode in modes}
    with quiet_collector():
        for _ in range(rounds):
            for mode, run in modes.items():
                taken[mode].append(cpu_seconds(run, texts))
    _print_rates({mode: [{"cpu": s} for s in took] for mode, took in taken.items()}, count)


def bare_decode(texts: list[bytes]) -> None:
    """Decode into the checked union, and drop it."""
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


def catching_up(bootstrap: str, stores: int, count: int, rounds: int) -> None:
    """Read one full topic with each kind of client, each in a process of its own."""
    topic = f"bench-{stores}"
    topics.create(bootstrap, topic, PARTITIONS)
    fill(bootstrap, topic, stores, count)
    print(f"\ncatching up, {count:,} events, {stores:,} stores, {PARTITIONS} partitions")
    taken: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
    for _ in range(rounds):
        for mode in MODES:
            taken[mode].append(measured(mode, bootstrap, topic, count))
    _print_rates(taken, count)


def fill(bootstrap: str, topic: str, stores: int, count: int) -> None:
    """Write the workload, each store to its partition."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 50,
            "compression.type": "lz4",
            "enable.idempotence": True,
        }
    )
    partition_of = [murmur2_partition(b"store-%05d" % s, PARTITIONS) for s in range(stores)]
    for store, payload in payloads(count, stores):
        while True:
            try:
                producer.produce(topic, payload, partition=partition_of[store])
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


def measured(mode: str, bootstrap: str, topic: str, count: int) -> dict[str, Any]:
    """Run one client to the end of the topic."""
    command = [sys.executable, "-m", "tests.benchmarks.client"]
    arguments = [mode, bootstrap, topic, str(PARTITIONS), str(count)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{mode} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _print_rates(taken: dict[str, list[dict[str, Any]]], count: int) -> None:
    """Print each mode's median rate, and its ratio to the first mode."""
    cpu = {mode: median(run["cpu"] for run in runs) for mode, runs in taken.items()}
    anchor = next(iter(cpu.values()))
    for mode, seconds in cpu.items():
        runs = taken[mode]
        line = f"  {mode:24} {count / seconds:>10,.0f} events per CPU-second"
        line += f"  {1e6 * seconds / count:5.2f} us an event  {anchor / seconds:5.2f} x"
        if "wall" in runs[0]:
            line += f"  {count / median(run['wall'] for run in runs):>9,.0f} events/s"
        if "records" in runs[0]:
            line += f"  {median(run['records'] for run in runs) / count:.3f} records an event"
        print(line, flush=True)


if __name__ == "__main__":
    main()
