"""The engine over files: event time drives it, so the same input gives the same bytes."""

import gzip
import heapq
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from stream_hb.engine import Candidate, Engine
from stream_hb.errors import UsageError
from stream_hb.events.batch import RawBatch
from stream_hb.events.clock import (
    EARLIEST_MS,
    FUTURE_MS,
    LATEST_MS,
    SourceClock,
    TimeRules,
)
from stream_hb.events.rejects import reject_record
from stream_hb.feeds.estimates import OutRecord

BATCH_LINES = 10_000
SHARD = 0
"""All files feed one shard: a store may stand in several of them, its visits apart from its orders,
or one file a day."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of one file.

    Attributes
    ----------
    clock_ms
        The newest event time of the file so far: what the files are merged by.
    source
        Position of the file in the command line.
    offset
        Number of the line in its file, from 0, blank ones counted.
    payload
        The line without its end.
    """

    clock_ms: int
    source: int
    offset: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Feeds:
    """The files that a replay writes, one JSON object a line.

    Attributes
    ----------
    estimates, rejects, refits
        As on the topics.
    tombstones
        Keys that a topic of estimates would delete: those of retired stores. None where no table
        of stores says of any.
    watched
        Of the feeds that look at ticks, by their names.
    """

    estimates: BinaryIO
    rejects: BinaryIO
    refits: BinaryIO
    tombstones: BinaryIO | None
    watched: Mapping[str, BinaryIO] = field(default_factory=dict)


@dataclass(slots=True)
class ReplaySummary:
    """What a replay did; the tallies are of what was seen and not counted as it came."""

    received: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    records: int = 0
    feeds: dict[str, int] = field(default_factory=dict)
    refits: int = 0
    groups: int = 0
    tallies: dict[str, int] = field(default_factory=dict)


class Replay:
    """Drives an engine over files.

    Parameters
    ----------
    engine
        A new engine; its refit interval is measured in event time.
    names
        Name of each file, as it appears in the records' offsets.
    feeds
        Where the records go.
    """

    def __init__(self, engine: Engine, names: Sequence[str], feeds: Feeds) -> None:
        engine.open_shard(SHARD, epoch=1)
        self.engine = engine
        self.summary = ReplaySummary()
        self._names = names
        self._feeds = feeds
        self._clock_ms = 0

    def run(self, lines: Iterable[Line]) -> ReplaySummary:
        """Take all lines, then write a last record of every key."""
        every_ms = self.engine.settings.refit_every_ms
        batch: list[Line] = []
        tick_ms = 0
        for line in lines:
            if tick_ms and line.clock_ms >= tick_ms:
                self._ingest(batch)
                self._tick(tick_ms)
            if line.clock_ms >= tick_ms:
                tick_ms = _next_tick_ms(line.clock_ms, every_ms)
            batch.append(line)
            self._clock_ms = max(self._clock_ms, line.clock_ms)
            if len(batch) >= BATCH_LINES:
                self._ingest(batch)
        self._ingest(batch)
        self._take(self.engine.ingest({}, self._clock_ms))
        # Nothing more will come: what is over by the newest event is over.
        self._take(self.engine.ingest({}, self._clock_ms, reached_ms=self._clock_ms))
        self._tick(max(self._clock_ms, EARLIEST_MS), last=True)
        self.summary.groups = self.engine.groups_count
        self.summary.refits = self.engine.refits
        # Nothing more will come, so these are what a worker would forget one day.
        waiting = self.engine.shards[SHARD].attribution.waiting_refunds
        self.summary.tallies = {**self.engine.tallies, "waiting_refunds": waiting}
        return self.summary

    def _ingest(self, batch: list[Line]) -> None:
        """Ingest the lines and empty the list."""
        if not batch:
            return
        by_source: dict[int, list[Line]] = {}
        for line in batch:
            by_source.setdefault(line.source, []).append(line)
        raws = [self._raw(source, lines) for source, lines in by_source.items()]
        self._take(self.engine.ingest({SHARD: raws}, self._clock_ms))
        self.summary.received += len(batch)
        batch.clear()

    def _take(self, candidate: Candidate) -> None:
        """Write what follows from a candidate at once, and make it the state."""
        for reject in candidate.rejects:
            self._feeds.rejects.write(reject_record(reject) + b"\n")
            self.summary.rejected[reject.reason] += 1
        watched = self.engine.watch(self.engine.chain_ticks(candidate.closing), self._clock_ms)
        for name, records in watched.records.items():
            self._feeds.watched[name].writelines((r.value or b"") + b"\n" for r in records)
            self.summary.feeds[name] = self.summary.feeds.get(name, 0) + len(records)
        self.engine.apply(watched)
        self.engine.apply(candidate)
        self.summary.accepted += candidate.accepted

    def _raw(self, source: int, lines: list[Line]) -> RawBatch:
        payloads = [line.payload for line in lines]
        name, end = self._names[source], lines[-1].offset + 1
        return RawBatch(name, 0, payloads, lambda at: lines[at].offset, end)

    def _tick(self, now_ms: int, *, last: bool = False) -> None:
        refit = self.engine.refit(now_ms, force=last, every_pool=last)
        if refit:
            self.engine.apply(refit)
            for record in refit.records(self.engine.settings.level):
                self._feeds.refits.write((record.value or b"") + b"\n")
        emission = self.engine.emit(now_ms, everything=last)
        for record in emission.records:
            self._write(record, now_ms)
        self.engine.apply(emission)

    def _write(self, record: OutRecord, now_ms: int) -> None:
        if record.value is not None:
            self._feeds.estimates.write(record.value + b"\n")
            self.summary.records += 1
        elif self._feeds.tombstones:
            gone = {"key": record.key.decode(), "as_of_ms": now_ms}
            self._feeds.tombstones.write(msgspec.json.encode(gone) + b"\n")


