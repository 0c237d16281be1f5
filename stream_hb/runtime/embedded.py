"""A broker inside the process, for a first look without any broker: librdkafka's mock cluster."""

from collections.abc import Iterable
from typing import Self

from confluent_kafka import Producer

from stream_hb.runtime.librdkafka_log import QuietLog

PARTITIONS = 4
"""How many every topic of an embedded broker has."""

ANSWER_SECONDS_MAX = 10.0


class EmbeddedBroker:
    """A broker that lives as long as this object and keeps nothing afterwards.

    It is for demonstrations and smoke tests. It has no transactions; a topic comes into being when
    it is first used, always with :data:`PARTITIONS` partitions and without settings; the admin
    client's requests about topics time out.

    >>> with EmbeddedBroker() as broker:
    ...     broker.make_topics(["visits"])
    ...     broker.bootstrap_servers.startswith("127.0.0.1:")
    True
    """

    def __init__(self) -> None:
        # The cluster belongs to the producer that asked for it, and ends with it.
        self._owner: Producer | None = Producer(
            {"test.mock.num.brokers": 1, "log_level": 3}, logger=QuietLog()
        )
        brokers = self._owner.list_topics(timeout=ANSWER_SECONDS_MAX).brokers.values()
        self.bootstrap_servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def make_topics(self, names: Iterable[str]) -> None:
        """Use topics for the first time, so that consumers find them."""
        if self._owner is None:
            raise RuntimeError("the embedded broker was closed")
        for name in names:
            self._owner.list_topics(name, timeout=ANSWER_SECONDS_MAX)

    def close(self) -> None:
        """End it."""
        self._owner = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
