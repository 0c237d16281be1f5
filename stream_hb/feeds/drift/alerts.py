"""Alert records (``schemas/alert_v1.json``), labelled as Prometheus' Alertmanager takes them."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from stream_hb.feeds.estimate_record import Version
from stream_hb.feeds.estimates import OutRecord

SCHEMA_VERSION = 1
TIME_MS_MIN = 946_684_800_000
TIME_MS_MAX = 4_102_444_800_000


class Alert(NamedTuple):
    """One kind of alert in one direction.

    Attributes
    ----------
    name
        Alertmanager's ``alertname``.
    direction
        ``up``, ``down``, or empty.
    detector
        Its name in the evidence.
    of_chain
        It is about the chain as a whole.
    """

    name: str
    direction: str
    detector: str
    of_chain: bool = False


DRIFT_UP = Alert("StoreDrift", "up", "change")
DRIFT_DOWN = Alert("StoreDrift", "down", "change")
LEVEL_UP = Alert("StoreLevel", "up", "level")
LEVEL_DOWN = Alert("StoreLevel", "down", "level")
SILENT = Alert("StoreSilent", "", "silent")
SHIFT_UP = Alert("ChainShift", "up", "chain_shift", of_chain=True)
SHIFT_DOWN = Alert("ChainShift", "down", "chain_shift", of_chain=True)

ALERTS = (DRIFT_UP, DRIFT_DOWN, LEVEL_UP, LEVEL_DOWN, SILENT, SHIFT_UP, SHIFT_DOWN)


class Opinion(msgspec.Struct, frozen=True, omit_defaults=True):
    """What another detector says of the same innovations."""

    drift: bool
    at_tick: int | None = None


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Why the alert stands as it does; link scale where nothing else is said."""

    detector: str
    statistic: float
    threshold: float
    log_evalue: float | UnsetType = UNSET
    prob_beyond_delta: float | UnsetType = UNSET
    lfsr: float | UnsetType = UNSET
    bfdr: float | UnsetType = UNSET
    delta: float | UnsetType = UNSET
    effect: float | UnsetType = UNSET
    effect_interval: tuple[float, float] | UnsetType = UNSET
    chain_mean: float | UnsetType = UNSET
    store_mean: float | UnsetType = UNSET
    n_eff: float | UnsetType = UNSET
    baseline_window: tuple[int, int] | UnsetType = UNSET
    change_time_estimate_ms: int | UnsetType = UNSET
    peers_firing: int | UnsetType = UNSET
    hyper_version: int | UnsetType = UNSET
    offsets: Mapping[str, int] | UnsetType = UNSET
    second_opinions: Mapping[str, Opinion] | UnsetType = UNSET


class AlertRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one fingerprint's episode."""

    schema_version: int
    fingerprint: str
    episode_id: str
    status: str
    severity: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    startsAt: str  # noqa: N815 - Alertmanager's name
    endsAt: str | None  # noqa: N815
    updatedAt: str  # noqa: N815
    version: Version
    evidence: Evidence


def labels(alert: Alert, chain_id: str, store_id: str | None, metric: str) -> dict[str, str]:
    """Return the labels that name an alert; a store's only where it is about a store."""
    named = {"alertname": alert.name, "chain_id": chain_id, "metric": metric}
    if store_id is not None:
        named["store_id"] = store_id
    if alert.direction:
        named["direction"] = alert.direction
    return named


def fingerprint(named: Mapping[str, str]) -> str:
    """Return 16 hex digits of the labels: the record's key, so that compaction keeps its last.

    >>> one = fingerprint({"alertname": "StoreDrift", "store_id": "7"})
    >>> one == fingerprint({"store_id": "7", "alertname": "StoreDrift"}), len(one)
    (True, 16)
    """
    text = json.dumps(dict(named), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def date_time(time_ms: int) -> str:
    """Return a time as RFC 3339 has it.

    >>> date_time(1_730_000_000_123)
    '2024-10-27T03:33:20.123Z'
    """
    inside = min(max(time_ms, TIME_MS_MIN), TIME_MS_MAX)
    seconds, ms = divmod(inside, 1_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


def out_record(record: AlertRecord) -> OutRecord:
    """Return what is written to the alerts' topic."""
    return OutRecord(record.fingerprint.encode(), _encoder.encode(record))


_encoder = msgspec.json.Encoder(order="deterministic")
