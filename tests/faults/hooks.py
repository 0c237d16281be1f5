"""What is done to a worker before it starts: crashes, aborts, mutants, and watches.

Each function is called with what the test asks for, in the worker's own process. Nothing of the
product knows of them.
"""

import json
import os
import random
import signal
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from confluent_kafka import TopicPartition

from stream_hb.runtime import kafka, kafka_state, kafka_transactions
from stream_hb.runtime.client import TransactionAbortedError

CRASHED = 86
"""Exit code of a worker that a hook ended: no cleaning up, no goodbye, as if it were killed."""

_PLACES: dict[str, type] = {
    "transactions": kafka_transactions.KafkaTransactions,
    "inputs": kafka.KafkaInput,
    "state": kafka_state.KafkaState,
}

Call = Callable[..., Any]


def _wrap(place: str, name: str, around: Callable[[Call], Call]) -> None:
    kind = _PLACES[place]
    original = getattr(kind, name)
    setattr(kind, name, wraps(original)(around(original)))


def crash(place: str, name: str, when: str, count: int) -> None:
    """End the process before or after a call is made for the ``count``-th time."""
    calls = 0

    def around(original: Call) -> Call:
        def called(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if when == "before" and calls == count:
                os._exit(CRASHED)
            found = original(*arguments)
            if when == "after" and calls == count:
                os._exit(CRASHED)
            return found

        return called

    _wrap(place, name, around)


def crash_in_transaction(topic: str, count: int) -> None:
    """End the process after so many records to a topic, when the broker has them."""
    written = 0

    def around(original: Call) -> Call:
        def called(self: Any, where: str, *record: Any, **tracked: bool) -> None:
            nonlocal written
            original(self, where, *record, **tracked)
            written += where == topic
            if written == count:
                self._mine.flush(10)
                os._exit(CRASHED)

        return called

    _wrap("transactions", "produce", around)


def stop_in_transaction(topic: str) -> None:
    """Stand still in the middle of a transaction, after a record to a topic, when asked to.

    SIGUSR1 asks. A worker that stands still between two transactions loses its partitions and
    learns so at its next poll; only in one it goes on as a zombie.
    """
    wanted = False

    def ask(*_: object) -> None:
        nonlocal wanted
        wanted = True

    signal.signal(signal.SIGUSR1, ask)

    def around(original: Call) -> Call:
        def called(self: Any, where: str, *record: Any, **tracked: bool) -> None:
            nonlocal wanted
            original(self, where, *record, **tracked)
            if wanted and where == topic:
                wanted = False
                self._mine.flush(10)
                os.kill(os.getpid(), signal.SIGSTOP)

        return called

    _wrap("transactions", "produce", around)


def aborts(seed: int) -> None:
    """Let one commit of every three and some records fail; the broker sees real aborts.

    Which of the three is drawn, not whether: with every commit drawn apart, a short run had five
    aborts in thirty once in twenty-five runs.
    """
    source = random.Random(seed)
    fates: list[bool] = []

    def fail() -> None:
        print("abort wanted", flush=True)
        raise TransactionAbortedError("so it is wanted")

    def around_commit(original: Call) -> Call:
        def called(self: Any) -> None:
            if not fates:
                fates.extend(source.sample([True, False, False], 3))
            if fates.pop():
                self._mine.flush(10)  # the broker has what is aborted
                fail()
            original(self)

        return called

    def around_produce(original: Call) -> Call:
        def called(self: Any, *record: Any, **tracked: bool) -> None:
            if source.random() < 0.0002:
                fail()
            original(self, *record, **tracked)

        return called

    _wrap("transactions", "commit", around_commit)
    _wrap("transactions", "produce", around_produce)


def restore_to_the_stable_end() -> None:
    """The mutant: a log is read up to where a reader of committed records sees its end."""

    def around(_original: Call) -> Call:
        def called(self: Any, partition: int) -> int:
            where = TopicPartition(self._topic, partition)
            return int(self._reader.get_watermark_offsets(where, kafka_state.ANSWER_SECONDS)[1])

        return called

    _wrap("state", "end", around)


def timed_revokes(path: str) -> None:
    """Append how long each of the callbacks took that take partitions away, a line each."""

    def around(original: Call) -> Call:
        def called(self: Any, consumer: Any, partitions: Any) -> None:
            began = time.perf_counter()
            original(self, consumer, partitions)
            line = json.dumps([time.perf_counter() - began, len(partitions)])
            with Path(path).open("a") as file:
                file.write(line + "\n")

        return called

    _wrap("inputs", "_on_revoke", around)


def told_moves(path: str) -> None:
    """Append when and which partitions are given to the worker and taken from it, a line a time."""

    def around(original: Call) -> Call:
        def called(self: Any, consumer: Any, partitions: Any) -> None:
            original(self, consumer, partitions)
            numbers = [each.partition for each in partitions]
            with Path(path).open("a") as file:
                file.write(json.dumps([time.time() * 1000, numbers]) + "\n")

        return called

    for name in ("_on_assign", "_on_revoke"):
        _wrap("inputs", name, around)
