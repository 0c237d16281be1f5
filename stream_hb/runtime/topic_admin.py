"""Asking the broker for its topics, and making them."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, not declared so
    AdminClient,
    ClusterMetadata,
    ConfigResource,
    NewTopic,
    TopicMetadata,
)

from stream_hb.errors import BrokerError, TopicError
from stream_hb.runtime.client_settings import accepted_settings
from stream_hb.runtime.librdkafka_log import QuietLog
from stream_hb.runtime.log_identity import LogIdentity
from stream_hb.runtime.no_answer import Heard
from stream_hb.runtime.origin import Origin
from stream_hb.runtime.topics import TopicNeed, TopicState

log = logging.getLogger("stream_hb.topics")

ANSWER_SECONDS_MAX = 10.0
REFUSAL_SECONDS = 1.0
SETTINGS_SECONDS_MAX = 3.0
NO_TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAA"
"""What brokers say whose topics have no ids yet (before 2.8)."""

BROKERS_OWN = -1
"""As many copies of a topic as is usual on the broker."""

T = TypeVar("T")


def inspect_topics(
    bootstrap_servers: str,
    needs: Sequence[TopicNeed],
    client_settings: Mapping[str, Any] | None = None,
    answer_seconds_max: float = ANSWER_SECONDS_MAX,
) -> list[TopicState]:
    """Ask the broker what it has of the topics needed.

    Raises
    ------
    BrokerError
        If none answers in time.
    """
    admin = _Admin(bootstrap_servers, client_settings, answer_seconds_max)
    topics = admin.metadata().topics
    present = [need.name for need in needs if need.name in topics]
    settings = admin.settings(present)
    return [
        TopicState(
            need,
            len(topics[need.name].partitions) if need.name in topics else 0,
            settings.get(need.name, {}),
            _replicas(topics[need.name]) if need.name in topics else 0,
        )
        for need in needs
    ]


def _replicas(topic: TopicMetadata) -> int:
    return min((len(each.replicas) for each in topic.partitions.values()), default=0)


def log_identity(
    bootstrap_servers: str,
    topic: str,
    group: str,
    client_settings: Mapping[str, Any] | None = None,
) -> LogIdentity | None:
    """Ask the broker which topic it is that has a state's name; None: it does not tell.

    Raises
    ------
    BrokerError
        If none answers in time.
    """
    admin = _Admin(bootstrap_servers, client_settings)
    admin.metadata()
    return admin.identity(topic, group)


def origin_of(
    bootstrap_servers: str,
    topics: Sequence[str],
    client_settings: Mapping[str, Any] | None = None,
) -> Callable[[], Origin | None]:
    """Return what asks the broker which topics they are that have the inputs' names.

    It may be asked again and again; it answers None where the broker does not tell.

    Raises
    ------
    BrokerError
        If none answers in time.
    """
    admin = _Admin(bootstrap_servers, client_settings)
    admin.metadata()
    return lambda: admin.origin(topics)


def create_topics(
    bootstrap_servers: str,
    needs: Iterable[TopicNeed],
    client_settings: Mapping[str, Any] | None = None,
) -> None:
    """Make topics that are missing.

    Raises
    ------
    BrokerError
        If none answers within ten seconds.
    TopicError
        If the broker refuses one.
    """
    admin = _Admin(bootstrap_servers, client_settings)
    admin.metadata()
    admin.create(list(needs))


class _Admin:
    """The broker's administration, its failures said in our words."""

    def __init__(
        self,
        bootstrap_servers: str,
        settings: Mapping[str, Any] | None,
        answer_seconds_max: float = ANSWER_SECONDS_MAX,
    ) -> None:
        self._servers = bootstrap_servers
        self._answer_seconds_max = answer_seconds_max
        self._heard = Heard()
        effective: dict[str, Any] = {
            **(settings or {}),
            "bootstrap.servers": bootstrap_servers,
            "error_cb": self._heard,
        }
        with accepted_settings():
            self._client = AdminClient(effective, logger=QuietLog())

    def metadata(self) -> ClusterMetadata:
        # A refusal comes as an error beside the call, which would wait to its end all the same.
        first = min(REFUSAL_SECONDS, self._answer_seconds_max)
        try:
            return self._asked(first)
        except KafkaException as exception:
            if self._heard.refused or first == self._answer_seconds_max:
                raise self._no_answer() from exception
        try:
            return self._asked(self._answer_seconds_max - first)
        except KafkaException as exception:
            raise self._no_answer() from exception

    def _asked(self, seconds: float) -> ClusterMetadata:
        try:
            return self._client.list_topics(timeout=seconds)
        except KafkaException:
            self._client.poll(0)  # lets the client say what it had met
            raise

    def _no_answer(self) -> BrokerError:
        return self._heard.error(self._servers, self._answer_seconds_max)

    def settings(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in topics]
        if not resources:
            return {}
        asked = self._client.describe_configs(resources, request_timeout=SETTINGS_SECONDS_MAX)
        return {
            resource.name: {name: entry.value for name, entry in answer.items()}
            for resource, future in asked.items()
            if (answer := _answer_or_none(future.result)) is not None
        }

    def identity(self, topic: str, group: str) -> LogIdentity | None:
        cluster_id, topic_ids = self.ids([topic])
        topic_id = topic_ids[topic]
        if topic_id is None or cluster_id is None:
            return None
        return LogIdentity(cluster_id, topic_id, topic, group)

    def origin(self, topics: Sequence[str]) -> Origin | None:
        cluster_id, topic_ids = self.ids(topics)
        told = {topic: id_ for topic, id_ in topic_ids.items() if id_ is not None}
        return Origin(cluster_id, told) if cluster_id is not None and told else None

    def ids(self, topics: Sequence[str]) -> tuple[str | None, dict[str, str | None]]:
        """Return the ids of the cluster and of topics, as far as the broker tells them."""
        asked = {"request_timeout": SETTINGS_SECONDS_MAX}
        described = self._client.describe_topics(TopicCollection(list(topics)), **asked)
        cluster = self._client.describe_cluster(**asked)
        cluster_id: str | None = _answer_or_none(lambda: cluster.result().cluster_id)
        return cluster_id, {name: _topic_id(answer) for name, answer in described.items()}

    def create(self, needs: Sequence[TopicNeed]) -> None:
        new = [
            NewTopic(
                need.name,
                need.partitions,
                BROKERS_OWN if need.replicas is None else need.replicas,
                config=dict(need.settings),
            )
            for need in needs
        ]
        made = self._client.create_topics(new, operation_timeout=ANSWER_SECONDS_MAX) if new else {}
        for name, future in made.items():
            try:
                future.result()
            except KafkaException as exception:
                error: KafkaError = exception.args[0]
                if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise TopicError(f"could not make topic {name!r}: {error.str()}") from exception


def _topic_id(described: Any) -> str | None:
    told = _answer_or_none(lambda: str(described.result().topic_id))
    return None if told == NO_TOPIC_ID else told


def _answer_or_none(result: Callable[[], T]) -> T | None:
    # The embedded broker never answers this, and a broker may forbid it: then it is unknown.
    try:
        return result()
    except KafkaException as exception:
        log.warning("the broker does not tell of its topics: %s", exception.args[0].str())
        return None
