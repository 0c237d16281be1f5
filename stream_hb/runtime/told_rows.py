"""The rows of other workers' shards, as they come from the topic of summaries."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from stream_hb.errors import SnapshotError
from stream_hb.events.clock import SourceClock
from stream_hb.runtime.client import StateClient
from stream_hb.runtime.told_ticks import ToldTicks
from stream_hb.summary_rows import (
    CHUNKS_MAX,
    CLOCKS_KEY,
    Chunk,
    RemoteParts,
    assembled,
    read_chunk,
    read_chunk_key,
    read_clocks,
)


class ToldRows:
    """Reads the topic of summaries while this worker refits for all.

    Parameters
    ----------
    client
        Reads the topic.
    partitions_count
        Number of shards.
    group
        The consumer group: a topic of summaries is of one.
    """

    def __init__(self, client: StateClient, partitions_count: int, group: str) -> None:
        self._client = client
        self._count = partitions_count
        self._group = group
        self._ends: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._chunks: dict[tuple[int, str], dict[int, Chunk]] = defaultdict(dict)
        self._rows: dict[int, dict[str, bytes]] = defaultdict(dict)
        self._parts: dict[int, RemoteParts] = {}
        self.clocks: dict[int, Sequence[SourceClock]] = {}
        self.ticks = ToldTicks()

    def open(self) -> None:
        """Begin to read; what is there already is to be read first."""
        for number in range(self._count):
            if number not in self._ends:
                self._ends[number] = self._client.end(number)
                self._client.open(number)

    def close(self) -> None:
        """Forget everything: another worker refits."""
        for number in list(self._ends):
            self._client.close_partition(number)
            del self._ends[number]
        for known in (self._positions, self._chunks, self._rows, self._parts, self.clocks):
            known.clear()
        self.ticks.clear()

    def listen(self) -> None:
        """Take what came."""
        for number, (records, position) in self._client.poll(0.0).items():
            for key, value in records:
                if self.ticks.is_of_ticks(key):
                    self.ticks.take(number, key, value)
                elif value is not None:
                    self._take(number, key, value)
            self._positions[number] = position

    def _take(self, number: int, key: bytes, value: bytes) -> None:
        if key == CLOCKS_KEY:
            told = read_clocks(value)
            check_group(told.group, self._group)
            self.clocks[number] = told.shards[number]
            return
        chain, place = read_chunk_key(key)
        if place >= CHUNKS_MAX:
            raise SnapshotError(f"a row of {place} chunks of chain {chain!r}")
        known = self._chunks[number, chain]
        known[place] = read_chunk(value)
        row = assembled([known[at] for at in sorted(known)])
        if row is not None:
            self._rows[number][chain] = row

    def lacks(self, own: Iterable[int]) -> set[int]:
        """Return the shards elsewhere of which not everything is known yet."""
        return {
            number
            for number in set(range(self._count)).difference(own)
            if number not in self.clocks
            or self._positions.get(number, 0) < self._ends.get(number, 1)
        }

    def parts(self, own: Iterable[int]) -> list[RemoteParts]:
        """Return the shards elsewhere."""
        for number in self.clocks:
            if number not in self._parts:
                self._parts[number] = RemoteParts(number, self._rows[number])
        return [self._parts[n] for n in sorted(set(self._parts).difference(own))]


def check_group(group: str, mine: str) -> None:
    """Refuse what another group tells."""
    if group != mine:
        raise SnapshotError(
            f"group {group!r} tells of its pools in the topics of {mine!r}: every group "
            "needs topics of its own (topics.state, topics.summaries, topics.hyper)"
        )
