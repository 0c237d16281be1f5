"""What a configuration names and others must take: files, river, librdkafka's settings."""

from collections.abc import Callable, Iterator

from stream_hb.config import Config
from stream_hb.errors import ConfigError, StreamHBError
from stream_hb.feeds.drift.opinions import need_river
from stream_hb.runtime.client_settings import refuse_wrong_settings
from stream_hb.runtime.rates_file import money_rules
from stream_hb.runtime.sending import http_post
from stream_hb.runtime.stores_file import known_stores

_PARTS: dict[str, Callable[[Config], object]] = {
    "stores.path": known_stores,
    "money.rates_path": money_rules,
    "kafka.client": lambda config: refuse_wrong_settings(config.kafka.revealed_client()),
    "drift.opinions": lambda config: need_river(config.drift.opinions),
    "alert_sender": lambda config: config.alert_sender.url and http_post(config.alert_sender),
}
"""What reads each of them; nothing here asks a broker or a server."""


def part_problems(config: Config) -> list[str]:
    """Return everything that a command would find wrong later, each under its key.

    >>> part_problems(Config())
    []
    >>> part_problems(Config(stores={"path": "/none/stores.csv"}))
    ['stores.path: /none/stores.csv: cannot be read: No such file or directory']
    """
    return [problem for key in _PARTS for problem in _problems(key, config)]


def _problems(key: str, config: Config) -> Iterator[str]:
    try:
        _PARTS[key](config)
    except ConfigError as error:
        yield from (f"{error.source}: {problem}" for problem in error.problems)
    except StreamHBError as error:
        said = str(error)
        yield said if said.startswith(key) else f"{key}: {said}"
