"""From a configuration to a sender of alerts."""

import random
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from stream_hb.config import Config
from stream_hb.config_sender import AlertSender as Settings
from stream_hb.errors import UsageError
from stream_hb.runtime.alert_posts import Alertmanager, Receiver, Webhook
from stream_hb.runtime.alert_sender import AlertSender
from stream_hb.runtime.alert_topic import AlertTopic
from stream_hb.runtime.backoff import Backoff
from stream_hb.runtime.http_post import HttpPost

ALERTMANAGER_PATH = "/api/v2/alerts"

log = structlog.get_logger("stream_hb.alerts")


@contextmanager
def sending(config: Config) -> Iterator[AlertSender]:
    """Yield the sender that a configuration describes.

    Raises
    ------
    UsageError
        It describes none, or one of its files cannot be read.
    """
    settings, kafka = config.alert_sender, config.kafka
    post = http_post(settings)
    group_id = settings.group_id or f"{kafka.group_id}-alert-sender"
    topic = AlertTopic(
        kafka.bootstrap_servers, config.topics.alerts, group_id, kafka.revealed_client()
    )
    try:
        backoff = Backoff(settings.backoff_seconds, settings.backoff_seconds_max, random.random)
        sender = AlertSender(
            topic,
            receiver_of(settings),
            post,
            backoff,
            time.monotonic,
            lambda: time.time_ns() // 1_000_000,
            settings.resend_seconds,
        )
        log.info("sends alerts", to=post.where, kind=settings.kind, group=group_id)
        yield sender
    finally:
        topic.close()


def receiver_of(settings: Settings) -> Receiver:
    """Return what makes the requests."""
    if settings.kind == "webhook":
        return Webhook()
    return Alertmanager(round(settings.resend_seconds * 1000), settings.source_url)


def http_post(settings: Settings) -> HttpPost:
    """Return what makes them over HTTP.

    Raises
    ------
    UsageError
        There is no address, or a file cannot be read.
    """
    if settings.url is None:
        raise UsageError("nobody is told of alerts: alert_sender.url is null")
    url = settings.url.get_secret_value()
    if settings.kind == "alertmanager" and not urlsplit(url).path.endswith(ALERTMANAGER_PATH):
        url = url.rstrip("/") + ALERTMANAGER_PATH
    headers = _authorization(settings)
    try:
        return HttpPost(url, settings.timeout_seconds, headers, settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"alert_sender.ca_file: {settings.ca_file}: {error}") from error


def _authorization(settings: Settings) -> dict[str, str]:
    value = settings.authorization.get_secret_value() if settings.authorization else ""
    if settings.authorization_file is not None:
        try:
            value = Path(settings.authorization_file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            name = settings.authorization_file
            raise UsageError(f"alert_sender.authorization_file: {name}: {reason}") from error
    if not value.isprintable() or not value.isascii():
        raise UsageError("alert_sender.authorization: should be one line of ASCII")
    return {"Authorization": value} if value else {}
