"""The topics that a slot writes: are they there, and does a transaction hang in them?"""

import time
from collections.abc import Collection, Mapping
from typing import Any

import confluent_kafka as ck
from confluent_kafka import IsolationLevel, KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from stream_hb.runtime.client import TopicPartition, TransientError
from stream_hb.runtime.client_settings import accepted_settings
from stream_hb.runtime.librdkafka_log import QuietLog

ANSWER_SECONDS = 3.0
STABLE_SECONDS_MAX = 1.0
PAUSE_SECONDS = 0.02

_OF_TRANSACTIONS = ("transactional.id", "transaction.timeout.ms", "enable.idempotence")


class KafkaLogs:
    """Asks for the ends of the partitions that a slot writes.

    A broker (Kafka 4.3) that was killed and came back slowly said of transactions that it found
    half ended that they were complete, and wrote no marker (tests/faults/test_broker.py, T4). What
    they wrote hides all that follows it from readers of committed records, and the slot's next
    commit makes it committed, whether it was to be or not: estimates were there twice. Nobody can
    tell any more what it was to be, so nothing is written beside it.

    Parameters
    ----------
    settings
        Those of the slot's producer.
    topics
        What it writes.
    """

    def __init__(self, settings: Mapping[str, Any], topics: Collection[str]) -> None:
        self._settings = {k: v for k, v in settings.items() if k not in _OF_TRANSACTIONS}
        self._topics = topics
        self._client: AdminClient | None = None

    def ends(self) -> dict[TopicPartition, int]:
        """Return the ends of all partitions, open transactions included.

        Raises
        ------
        TransientError
            Not every leader answers: a broker that has just been started does not know its
            partitions yet.
        """
        if not self._topics:
            return {}
        return self._asked(self._partitions(), IsolationLevel.READ_UNCOMMITTED)

    def check_ended(self) -> None:
        """Wait for transactions that are open; those of other workers end in a moment.

        Raises
        ------
        TransientError
            Some do not.
        """
        open_ = self.unended(self.ends()) if self._topics else []
        if open_:
            raise TransientError(
                f"transactions are open in {', '.join(f'{t}-{n}' for t, n in open_)}; where that "
                "lasts, the broker has lost their ends: see kafka-transactions.sh find-hanging"
            )

    def unended(self, ends: Mapping[TopicPartition, int]) -> list[TopicPartition]:
        """Return the partitions in which a transaction that began before some ends stays open."""
        left, deadline = dict(ends), time.monotonic() + STABLE_SECONDS_MAX
        while left:
            stable = self._asked(left, IsolationLevel.READ_COMMITTED)
            left = {where: end for where, end in left.items() if stable[where] < end}
            if time.monotonic() > deadline:
                break
            if left:
                time.sleep(PAUSE_SECONDS)
        return sorted(left)

    def _partitions(self) -> list[TopicPartition]:
        try:
            found = self._asking().list_topics(timeout=ANSWER_SECONDS).topics
        except KafkaException as error:
            raise TransientError(f"could not list topics: {error.args[0].str()}") from error
        missing = [name for name in self._topics if name not in found or found[name].error]
        if missing:
            raise TransientError(f"the broker does not know topic {missing[0]} (yet)")
        return [TopicPartition(name, n) for name in self._topics for n in found[name].partitions]

    def _asked(
        self, partitions: Collection[TopicPartition], level: IsolationLevel
    ) -> dict[TopicPartition, int]:
        newest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = {ck.TopicPartition(*where): newest for where in partitions}
        answers = self._asking().list_offsets(
            wanted, isolation_level=level, request_timeout=ANSWER_SECONDS
        )
        try:
            return {
                TopicPartition(where.topic, where.partition): int(answer.result().offset)
                for where, answer in answers.items()
            }
        except KafkaException as error:
            raise TransientError(f"could not read ends: {error.args[0].str()}") from error

    def _asking(self) -> AdminClient:
        if self._client is None:
            with accepted_settings():
                self._client = AdminClient(self._settings, logger=QuietLog())
        return self._client
