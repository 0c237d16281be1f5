"""I4, from the broker's own files: what of a topic is of committed transactions, what of aborted.

A client is only ever shown what the broker takes for committed. Here its log is read itself: every
batch names its producer, and markers end transactions (Kafka's record batches, magic 2:
kafka.apache.org/documentation, "Message Format").
"""

import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.support import topics
from tests.support.broker import RealBroker

_HEAD = struct.Struct(">qiibIhiqqqhii")
_TRANSACTIONAL, _CONTROL = 0x10, 0x20
_ABORT, _COMMIT = 0, 1


class _Batch(NamedTuple):
    """The head of a batch: its records' offsets, its producer, and what it is."""

    first: int
    last: int
    producer: int
    attributes: int
    body: bytes


@dataclass(slots=True)
class Dump:
    """What a partition's files say.

    Attributes
    ----------
    committed, aborted, unended
        Offsets of records by what became of their transactions.
    """

    committed: set[int] = field(default_factory=set)
    aborted: set[int] = field(default_factory=set)
    unended: set[int] = field(default_factory=set)


def dumped(broker: RealBroker, topic: str) -> dict[int, Dump]:
    """Read the files of a topic that is written in transactions only."""
    folders = sorted((broker.directory / "data").glob(f"{topic}-*"))
    assert folders, f"no files of {topic}"
    return {int(folder.name.rpartition("-")[2]): _dump(folder) for folder in folders}


def _dump(folder: Path) -> Dump:
    found, is_open = Dump(), defaultdict[int, set[int]](set)
    for file in sorted(folder.glob("*.log")):
        for batch in _batches(file.read_bytes()):
            assert batch.attributes & _TRANSACTIONAL, f"{folder.name}: {batch[:4]}"
            if batch.attributes & _CONTROL:
                end = found.committed if _marker(batch.body) == _COMMIT else found.aborted
                end |= is_open.pop(batch.producer, set())
            else:
                is_open[batch.producer] |= set(range(batch.first, batch.last + 1))
    found.unended = set[int]().union(*is_open.values())
    return found


def _batches(content: bytes) -> Iterator[_Batch]:
    at = 0
    while at + _HEAD.size <= len(content):
        first, size, _, magic, _, attributes, last, _, _, producer, *_ = _HEAD.unpack_from(
            content, at
        )
        if size == 0:  # the file is longer than the log
            return
        assert magic == 2, f"magic {magic} at {at}"
        body = content[at + _HEAD.size : at + 12 + size]
        yield _Batch(first, first + last, producer, attributes, body)
        at += 12 + size


def _marker(body: bytes) -> int:
    """Return whether a control record aborts or commits: its key is a version and that."""
    at = 0
    for skipped in range(5):  # length, attributes, time, offset, length of the key
        while skipped != 1 and body[at] & 0x80:
            at += 1
        at += 1
    return int(struct.unpack_from(">hh", body, at)[1])


def hidden(broker: RealBroker, topic: str) -> tuple[int, list[str]]:
    """Return how many records of aborted transactions there are, and what is wrong with a topic."""
    dumps = dumped(broker, topic)
    visible = defaultdict[int, set[int]](set)
    for record in topics.read_all(broker.bootstrap_servers, topic, 300):
        visible[record.partition].add(record.offset)
    return sum(len(dump.aborted) for dump in dumps.values()), list(_wrong(topic, dumps, visible))


def _wrong(topic: str, dumps: dict[int, Dump], visible: dict[int, set[int]]) -> Iterator[str]:
    for number, dump in dumps.items():
        sets = {
            "of aborted transactions are visible": visible[number] & dump.aborted,
            "of committed transactions are not visible": dump.committed - visible[number],
            "are of a transaction that has no end": dump.unended,
        }
        for what, some in sets.items():
            if some:
                yield f"{topic}-{number}: {len(some)} records {what}, the first at {min(some)}"
