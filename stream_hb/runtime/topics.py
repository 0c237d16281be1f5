"""What topics a configuration needs, whether the broker has them, and how they are made."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, not declared so
    AdminClient,
    ClusterMetadata,
    ConfigResource,
    NewTopic,
)

from stream_hb.errors import BrokerError, TopicError
from stream_hb.runtime.client_settings import accepted_settings
from stream_hb.runtime.librdkafka_log import QuietLog
from stream_hb.runtime.log_identity import LogIdentity
from stream_hb.runtime.no_answer import Heard
from stream_hb.runtime.origin import Origin

log = logging.getLogger("stream_hb.topics")

ANSWER_SECONDS_MAX = 10.0
REFUSAL_SECONDS = 1.0
SETTINGS_SECONDS_MAX = 3.0
PARTITIONS = 4
TOMBSTONE_MS_MIN = 24 * 60 * 60 * 1000
NO_TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAA"
"""What brokers say whose topics have no ids yet (before 2.8)."""

T = TypeVar("T")


_COMPACTED = {"cleanup.policy": "compact", "delete.retention.ms": str(TOMBSTONE_MS_MIN)}
_STATE = {
    # The newest segment is never compacted: of the default gigabyte a restore would read all.
    "segment.bytes": str(64 << 20),
    "segment.ms": str(6 * 60 * 60 * 1000),
    "min.cleanable.dirty.ratio": "0.2",
    "max.compaction.lag.ms": str(6 * 60 * 60 * 1000),
    "compression.type": "producer",
}


class TopicUse(StrEnum):
    """What a topic is for."""

    INPUT = "input"
    ESTIMATES = "estimates"
    REJECTS = "rejects"
    REFITS = "refits"
    FEED = "feed"
    STATE = "state"
    SUMMARIES = "summaries"
    HYPER = "hyper"


_OF_STATE = (TopicUse.STATE, TopicUse.SUMMARIES, TopicUse.HYPER)


@dataclass(frozen=True, slots=True)
class TopicNeed:
    """A topic that must be there.

    Attributes
    ----------
    name, use
        Which, and what for.
    partitions
        How many it gets when it is made here.
    settings
        What it is made with.
    """

    name: str
    use: TopicUse
    partitions: int = PARTITIONS
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicState:
    """What the broker says about a topic that must be there.

    Attributes
    ----------
    partitions
        How many it has; 0 when it is missing.
    settings
        How it is set; empty where the broker does not tell (the embedded one).
    """

    need: TopicNeed
    partitions: int
    settings: Mapping[str, str]


def topic_needs(
    inputs: Iterable[str],
    estimates: str,
    rejects: str,
    partitions: int = PARTITIONS,
    refits: str | None = None,
) -> list[TopicNeed]:
    """Return the topics of a worker.

    Estimates are compacted, since only the newest of a key counts; a deletion stays visible for
    a day, so that a reader that was away learns of it.

    >>> [(need.name, need.use.value) for need in topic_needs(["visits"], "estimates", "rejects")]
    [('visits', 'input'), ('estimates', 'estimates'), ('rejects', 'rejects')]
    """
    return [
        *(TopicNeed(name, TopicUse.INPUT, partitions) for name in inputs),
        TopicNeed(estimates, TopicUse.ESTIMATES, partitions, _COMPACTED),
        TopicNeed(rejects, TopicUse.REJECTS, partitions),
        *([TopicNeed(refits, TopicUse.REFITS, partitions)] if refits else []),
    ]


def feed_needs(topics: Iterable[str]) -> list[TopicNeed]:
    """Return the topics of the feeds that look at ticks: of each key only the newest counts.

    >>> [(need.name, need.use.value) for need in feed_needs(["alerts"])]
    [('alerts', 'feed')]
    """
    return [TopicNeed(name, TopicUse.FEED, PARTITIONS, _COMPACTED) for name in topics]


def state_needs(
    state: str, summaries: str, hyper: str, partitions: int = PARTITIONS
) -> list[TopicNeed]:
    """Return the topics that delivery exactly once needs besides.

    >>> [(need.name, need.partitions) for need in state_needs("state", "summaries", "hyper", 12)]
    [('state', 12), ('summaries', 12), ('hyper', 1)]
    """
    settings = {**_COMPACTED, **_STATE}
    return [
        TopicNeed(state, TopicUse.STATE, partitions, settings),
        TopicNeed(summaries, TopicUse.SUMMARIES, partitions, settings),
        TopicNeed(hyper, TopicUse.HYPER, 1, settings),
    ]


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
        )
        for need in needs
    ]


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


def input_origin(
    bootstrap_servers: str,
    topics: Sequence[str],
    client_settings: Mapping[str, Any] | None = None,
) -> Origin | None:
    """Ask the broker which topics they are that have the inputs' names; None: it does not tell.

    Raises
    ------
    BrokerError
        If none answers in time.
    """
    admin = _Admin(bootstrap_servers, client_settings)
    admin.metadata()
    cluster_id, topic_ids = admin.ids(topics)
    told = {topic: id_ for topic, id_ in topic_ids.items() if id_ is not None}
    return Origin(cluster_id, told) if cluster_id is not None and told else None


def create_topics(
    bootstrap_servers: str,
    needs: Iterable[TopicNeed],
    client_settings: Mapping[str, Any] | None = None,
) -> None:
    """Make topics that are missing, with as many copies as is usual on this broker.

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


