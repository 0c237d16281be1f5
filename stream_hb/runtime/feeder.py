"""Feeds the bundled log to input topics, at a steady pace."""

import time
from collections.abc import Iterable
from threading import Event

import structlog

from stream_hb.events.partitioner import Partitioner, murmur2_partition
from stream_hb.runtime.client import OutputClient
from stream_hb.runtime.sample import SampleEvent

SLICE_SECONDS = 0.1
FLUSH_SECONDS = 1.0

log = structlog.get_logger("stream_hb.feeder")


class Feeder:
    """Writes events to topics, each store to one partition.

    Parameters
    ----------
    outputs
        The transport.
    topics
        One mixed topic; or the topic of visits and the topic of everything else.
    partitions_count
        Partitions of each topic.
    partition_of
        Which of them a store's events go to: what the workers check (``topics.partitioner``).
    """

    def __init__(
        self,
        outputs: OutputClient,
        topics: tuple[str, ...],
        partitions_count: int,
        partition_of: Partitioner = murmur2_partition,
    ) -> None:
        self.fed = 0
        self._outputs = outputs
        self._topics = topics
        self._partitions_count = partitions_count
        self._partition_of = partition_of

    def feed(self, events: Iterable[SampleEvent], events_per_second: float, stop: Event) -> None:
        """Write all events, no faster than the rate; ends early if told to stop."""
        started = time.monotonic()
        for event in events:
            if stop.is_set():
                break
            self._write(event)
            self.fed += 1
            ahead = self.fed / events_per_second - (time.monotonic() - started)
            if ahead > SLICE_SECONDS:
                stop.wait(ahead)
        told = False
        while (waiting := self._outputs.flush(FLUSH_SECONDS)) and not stop.is_set():
            if not told:
                log.warning("events wait for the broker", events=waiting)
            told = True

    def _write(self, event: SampleEvent) -> None:
        key = event.store_id.encode()
        topic = self._topics[0 if event.event_type == "visit" else -1]
        partition = self._partition_of(key, self._partitions_count)
        self._outputs.produce(topic, partition, key, event.payload)
