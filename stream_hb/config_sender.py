"""The configuration's section of who is told of alerts over HTTP."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator

from stream_hb.config_feeds import Positive
from stream_hb.config_metrics import Section


def _http(url: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(url.get_secret_value())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("should be http://HOST[:PORT][/PATH] or https://…")
    if parts.username is not None:
        raise ValueError("holds a name or password: they belong into authorization")
    return url


Url = Annotated[SecretStr, AfterValidator(_http)]


class AlertSender(Section):
    """Where ``stream-hb send-alerts`` sends alerts; no worker needs it."""

    kind: Literal["alertmanager", "webhook"] = "alertmanager"
    """``alertmanager``: its API, version 2; open alerts are sent again before it takes them for
    over. ``webhook``: every state of every alert in a request of its own, as it is on the topic."""

    url: Url | None = None
    """Where to: Alertmanager's address (``/api/v2/alerts`` is appended), or the webhook's. Never
    printed, since the addresses of webhooks are often secrets. null: nobody is told."""

    authorization: SecretStr | None = None
    """The ``Authorization`` header, for example ``Bearer …``; never printed."""

    authorization_file: str | None = None
    """A file with that header, in place of it. Relative paths: beside the configuration."""

    ca_file: str | None = None
    """Certificates to trust, in place of the system's. Relative paths: beside the configuration."""

    group_id: Annotated[str, StringConstraints(min_length=1)] | None = None
    """The consumer group whose offsets say what was sent; null: ``kafka.group_id`` and
    ``-alert-sender``. One sender at a time may use it."""

    timeout_seconds: Positive = 10.0
    """Longest time for a request, from the connection to the end of the answer."""

    resend_seconds: Positive = 60.0
    """Alertmanager is told of every open alert at least so often; what it does not hear for four
    times as long it takes for over."""

    backoff_seconds: Positive = 1.0
    """Pause after a request that failed; twice as long after every further one, less a random part
    of up to a half ..."""

    backoff_seconds_max: Positive = 300.0
    """... and no longer than this, unless the server asks for more (``Retry-After``, an hour)."""

    source_url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """Link in Alertmanager's messages (``generatorURL``); null: none."""

    @model_validator(mode="after")
    def _one_authorization(self) -> Self:
        if self.authorization is not None and self.authorization_file is not None:
            raise ValueError("authorization and authorization_file: one of the two")
        return self
