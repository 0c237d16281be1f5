"""The closed ticks of all shards, as they come from the topic of summaries."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from stream_hb.chain_ticks import ChainTick, TickPart, joined
from stream_hb.events.ticks import TickClock
from stream_hb.statistics.columns import Statistic
from stream_hb.summary_rows import Chunk, assembled, read_chunk
from stream_hb.tick_rows import (
    CLOSED_KEY,
    TICK,
    read_closed,
    read_tick_key,
    read_tick_row,
    tick_key,
)

Place = tuple[int, bytes]
"""Where a record stands: the partition, and its key."""


class ToldTicks:
    """Collects the rows of ticks until every shard has closed them.

    A tick whose row is missing is one in which the shard's stores did nothing: rows stand before
    the row that says how far the shard has closed.
    """

    def __init__(self) -> None:
        self.closed: dict[int, int] = {}
        self._chunks: dict[tuple[int, int], dict[int, Chunk]] = defaultdict(dict)

    @staticmethod
    def is_of_ticks(key: bytes) -> bool:
        """Tell whether a record's key is of these."""
        return key == CLOSED_KEY or key[:1] == TICK

    def take(self, number: int, key: bytes, value: bytes | None) -> None:
        """Take a record of a shard."""
        if key == CLOSED_KEY:
            self.closed[number] = read_closed(value or b"")
            return
        tick, chunk = read_tick_key(key)
        if value is None:
            self._chunks[tick, number].pop(chunk, None)
        else:
            self._chunks[tick, number][chunk] = read_chunk(value)

    def ready(self, shards: Iterable[int]) -> int:
        """Return the tick before which all these shards have closed."""
        return min(self.closed.get(number, 0) for number in shards)

    def chain_ticks(
        self, before: int, clock: TickClock, kinds: Mapping[str, type[Statistic]]
    ) -> Iterator[ChainTick]:
        """Yield the ticks before one, ascending, each by the chains' names."""
        for tick in sorted({tick for tick, _ in self._chunks if tick < before}):
            parts: list[Mapping[str, TickPart]] = []
            for at, number in sorted(self._chunks):
                chunks = self._chunks[at, number]
                row = assembled([chunks[n] for n in sorted(chunks)]) if at == tick else None
                if row is not None:
                    parts.append(read_tick_row(row, kinds))
            yield from joined(parts, tick, clock)

    def places(self, before: int) -> list[Place]:
        """Return where the rows of the ticks before one stand."""
        return [
            (number, tick_key(tick, chunk))
            for (tick, number), chunks in sorted(self._chunks.items())
            if tick < before
            for chunk in sorted(chunks)
        ]

    def forget(self, before: int) -> None:
        """Forget the ticks before one: they were shown."""
        for tick, number in [at for at in self._chunks if at[0] < before]:
            del self._chunks[tick, number]

    def clear(self) -> None:
        """Forget everything."""
        self.closed.clear()
        self._chunks.clear()