def topic_problems(states: Iterable[TopicState]) -> list[str]:
    """Return what is wrong with the topics, a line each, with what to do about it."""
    states = list(states)
    present = [state for state in states if state.partitions]
    return [
        *_missing(state.need for state in states if not state.partitions),
        *_unequal([state for state in present if state.need.use is TopicUse.INPUT]),
        *_unlike_its_input(present),
        *_torn(present),
        *(problem for state in present for problem in _wrong_settings(state)),
    ]


def check_topics(states: Iterable[TopicState]) -> None:
    """Raise TopicError with every problem; see :func:`topic_problems`."""
    problems = topic_problems(states)
    if problems:
        raise TopicError("\n".join(problems))


def _missing(needs: Iterable[TopicNeed]) -> list[str]:
    names = [f"{need.name!r} ({need.use.value})" for need in needs]
    if not names:
        return []
    return [f"missing topic: {', '.join(names)}; stream-hb topics CONFIG --create makes it"]


def _unequal(inputs: Sequence[TopicState]) -> list[str]:
    if len({state.partitions for state in inputs}) < 2:
        return []
    counts = ", ".join(f"{state.need.name!r} has {state.partitions}" for state in inputs)
    return [
        f"input topics need equally many partitions, because a store's visits and purchases meet "
        f"in one partition number: {counts}"
    ]


def _unlike_its_input(states: Sequence[TopicState]) -> list[str]:
    inputs = [state for state in states if state.need.use is TopicUse.INPUT]
    return [
        f"topic {state.need.name!r} of the {state.need.use} has {state.partitions} partitions, but "
        f"the input {inputs[0].need.name!r} has {inputs[0].partitions}: what is of a shard stands "
        f"in the partition of its number{_what_to_do(state, inputs[0])}"
        for state in states
        if state.need.use in (TopicUse.STATE, TopicUse.SUMMARIES) and inputs
        if state.partitions != inputs[0].partitions
    ]


def _what_to_do(state: TopicState, its_input: TopicState) -> str:
    if state.need.use is TopicUse.STATE and state.partitions < its_input.partitions:
        return "; stream-hb migrate moves the state when the input's partitions have become more"
    return ""


def _torn(states: Sequence[TopicState]) -> list[str]:
    return [
        f"topic {state.need.name!r} of the hyperparameters has {state.partitions} partitions; it "
        "needs 1, so that everyone reads the fits in one order"
        for state in states
        if state.need.use is TopicUse.HYPER and state.partitions > 1
    ]


def _wrong_settings(state: TopicState) -> list[str]:
    if not state.settings:
        return []
    name, policy = state.need.name, state.settings["cleanup.policy"]
    problems = []
    if state.need.use is TopicUse.INPUT and "compact" in policy:
        problems.append(
            f"input topic {name!r} is compacted (cleanup.policy={policy}): events of the same key "
            "disappear; set cleanup.policy=delete"
        )
    if state.need.use in _OF_STATE and policy != "compact":
        problems.append(
            f"topic {name!r} of the {state.need.use} has cleanup.policy={policy}: what does not "
            "change would be deleted; set cleanup.policy=compact"
        )
    if state.need.use is TopicUse.ESTIMATES and "compact" not in policy:
        problems.append(
            f"topic {name!r} of the estimates is not compacted (cleanup.policy={policy}): "
            "estimates that do not change would be deleted; set cleanup.policy=compact"
        )
    return [*problems, *_short_memory(state, policy)]


def _short_memory(state: TopicState, policy: str) -> list[str]:
    """Tell of deletions that a reader who was away for a day would miss."""
    compacted = "compact" in policy and state.need.use in (TopicUse.ESTIMATES, *_OF_STATE)
    if not compacted or int(state.settings["delete.retention.ms"]) >= TOMBSTONE_MS_MIN:
        return []
    return [
        f"topic {state.need.name!r} of the {state.need.use} forgets deletions too soon: "
        f"set delete.retention.ms={TOMBSTONE_MS_MIN} or more"
    ]


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

    def ids(self, topics: Sequence[str]) -> tuple[str | None, dict[str, str | None]]:
        """Return the ids of the cluster and of topics, as far as the broker tells them."""
        asked = {"request_timeout": SETTINGS_SECONDS_MAX}
        described = self._client.describe_topics(TopicCollection(list(topics)), **asked)
        cluster = self._client.describe_cluster(**asked)
        cluster_id: str | None = _answer_or_none(lambda: cluster.result().cluster_id)
        return cluster_id, {name: _topic_id(answer) for name, answer in described.items()}

    def create(self, needs: Sequence[TopicNeed]) -> None:
        new = [NewTopic(need.name, need.partitions, config=dict(need.settings)) for need in needs]
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
