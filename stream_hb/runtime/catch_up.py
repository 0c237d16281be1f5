"""Which shards have still to read up to where their input ended when they were opened.

Until all have, nothing is refitted or emitted: topics are not read evenly, so that half-read input
shows stores with orders and without their visits.
"""

from collections.abc import Iterable, Mapping

from stream_hb.events.batch import Reject
from stream_hb.runtime.client import TopicPartition, Watermarks
from stream_hb.timing import Position, Source


class CatchUp:
    """The ends that are still ahead, and what had been committed before."""

    def __init__(self) -> None:
        self._ends: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}

    def open(self, partition: TopicPartition, mark: Watermarks, committed: int) -> None:
        """Take a partition that will be read from its beginning."""
        self._committed[partition] = committed
        if mark.high > mark.low:
            self._ends[partition] = mark.high

    def close(self, number: int) -> None:
        """Forget a shard."""
        for known in (self._ends, self._committed):
            for partition in [p for p in known if p.partition == number]:
                del known[partition]

    def ended(self, partitions: Iterable[TopicPartition]) -> None:
        """Take the client's word that nothing is left: an end may lie behind markers."""
        for partition in partitions:
            self._ends.pop(partition, None)

    def reached(self, positions: Mapping[Source, Position]) -> None:
        """Take how far a shard has been read."""
        for (topic, number), position in positions.items():
            partition = TopicPartition(topic, number)
            if position.next_offset >= self._ends.get(partition, 0):
                self._ends.pop(partition, None)

    @property
    def shards(self) -> set[int]:
        """The shards that are behind their opening."""
        return {partition.partition for partition in self._ends}

    def is_new(self, reject: Reject) -> bool:
        """Tell whether a reject was not written by an earlier owner."""
        return reject.offset >= self._committed[TopicPartition(reject.topic, reject.partition)]
