"""The bundled click log as events: a real week of 160 small groups in three chains.

Items are the stores, impressions the visits, clicks the purchases (of amount 0), campaigns the
chains; the policy travels as ``experiment.arm``. Open Bandit Dataset, CC BY 4.0: see
``stream_hb/data/README.md``.
"""

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

import msgspec

from stream_hb.events.calendar import HOUR_MS
from stream_hb.feeds.experiments.declaration import DeclaredArm, Experiment

EXPERIMENT = "obd-policy"
FIRST_MS = 1_574_553_600_000
"""The midnight before the first impression."""


@dataclass(frozen=True, slots=True)
class Impression:
    """One item shown to one visitor."""

    event_time_ms: int
    campaign: str
    policy: str
    item: str
    click: bool


@dataclass(frozen=True, slots=True)
class SampleEvent:
    """One event of the log, ready for a topic."""

    store_id: str
    event_type: str
    payload: bytes


def impressions() -> list[Impression]:
    """Read the bundled log, in order of time."""
    packed = resources.files("stream_hb").joinpath("data/open_bandit.csv.gz").read_bytes()
    reader = csv.reader(io.StringIO(gzip.decompress(packed).decode()))
    next(reader)
    return [
        Impression(int(time), campaign, policy, item, click == "1")
        for time, campaign, policy, item, click in reader
    ]


def events(log: Sequence[Impression]) -> Iterator[SampleEvent]:
    """Turn impressions into visits, each click into a purchase right after its visit."""
    for number, impression in enumerate(log):
        common = {
            "schema_version": 1,
            "event_time_ms": impression.event_time_ms,
            "store_id": f"item-{impression.item}",
            "chain_id": impression.campaign,
            "visit_id": f"v{number}",
            "experiment": {"experiment_id": EXPERIMENT, "arm": impression.policy},
        }
        yield _event("visit", f"visit-{number:06}", common)
        if impression.click:
            order = {"order_id": f"o{number}", "amount_minor": 0, "currency": "JPY"}
            yield _event("purchase", f"order-{number:06}", common | order)


def policies_experiment() -> Experiment:
    """Return the log's two policies as the arms of an experiment; a click comes at once."""
    arms = DeclaredArm("random", 0.5), DeclaredArm("bts", 0.5)
    return Experiment(EXPERIMENT, arms, "random", FIRST_MS, attribution_window_ms=HOUR_MS)


def _event(event_type: str, event_id: str, fields: dict[str, object]) -> SampleEvent:
    payload = msgspec.json.encode({"event_type": event_type, "event_id": event_id, **fields})
    return SampleEvent(str(fields["store_id"]), event_type, payload)
