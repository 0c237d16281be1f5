"""Settings of the user that librdkafka does not take."""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaException

from stream_hb.errors import ConfigError


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
        raise ConfigError("kafka.client", [exception.args[0].str()]) from None
