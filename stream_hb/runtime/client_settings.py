"""Settings of the user that librdkafka does not take."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stream_hb.errors import ConfigError
from stream_hb.runtime.librdkafka_log import QuietLog


@contextmanager
def accepted_settings() -> Iterator[None]:
    """Turn a client's refusal to be made into an error of the configuration.

    >>> from confluent_kafka import Producer
    >>> with accepted_settings():
    ...     Producer({"nonsense": 1})
    Traceback (most recent call last):
    stream_hb.errors.ConfigError: kafka.client: No such configuration property: "nonsense"
    """
    try:
        yield
    except KafkaException as exception:
        # from None: the settings that came along may hold secrets
        raise ConfigError("kafka.client", [exception.args[0].str().strip()]) from None


def refuse_wrong_settings(client: Mapping[str, str]) -> None:
    """Raise for what librdkafka knows to be wrong before it asks a broker.

    >>> refuse_wrong_settings({"security.protocol": "PLAINTEXT"})
    >>> refuse_wrong_settings({"sasl.pasword": "hunter2"})
    Traceback (most recent call last):
    stream_hb.errors.ConfigError: kafka.client: No such configuration property: "sasl.pasword"
    """
    with accepted_settings():
        AdminClient(dict(client), logger=QuietLog())  # without an address it connects to nothing
