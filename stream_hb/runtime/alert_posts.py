"""What receivers of alerts are told: requests, made of alert records."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from stream_hb.feeds.drift.alerts import date_time

Record = Mapping[str, Any]

BATCH = 64
"""Most alerts of a request to Alertmanager, as Prometheus has it."""

LIFETIMES = 4
"""An open alert is over for Alertmanager when it was not told of it so many times."""

OPEN = ("firing", "recovering")


@dataclass(frozen=True, slots=True)
class State:
    """A state of an alert, and where it stands on the topic.

    Attributes
    ----------
    partition, offset
        Where.
    key
        The alert's fingerprint.
    value
        The record as it is written.
    record
        The same, read; None: the alert is deleted.
    """

    partition: int
    offset: int
    key: bytes
    value: bytes
    record: Record | None

    @property
    def version(self) -> tuple[int, int]:
        """What grows from state to state of an alert."""
        version = (self.record or {}).get("version", {})
        return version.get("epoch", 0), version.get("seq", 0)


@dataclass(frozen=True, slots=True)
class Post:
    """A request: its body and headers, and how many states it tells of (the first ones)."""

    states: int
    body: bytes | None
    headers: Mapping[str, str] = field(default_factory=dict)


class Receiver(Protocol):
    """Makes requests."""

    def post(self, states: Sequence[State], known: Mapping[bytes, State], now_ms: int) -> Post:
        """Return the request that tells of the first states; without a body there is no need.

        Parameters
        ----------
        states
            What is to be told, at least one.
        known
            What was told last of every alert.
        now_ms
            The time of day.
        """
        ...

    def refresh(self, known: Mapping[bytes, State], now_ms: int) -> list[Post]:
        """Return requests that tell again of all that is open."""
        ...


class Webhook:
    """Every state in a request of its own, as it is on the topic.

    The header ``Idempotency-Key`` names the state: a receiver that was told of it, and whose answer
    was lost, knows it again.
    """

    def post(self, states: Sequence[State], _known: Mapping[bytes, State], _now_ms: int) -> Post:
        """See :class:`Receiver`."""
        first = states[0]
        if first.record is None:
            return Post(1, None)
        epoch, seq = first.version
        name = f"{first.key.decode()}-{epoch}-{seq}"
        return Post(1, first.value, {"Idempotency-Key": name})

    def refresh(self, _known: Mapping[bytes, State], _now_ms: int) -> list[Post]:
        """Return nothing: who was told remembers."""
        return []


class Alertmanager:
    """Lists for Alertmanager's ``POST /api/v2/alerts``, as Prometheus sends them.

    An alert is its labels there: to send it again changes nothing but its end. It is told with an
    end some minutes from now and again before that, since Alertmanager takes for over what it does
    not hear of. What is pending is not told. The severity becomes a label, because messages are
    routed by labels; where it changes, the alert under the old one is ended in the same request.

    Parameters
    ----------
    resend_ms
        Time between two tellings of an open alert.
    source_url
        ``generatorURL``; None: none.
    """

    def __init__(self, resend_ms: int, source_url: str | None = None) -> None:
        self._lifetime_ms = LIFETIMES * resend_ms
        self._source = {} if source_url is None else {"generatorURL": source_url}

    def post(self, states: Sequence[State], known: Mapping[bytes, State], now_ms: int) -> Post:
        """See :class:`Receiver`."""
        chosen = _one_an_alert(states[:BATCH])
        alerts = [alert for state in chosen for alert in self._told(state, known, now_ms)]
        return Post(len(chosen), msgspec.json.encode(alerts) if alerts else None)

    def refresh(self, known: Mapping[bytes, State], now_ms: int) -> list[Post]:
        """See :class:`Receiver`."""
        records = (state.record for state in known.values())
        alerts = [self._open(r, now_ms) for r in records if r and r["status"] in OPEN]
        parts = (alerts[at : at + BATCH] for at in range(0, len(alerts), BATCH))
        return [Post(0, msgspec.json.encode(part)) for part in parts]

    def _told(self, state: State, known: Mapping[bytes, State], now_ms: int) -> list[Record]:
        record = state.record
        before = known[state.key].record if state.key in known else None
        was_open = before is not None and before["status"] in OPEN
        if record is None:
            return []
        if record["status"] in OPEN:
            renamed = was_open and before and before["severity"] != record["severity"]
            ended = [self._alert(before, record["updatedAt"])] if renamed and before else []
            return [*ended, self._open(record, now_ms)]
        if record["status"] == "resolved" and (before is None or was_open):
            return [self._alert(record, record["endsAt"], before or record)]
        return []

    def _open(self, record: Record, now_ms: int) -> Record:
        return self._alert(record, date_time(now_ms + self._lifetime_ms))

    def _alert(self, record: Record, ends_at: str, named: Record | None = None) -> Record:
        severity = (named or record)["severity"]
        return {
            "labels": {**record["labels"], "severity": severity},
            "annotations": record["annotations"],
            "startsAt": record["startsAt"],
            "endsAt": ends_at,
            **self._source,
        }


def _one_an_alert(states: Iterable[State]) -> list[State]:
    """Return the first states, up to the second one of any alert."""
    chosen: dict[bytes, State] = {}
    for state in states:
        if state.key in chosen:
            break
        chosen[state.key] = state
    return list(chosen.values())
