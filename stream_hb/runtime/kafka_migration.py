"""The migration of the state over Kafka: which topics and offsets there are, who still works."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import confluent_kafka as ck
import msgspec
from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from stream_hb.config import Config
from stream_hb.errors import BrokerError, MigrationError, UsageError
from stream_hb.events.partitioner import PARTITIONERS
from stream_hb.runtime.assembly import needs_of, run_settings
from stream_hb.runtime.client import Committed, TopicPartition, TransientError, Watermarks
from stream_hb.runtime.client_settings import accepted_settings
from stream_hb.runtime.kafka_state import KafkaState
from stream_hb.runtime.kafka_transactions import KafkaTransactions, transaction_settings
from stream_hb.runtime.librdkafka_log import QuietLog
from stream_hb.runtime.migration import (
    PROGRESS_SECONDS_MAX,
    Given,
    Migrated,
    Plan,
    Stores,
    has_records,
    is_migrated,
    migrate,
)
from stream_hb.runtime.topic_admin import create_topics, inspect_topics
from stream_hb.runtime.topics import (
    TopicNeed,
    TopicState,
    TopicUse,
    beside_inputs,
    check_topics,
)

TRANSACTION_MS = 600_000
"""The whole state is written in one: below the brokers' most (``transaction.max.timeout.ms``)."""

ANSWER_SECONDS = 10.0
MEMBERS_SECONDS_MORE = 10.0
SLOT_TRIES = 20
POLL_MESSAGES = 10_000
POLL_SECONDS = 0.5
EMPTY = (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)
DEFAULT_SESSION_MS = 15_000

Say = Callable[[str], None]


class _Named(msgspec.Struct):
    store_id: str


def run_migration(
    config: Config, old_topic: str, say: Say, *, accept_unread: bool = False
) -> Migrated | None:
    """Migrate the state of ``old_topic`` to the topics of a configuration; None: it is done.

    Parameters
    ----------
    config
        Names the new topics (``topics.state``, ``topics.summaries``).
    old_topic
        The state's old topic.
    say
        Takes a line for the person who waits.
    accept_unread
        See :class:`stream_hb.runtime.migration.Plan`.
    """
    plan = replace(_planned(config, old_topic, say), accept_unread=accept_unread)
    with ExitStack() as stack:

        def log(topic: str) -> KafkaState:
            kafka = config.kafka
            made = KafkaState(kafka.bootstrap_servers, topic, kafka.revealed_client())
            return stack.enter_context(closing(made))

        _wait_for_no_members(config, say)
        transactions = stack.enter_context(closing(_transactions(config)))
        # First of all: what an earlier run left open when it was killed would hide offsets.
        _take_slot(transactions, say)
        input_ = stack.enter_context(closing(_Input(config)))
        given = input_.given(plan)
        if is_migrated(plan, log(config.topics.state), given):
            return None
        summaries = log(config.topics.summaries)
        if any(has_records(summaries, number) for number in range(plan.new_count)):
            raise MigrationError(
                f"topic {config.topics.summaries!r} holds what the old shards told each other: "
                "topics.summaries must name a topic that is new"
            )
        return migrate(plan, log(old_topic), given, transactions)


def _planned(config: Config, old_topic: str, say: Say) -> Plan:
    """Check topics, make those that are missing, and return what is to be done."""
    partition_of = PARTITIONERS[config.topics.partitioner]
    if config.delivery != "exactly_once":
        raise UsageError("delivery: only with exactly_once is there a state to migrate")
    if partition_of is None:
        raise UsageError(
            "topics.partitioner is none: say how the producers partition (murmur2 or consistent), "
            "else nobody can tell which partition a store is in now"
        )
    if old_topic in (config.topics.state, config.topics.summaries):
        raise UsageError(f"--from {old_topic}: topics.state must name a new topic, not this one")
    old = TopicNeed(old_topic, TopicUse.STATE)
    states = _inspected(config, old)
    counts = [state.partitions for state in states if state.need.use is TopicUse.INPUT]
    old_count, new_count = states[-1].partitions, max(counts)
    if not old_count:
        raise MigrationError(f"--from {old_topic}: there is no such topic")
    if new_count <= old_count:
        raise MigrationError(
            f"nothing is to be migrated: the inputs have {new_count} partitions, the state in "
            f"{old_topic!r} has {old_count}"
        )
    missing = [s.need for s in states if not s.partitions and s.need.use in _MADE]
    made = beside_inputs(missing, states)
    for need in made:
        say(f"making topic {need.name} with {need.partitions} partitions")
    create_topics(config.kafka.bootstrap_servers, made, config.kafka.revealed_client())
    check_topics(_inspected(config))
    return Plan(
        config.kafka.group_id,
        config.sources,
        old_count,
        new_count,
        config.topics.state,
        lambda store, count: partition_of(store.encode(), count),
        run_settings(config, old_count),
        run_settings(config, new_count),
    )


_MADE = (TopicUse.STATE, TopicUse.SUMMARIES)


def _inspected(config: Config, *more: TopicNeed) -> list[TopicState]:
    kafka = config.kafka
    needs = [*needs_of(config), *more]
    return inspect_topics(kafka.bootstrap_servers, needs, kafka.revealed_client())


def _transactions(config: Config) -> KafkaTransactions:
    kafka = config.kafka
    settings = transaction_settings(
        kafka.bootstrap_servers, f"{kafka.group_id}-migrate", kafka.revealed_client()
    )
    longer = {"transaction.timeout.ms": TRANSACTION_MS, "message.timeout.ms": TRANSACTION_MS}
    return KafkaTransactions(settings | longer)


