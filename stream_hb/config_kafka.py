"""The configuration's sections of the broker: how it is reached, and its topics."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from stream_hb.config_metrics import Section

# Certificates and keys given by their path are no secrets; everything else that smells of one is.
_SECRET = re.compile(r"password|secret|token|jaas|oauthbearer\.config|key(?!.*\.location$)")

_COMMITS = "the worker commits what it has delivered, by itself"
_MEETS = "a store's visits and purchases must meet in one worker"
_WRITTEN = "records must be written by all replicas, once and in order"

# What the guarantees hang on; speed and security are the user's. Names that are another's alias
# stand for themselves: librdkafka lets the one that comes last hold.
_OWNED_BY_US = {
    "bootstrap.servers": "set kafka.bootstrap_servers instead",
    "metadata.broker.list": "set kafka.bootstrap_servers instead",
    "group.id": "set kafka.group_id instead",
    "group.instance.id": "it is the worker's slot (--slot); without it a zombie is not fenced",
    "transactional.id": "it is the worker's slot (--slot); another would fence nobody",
    "enable.auto.commit": _COMMITS,
    "enable.auto.offset.store": _COMMITS,
    "partition.assignment.strategy": _MEETS,
    "group.protocol": _MEETS,
    "isolation.level": "what a transaction that was aborted has written must never be read",
    "auto.offset.reset": "events that are gone are told of, not skipped; --accept-loss goes on",
    "enable.partition.eof": "the worker must know when it has read what there is",
    "enable.idempotence": _WRITTEN,
    "acks": _WRITTEN,
    "request.required.acks": _WRITTEN,
    "partitioner": "all records of a key must be in one partition, the newest of them last",
}


def is_secret(name: str) -> bool:
    """Tell whether a client setting of this name is never to be shown.

    >>> is_secret("sasl.password"), is_secret("ssl.key.pem"), is_secret("ssl.key.location")
    (True, True, False)
    """
    return _SECRET.search(name.lower()) is not None


def _client_settings(raw: Any) -> Any:
    """Turn a mapping into pairs of texts, as librdkafka takes them, the secret ones wrapped."""
    if isinstance(raw, Mapping):
        return tuple((str(name), _client_value(str(name), value)) for name, value in raw.items())
    if raw is None or isinstance(raw, tuple):
        return raw or ()
    raise ValueError("should be a mapping of librdkafka's settings")


def _client_value(name: str, value: Any) -> str | SecretStr:
    if name in _OWNED_BY_US:
        raise ValueError(f"{name!r} cannot be set here: {_OWNED_BY_US[name]}")
    if isinstance(value, SecretStr):
        return value
    if not isinstance(value, str | bool | int | float):
        raise ValueError(f"{name!r} should be a text, a number, true or false")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return SecretStr(text) if is_secret(name) else text


def _masked(settings: Sequence[tuple[str, str | SecretStr]]) -> dict[str, str]:
    return {name: str(value) for name, value in settings}


def _servers(text: str) -> str:
    for server in text.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"should be host:port[,host:port…]; {server.strip()!r} is not")
    return text


# Pairs, not a dict: like everything in a configuration they cannot be changed.
ClientSettings = Annotated[
    tuple[tuple[str, str | SecretStr], ...],
    BeforeValidator(_client_settings),
    PlainSerializer(_masked),
    WithJsonSchema(
        {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
    ),
]
Servers = Annotated[str, AfterValidator(_servers)]
TopicName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,249}$")]


class Kafka(Section):
    """How the broker is reached."""

    bootstrap_servers: Servers = "127.0.0.1:9092"
    """The brokers to ask first: host:port, several with commas."""

    group_id: Annotated[str, StringConstraints(min_length=1)] = "stream-hb"
    """The consumer group: workers with the same one share the partitions."""

    client: ClientSettings = ()
    """Any librdkafka setting, for example ``security.protocol``. ``_`` may stand for ``.``, so that
    the environment can set one; ``NAME_file`` reads the value from a file (relative paths: beside
    the configuration). Passwords, keys and tokens are never printed."""

    def revealed_client(self) -> dict[str, str]:
        """Return the client's settings with their secrets in the clear: for the client only."""
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in self.client
        }


class Topics(Section):
    """Where events come from and where records go."""

    inputs: tuple[TopicName, ...] = ("visits", "purchases")
    """Topics of events, all with the same number of partitions; or one that mixes them."""

    estimates: TopicName = "estimates"
    """Estimates go here: one record per store, arm and metric whenever it has changed enough."""

    rejects: TopicName = "rejects"
    """Events that cannot be used go here, with the reason and the original bytes."""

    state: TopicName = "state"
    """The workers' state goes here, as a log: with ``delivery: exactly_once`` a worker that takes
    a partition over restores it from here. Every consumer group has a topic of its own."""

    summaries: TopicName = "summaries"
    """Workers tell each other here what their shards have of the pools (``exactly_once``)."""

    hyper: TopicName = "hyper"
    """The hyperparameters that hold, for all workers of the group (``exactly_once``); one
    partition."""

    refits: TopicName | None = None
    """What every refit found goes here, one record per pool; null: it is only logged."""

    alerts: TopicName = "alerts"
    """Alerts go here (``drift.enabled``): of every alert the newest state."""

    control: TopicName = "control"
    """What operators say of alerts comes from here (``drift.enabled``), with as many partitions as
    the inputs: ``stream-hb accept`` writes to it, and workers read it as one of them."""

    calibration: TopicName = "calibration"
    """How the intervals have kept their word goes here (``calibration.enabled``): of every pool and
    metric the newest scores."""

    experiments: TopicName = "experiments"
    """What experiments have come to goes here (``experiments.declared``): of every chain, and of
    every store and metric, the newest."""

    partitioner: Literal["none", "murmur2", "consistent"] = "none"
    """Check that each store came in the partition its key belongs to: ``murmur2`` (Java clients),
    ``consistent`` (librdkafka's crc32), or ``none``: no check."""

    @model_validator(mode="after")
    def _topics_are_named_once(self) -> Self:
        if not self.inputs:
            raise ValueError("inputs should name at least one topic")
        refits = [self.refits] if self.refits else []
        feeds = (self.alerts, self.control, self.calibration, self.experiments)
        shared = (self.state, self.summaries, self.hyper, *feeds)
        names = (*self.inputs, self.estimates, self.rejects, *shared, *refits)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"each topic has one use, but {', '.join(twice)} has two")
        return self