def replay_files(engine: Engine, paths: Sequence[str], output: Path) -> ReplaySummary:
    """Replay NDJSON files (``.gz`` too, ``-`` for standard input) into a folder.

    Raises
    ------
    UsageError
        A file cannot be read, or the folder cannot be written.
    """
    with ExitStack() as stack:
        try:
            files = [stack.enter_context(_open(path)) for path in paths]
            output.mkdir(parents=True, exist_ok=True)
            feeds = Feeds(
                estimates=stack.enter_context((output / "estimates.ndjson").open("wb")),
                rejects=stack.enter_context((output / "rejects.ndjson").open("wb")),
                refits=stack.enter_context((output / "refits.ndjson").open("wb")),
                tombstones=stack.enter_context((output / "tombstones.ndjson").open("wb"))
                if engine.settings.stores
                else None,
                watched={
                    name: stack.enter_context((output / f"{name}.ndjson").open("wb"))
                    for name in engine.memory.feeds
                },
            )
        except OSError as error:
            raise UsageError(f"cannot open {error.filename}: {error.strerror}") from error
        replay = Replay(engine, source_names(paths), feeds)
        return replay.run(merged(files, paths, engine.settings.time))


def source_names(paths: Sequence[str]) -> list[str]:
    """Return each file's name without its folder, numbered where two are the same.

    >>> source_names(["a/x.ndjson", "b/x.ndjson", "-"])
    ['x.ndjson', 'x.ndjson.2', 'stdin']
    """
    seen: Counter[str] = Counter()
    names = []
    for path in paths:
        name = "stdin" if path == "-" else Path(path).name
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}.{seen[name]}")
    return names


def merged(files: Sequence[BinaryIO], paths: Sequence[str], rules: TimeRules) -> Iterator[Line]:
    """Merge the files' lines by event time; each file keeps its own order."""
    lines = [_lines(file, source, paths[source], rules) for source, file in enumerate(files)]
    if len(lines) == 1:
        return lines[0]
    return heapq.merge(*lines, key=lambda line: (line.clock_ms, line.source))


class _Timed(msgspec.Struct, gc=False):
    event_time_ms: int
    ingest_time_ms: int | None = None


_timed = msgspec.json.Decoder(_Timed)


def _lines(file: BinaryIO, source: int, path: str, rules: TimeRules) -> Iterator[Line]:
    clock = SourceClock()
    offset = -1
    try:
        for offset, line in enumerate(file):
            payload = line.rstrip(b"\r\n")
            if payload:
                clock = clock.after(_event_time_ms(payload, rules), rules.horizon_ms, 0)
                yield Line(clock.time_ms, source, offset, payload)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"cannot read {path} after line {offset + 1}: {error}") from error


def _event_time_ms(payload: bytes, rules: TimeRules) -> int:
    """Return the event's time, 0 where it has none that could be true."""
    try:
        timed = _timed.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 0
    known_ms = timed.ingest_time_ms or rules.as_of_ms or LATEST_MS
    latest_ms = min(LATEST_MS, known_ms + FUTURE_MS)
    return timed.event_time_ms if EARLIEST_MS <= timed.event_time_ms <= latest_ms else 0


def _open(path: str) -> BinaryIO:
    if path == "-":
        return sys.stdin.buffer
    return gzip.open(path) if path.endswith(".gz") else Path(path).open("rb")  # type: ignore[return-value]


def _next_tick_ms(now_ms: int, every_ms: int) -> int:
    return (now_ms // every_ms + 1) * every_ms if now_ms else 0
