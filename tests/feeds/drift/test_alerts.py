"""Every kind of record against the schema and against what Alertmanager takes."""

import json
import re
from datetime import datetime
from importlib.resources import files

import jsonschema
import numpy as np
import pytest

from stream_hb.feeds.drift.alerts import AlertRecord, out_record
from stream_hb.feeds.drift.feed import Step
from stream_hb.statistics.columns import Floats
from tests.feeds.drift.chains import (
    FIRST_DAY,
    STORES,
    fed,
    one_at,
    quick,
    records,
    steady,
    tick,
    ticks,
)

SCHEMA = json.loads((files("stream_hb") / "schemas" / "alert_v1.json").read_text())
LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
DAY_MS = 86_400_000
SETTINGS = quick(opinions=("adwin", "page_hinkley"), level_margin=0.25)


def drifted() -> list[Step]:
    """Return a chain with a drift, a store far off, a silent one, and a shift of the chain."""

    def shares(day: int) -> Floats:
        out = one_at(0.09, 40)(day)
        if day >= 80:
            out[10:18] = 0.1
        return out

    def visits(day: int) -> Floats:
        return np.where((np.arange(STORES) == 5) & (day >= 60), 0.0, 1_000.0)

    given = (tick(day, visits(day), visits(day) * shares(day)) for day in range(110))
    return list(fed(given, settings=SETTINGS))


DONE = drifted()
ALL = records(DONE)


def parsed(record: AlertRecord) -> dict[str, object]:
    value = out_record(record).value
    assert value is not None
    return dict(json.loads(value))


@pytest.mark.parametrize("name", ["StoreDrift", "StoreLevel", "StoreSilent", "ChainShift"])
def test_every_kind_of_record_keeps_the_schema(name: str) -> None:
    told = records(DONE, name)
    assert told
    checker = jsonschema.Draft202012Validator(SCHEMA)
    for record in told:
        checker.validate(parsed(record))
        assert datetime.fromisoformat(record.startsAt) <= datetime.fromisoformat(record.updatedAt)


def test_labels_and_annotations_are_what_alertmanager_takes() -> None:
    for record in ALL:
        for name, value in record.labels.items():
            assert LABEL_NAME.match(name)
            assert value
        assert set(record.annotations) == {"summary", "description"}


def test_the_key_is_the_fingerprint_and_names_one_set_of_labels() -> None:
    named: dict[str, dict[str, str]] = {}
    for record in ALL:
        assert out_record(record).key == record.fingerprint.encode()
        assert named.setdefault(record.fingerprint, dict(record.labels)) == record.labels
    assert len({str(labels) for labels in named.values()}) == len(named)


def test_the_records_of_a_fingerprint_are_numbered_without_a_gap() -> None:
    last: dict[str, int] = {}
    for record in ALL:
        assert record.version.seq == last.get(record.fingerprint, 0) + 1
        last[record.fingerprint] = record.version.seq


def test_a_drift_is_dated_measured_and_says_its_evidence() -> None:
    first = records(DONE, "StoreDrift")[0]
    assert first.labels == {
        "alertname": "StoreDrift",
        "chain_id": "north",
        "store_id": "s0",
        "metric": "conversion",
        "direction": "up",
    }
    evidence = first.evidence
    assert evidence.change_time_estimate_ms == (FIRST_DAY + 40) * DAY_MS
    assert evidence.statistic >= evidence.threshold
    truth = np.log(0.09 / 0.91) - np.log(0.05 / 0.95)
    assert isinstance(evidence.effect_interval, tuple)
    assert evidence.effect_interval[0] < truth < evidence.effect_interval[1]
    assert evidence.hyper_version == 3
    assert "+" in first.annotations["summary"]


def test_the_estimated_time_of_a_change_stays_what_it_was_first_told_to_be() -> None:
    told = [one.evidence.change_time_estimate_ms for one in records(DONE, "StoreDrift")]
    assert len(set(told[:20])) == 1


def test_a_shift_beyond_twice_the_margin_is_critical() -> None:
    small = list(fed(ticks(one_at(0.065, 40), 80), settings=quick()))
    large = list(fed(ticks(one_at(0.15, 40), 80), settings=quick()))
    assert {one.severity for one in records(small, "StoreDrift")} == {"warning"}
    assert records(large, "StoreDrift")[-1].severity == "critical"


def test_second_opinions_are_in_the_evidence_when_they_are_asked_for() -> None:
    opinions = records(DONE, "StoreDrift")[-1].evidence.second_opinions
    assert set(opinions) == {"adwin", "page_hinkley"}  # type: ignore[arg-type]
    assert opinions["page_hinkley"].drift  # type: ignore[index]
    without = list(fed(ticks(one_at(0.09, 40), 60), settings=quick()))
    assert "second_opinions" not in json.dumps(parsed(records(without, "StoreDrift")[0]))


def test_a_chain_in_which_nothing_happens_has_no_records() -> None:
    assert records(list(fed(ticks(steady, 120), settings=quick()))) == []