def _take_slot(transactions: KafkaTransactions, say: Say) -> None:
    for attempt in range(SLOT_TRIES):
        try:
            transactions.renew()
            break
        except TransientError as error:
            if attempt == SLOT_TRIES - 1:
                raise
            say(f"waiting for the broker: {error}")


def _wait_for_no_members(config: Config, say: Say) -> None:
    """Wait until the group knows of no worker; one that ended is known until its session is over.

    Raises
    ------
    MigrationError
        Somebody still works.
    """
    group, client = config.kafka.group_id, config.kafka.revealed_client()
    session_ms = int(client.get("session.timeout.ms", DEFAULT_SESSION_MS))
    deadline = time.monotonic() + session_ms / 1000 + MEMBERS_SECONDS_MORE
    with accepted_settings():
        settings: dict[str, Any] = {**client, "bootstrap.servers": config.kafka.bootstrap_servers}
        admin = AdminClient(settings, logger=QuietLog())
    said = False
    while members := _members(admin, group):
        if time.monotonic() > deadline:
            raise MigrationError(
                f"workers of group {group!r} still run ({', '.join(members)}): end them first"
            )
        if not said:
            say(f"waiting for the sessions of {len(members)} workers to end")
            said = True
        time.sleep(0.5)


def _members(admin: AdminClient, group: str) -> list[str]:
    try:
        asked = admin.describe_consumer_groups([group], request_timeout=ANSWER_SECONDS)
        found = asked[group].result()
    except KafkaException as exception:
        error: KafkaError = exception.args[0]
        if error.code() == KafkaError.GROUP_ID_NOT_FOUND:
            return []
        raise BrokerError(f"who works for group {group!r} is not told: {error.str()}") from None
    if found.state in EMPTY:
        return []
    names = [member.group_instance_id or member.client_id for member in found.members]
    return sorted(names) or [str(found.state)]


class _Input:
    """The input topics, and what the group has committed of them; a member of no group."""

    def __init__(self, config: Config) -> None:
        settings: dict[str, Any] = {
            **config.kafka.revealed_client(),
            "bootstrap.servers": config.kafka.bootstrap_servers,
            "group.id": config.kafka.group_id,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
        with accepted_settings():
            self._reader = ck.Consumer(
                {**settings, "isolation.level": "read_committed"}, logger=QuietLog()
            )
            self._ends = ck.Consumer(
                {**settings, "isolation.level": "read_uncommitted"}, logger=QuietLog()
            )

    def given(self, plan: Plan) -> Given:
        """Ask the broker."""
        try:
            return Given(
                self._committed(plan),
                {partition: self._marks(partition) for partition in plan.partitions},
                self.stores,
                self._reader.consumer_group_metadata(),
            )
        except KafkaException as exception:
            raise BrokerError(
                f"the group's offsets cannot be read: {exception.args[0].str()}"
            ) from None

    def _committed(self, plan: Plan) -> Mapping[TopicPartition, Committed]:
        asked = [ck.TopicPartition(*partition) for partition in plan.partitions]
        found = self._reader.committed(asked, ANSWER_SECONDS)
        for at in found:
            if at.error is not None:
                raise KafkaException(at.error)
        return {
            TopicPartition(at.topic, at.partition): Committed(at.offset)
            for at in found
            if at.offset >= 0
        }

    def _marks(self, partition: TopicPartition) -> Watermarks:
        low, high = self._ends.get_watermark_offsets(ck.TopicPartition(*partition), ANSWER_SECONDS)
        return Watermarks(int(low), int(high))

    def stores(self, partition: TopicPartition, start: int, end: int) -> Stores:
        """Yield the stores of events, with their offsets."""
        self._reader.assign([ck.TopicPartition(*partition, start)])
        try:
            yield from self._stores(partition, start, end)
        finally:
            self._reader.unassign()

    def _stores(self, partition: TopicPartition, position: int, end: int) -> Stores:
        deadline = time.monotonic() + PROGRESS_SECONDS_MAX
        while position < end:
            for message in self._reader.consume(POLL_MESSAGES, POLL_SECONDS):
                offset, error = message.offset(), message.error()
                assert offset is not None
                if error is None:
                    yield offset, _store(message.value())
                    position = offset + 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    position = max(position, offset)
                else:
                    raise BrokerError(f"unread events cannot be read: {error.str()}")
                deadline = time.monotonic() + PROGRESS_SECONDS_MAX
            if time.monotonic() > deadline:
                raise MigrationError(
                    f"{partition.topic}-{partition.partition}: unread events up to {end} cannot "
                    f"be read beyond {position}: a producer's transaction is open"
                )

    def close(self) -> None:
        """Leave."""
        self._reader.close()
        self._ends.close()


def _store(payload: bytes | None) -> str | None:
    try:
        return _named.decode(payload or b"").store_id
    except msgspec.MsgspecError:
        return None  # what is no event is rejected wherever it stands


_named = msgspec.json.Decoder(_Named)


def lines(migrated: Migrated, config: Config) -> Iterator[str]:
    """Yield what was done, for people."""
    yield (
        f"{migrated.groups} groups with {migrated.ids} ids are in topic {config.topics.state!r}; "
        f"{migrated.moved} of them are in another partition than before"
    )
    yield f"their next records are of epoch {migrated.epoch}"
    if migrated.unread:
        yield f"{migrated.unread} events of the old partitions are still to be read"
