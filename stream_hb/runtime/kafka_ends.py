"""Where the input ends, for its lag: asked when somebody looks, never by the worker's loop."""

import time
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any

import confluent_kafka as ck
from confluent_kafka import KafkaException

from stream_hb.runtime.client import TopicPartition
from stream_hb.runtime.client_settings import accepted_settings
from stream_hb.runtime.librdkafka_log import QuietLog

ANSWER_SECONDS = 1.0
LOOK_SECONDS_MAX = 5.0
"""Half of what Prometheus waits for by default: without a broker every partition takes a second."""


class KafkaEnds:
    """Asks the broker for the ends of partitions, open transactions included.

    An end for readers of committed records would hide what a hanging transaction holds back: just
    what somebody who looks at the lag should see.

    Parameters
    ----------
    bootstrap_servers, client
        How the broker is reached: addresses, and further settings of librdkafka.
    """

    def __init__(self, bootstrap_servers: str, client: Mapping[str, Any]) -> None:
        self._settings = {
            **client,
            "bootstrap.servers": bootstrap_servers,
            "group.id": "stream-hb-ends",
            "enable.auto.commit": False,
            "isolation.level": "read_uncommitted",
        }
        self._consumer: ck.Consumer | None = None
        self._silent: set[TopicPartition] = set()
        self._lock = Lock()

    def of(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the ends; a partition whose leader does not answer is left out.

        Those that did not answer when they were last asked come last: what waiting for them takes
        is not the others' time.
        """
        found: dict[TopicPartition, int] = {}
        with self._lock:
            until = time.monotonic() + LOOK_SECONDS_MAX
            for where in sorted(partitions, key=self._silent.__contains__):
                if time.monotonic() >= until:
                    break
                if (end := self._end(where)) is not None:
                    found[where] = end
        return found

    def _end(self, where: TopicPartition) -> int | None:
        asked = ck.TopicPartition(where.topic, where.partition)
        try:
            end = int(self._made().get_watermark_offsets(asked, ANSWER_SECONDS)[1])
        except KafkaException:
            self._silent.add(where)
            return None
        self._silent.discard(where)
        return end

    def _made(self) -> ck.Consumer:
        if self._consumer is None:
            with accepted_settings():
                self._consumer = ck.Consumer(self._settings, logger=QuietLog())
        return self._consumer

    def close(self) -> None:
        """Leave."""
        with self._lock:
            if self._consumer is not None:
                self._consumer.close()
