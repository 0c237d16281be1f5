"""A chain on a real broker: its topics, its configuration, and the commands that serve it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from stream_hb.events.partitioner import murmur2_partition
from tests.support import topics
from tests.support.records import Record, checked_record, checked_reject

PARTITIONS = 4
SETTLE_SECONDS_MAX = 180.0


@dataclass(frozen=True, slots=True)
class Chain:
    """Topics of visits and purchases, and a configuration for them.

    Every change is written (``changed_sd`` and ``changed_width`` 0) and every new event refits, so
    that the last record of a key shows the whole of the input.
    """

    bootstrap_servers: str
    visits: str
    purchases: str
    estimates: str
    rejects: str
    state: str
    summaries: str
    hyper: str
    config: Path
    partitions: int = PARTITIONS

    def configure(self) -> None:
        """Write the configuration."""
        content = {
            "kafka": {
                "bootstrap_servers": self.bootstrap_servers,
                "group_id": self.group_id,
                # The partitions of a worker that was killed are free that much later.
                "client": {"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000},
            },
            "topics": {
                "inputs": self.inputs,
                "estimates": self.estimates,
                "rejects": self.rejects,
                "state": self.state,
                "summaries": self.summaries,
                "hyper": self.hyper,
            },
            "refit": {"every_seconds": 0.5, "min_change": 0},
            "emission": {"changed_sd": 0, "changed_width": 0, "heartbeat_seconds": None},
        }
        self.config.write_text(yaml.safe_dump(content))

    def feed(self, payloads: Iterable[bytes]) -> None:
        """Append events to their topics; a store stays in one partition."""
        by_place: dict[tuple[str, int], list[bytes | None]] = {}
        for payload in payloads:
            topic, partition = self.place(payload)
            by_place.setdefault((topic, partition), []).append(payload)
        for (topic, partition), some in by_place.items():
            topics.produce(self.bootstrap_servers, topic, some, partition)

    def place(self, payload: bytes) -> tuple[str, int]:
        """Return where an event belongs; what is no event goes to the first partition."""
        try:
            event = json.loads(payload)
        except ValueError:
            return self.visits, 0
        topic = self.visits if event["event_type"] == "visit" else self.purchases
        return topic, murmur2_partition(event["store_id"].encode(), self.partitions)

    @property
    def inputs(self) -> list[str]:
        """The input topics, each once: it may be one for everything."""
        return list(dict.fromkeys([self.visits, self.purchases]))

    @property
    def group_id(self) -> str:
        """The consumer group."""
        return self.visits

    def start(self, slot: int | None = None, *options: str) -> subprocess.Popen[bytes]:
        """Start a worker; its log is beside the configuration."""
        more = [*options, *([] if slot is None else ["--slot", str(slot)])]
        with self.log.open("ab") as log:
            return subprocess.Popen(command("run", str(self.config), *more), stdout=log, stderr=log)

    @property
    def log(self) -> Path:
        """Where the workers write."""
        return self.config.with_name("worker.log")

    def records(self) -> list[Record]:
        """Return all estimates, each checked against its schema."""
        read = topics.read_all(self.bootstrap_servers, self.estimates)
        return [checked_record(record.value or b"", record.key) for record in read]

    def rejected(self) -> list[Record]:
        """Return all rejects, each checked against its schema."""
        read = topics.read_all(self.bootstrap_servers, self.rejects)
        return [checked_reject(record.value or b"") for record in read]

    def settled(self, done: Callable[[list[Record]], bool]) -> list[Record]:
        """Wait until the records say that it is done, and return them."""
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        count = -1
        # The last refit may still be to come: it is there when nothing is added any more.
        while not done(records := self.records()) or len(records) != count:
            assert time.monotonic() < deadline, f"not settled; the workers said:\n{self.said()}"
            count = len(records)
            time.sleep(1.2)
        return records

    def wait_until_said(self, words: str, times: int = 1) -> None:
        """Wait until the workers have written something so often."""
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while self.said().count(words) < times:
            assert time.monotonic() < deadline, f"not said: {words}; but:\n{self.said()}"
            time.sleep(0.2)

    def said(self) -> str:
        """Return what the workers wrote."""
        return self.log.read_text() if self.log.exists() else ""


def made_chain(
    bootstrap_servers: str,
    make: Callable[..., str],
    folder: Path,
    partitions: int = PARTITIONS,
    *,
    one_input: bool = False,
    **state: str,
) -> Chain:
    """Make the topics of a chain and write its configuration; ``state`` sets its state's topic."""
    visits = make(partitions=partitions)
    chain = Chain(
        bootstrap_servers,
        visits=visits,
        purchases=visits if one_input else make(partitions=partitions),
        estimates=make(partitions=partitions, cleanup_policy="compact"),
        rejects=make(),
        state=make(partitions=partitions, cleanup_policy="compact", **state),
        summaries=make(partitions=partitions, cleanup_policy="compact"),
        hyper=make(cleanup_policy="compact"),
        config=folder / "chain.yaml",
        partitions=partitions,
    )
    chain.configure()
    return chain


def command(*arguments: str) -> Sequence[str]:
    """Return the command line of ``stream-hb ARGUMENTS``."""
    return [sys.executable, "-m", "stream_hb", *arguments]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a process of its own."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )


def terminate(worker: subprocess.Popen[bytes]) -> float:
    """Ask a worker to stop, check that it did so cleanly, and return how long it took."""
    asked_at = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=30) == 0
    return time.monotonic() - asked_at
