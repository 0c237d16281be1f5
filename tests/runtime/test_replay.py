"""Replay: the same input gives the same bytes, whatever files it comes in."""

import gzip
import io
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from stream_hb.engine import Engine
from stream_hb.errors import UsageError
from stream_hb.runtime import replay as replay_module
from stream_hb.runtime.at_least_once import AtLeastOnce
from stream_hb.runtime.delivery import Route
from stream_hb.runtime.replay import ReplaySummary, replay_files
from stream_hb.runtime.worker import Worker
from stream_hb.settings import EmissionRule, EngineSettings
from stream_hb.stores import NEVER_MS, Stores
from tests.support.fake_client import FakeBroker, FakeInput, FakeOutput
from tests.support.logs import SECOND_MS, START_MS, purchase, shop_log, visit
from tests.support.records import (
    Record,
    assert_same_estimates,
    assert_without_gaps,
    checked_record,
    checked_refit,
    checked_reject,
    name_of,
    newest,
)

HOUR_MS = 3_600_000
SETTINGS = EngineSettings(
    refit_every_ms=HOUR_MS, refit_min_change=0.0, emission=EmissionRule(heartbeat_ms=None)
)
BAD = b'{"event_type": "visit"}'


class Folder:
    """Files of events, and what a replay of them writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.output = path / "out"

    def file(self, name: str, payloads: list[bytes], end: bytes = b"\n") -> str:
        data = b"".join(payload + end for payload in payloads)
        target = self.path / name
        target.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return str(target)

    def replay(self, *paths: str, **settings: Any) -> ReplaySummary:
        engine = Engine(EngineSettings(**settings) if settings else SETTINGS)
        return replay_files(engine, paths, self.output)

    @property
    def bytes_written(self) -> tuple[bytes, bytes, bytes]:
        names = ("estimates.ndjson", "rejects.ndjson", "refits.ndjson")
        estimates, rejects, refits = ((self.output / name).read_bytes() for name in names)
        return estimates, rejects, refits

    @property
    def records(self) -> list[Record]:
        return [checked_record(line) for line in self.bytes_written[0].splitlines()]

    @property
    def refits(self) -> list[Record]:
        return [checked_refit(line) for line in self.bytes_written[2].splitlines()]

    @property
    def tombstones(self) -> list[Record]:
        lines = (self.output / "tombstones.ndjson").read_bytes().splitlines()
        return [json.loads(line) for line in lines]

    @property
    def rejects(self) -> list[Record]:
        return [checked_reject(line) for line in self.bytes_written[1].splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def visits_and_purchases(log: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    visits = [payload for payload in log if b'"visit",' in payload]
    return visits, [payload for payload in log if payload not in visits]


def without_sources(records: list[Record]) -> list[Record]:
    """Leave out what tells of the files: how far each was read, and the slowest one's time."""
    left_out = ("offsets", "watermark_ms", "staleness_ms")
    return [{k: v for k, v in record.items() if k not in left_out} for record in records]


def test_the_same_input_gives_the_same_bytes(folder: Folder) -> None:
    path = folder.file("a.ndjson", [*shop_log(), BAD])
    folder.replay(path)
    first = folder.bytes_written
    folder.replay(path)
    assert folder.bytes_written == first
    assert all(first)


def test_everything_received_is_used_or_rejected(folder: Folder) -> None:
    log = shop_log()
    summary = folder.replay(folder.file("a.ndjson", [*log, BAD, b"{", visit()]))
    assert (summary.received, summary.accepted) == (len(log) + 3, len(log) + 1)
    assert summary.rejected == Counter(missing_field=1, not_json=1)
    assert [(r["topic"], r["offset"], r["reason"]) for r in folder.rejects] == [
        ("a.ndjson", len(log), "missing_field"),
        ("a.ndjson", len(log) + 1, "not_json"),
    ]
    assert (summary.groups, summary.records) == (9, len(folder.records))


def test_every_key_has_a_last_record_under_the_last_refit(folder: Folder) -> None:
    summary = folder.replay(folder.file("a.ndjson", shop_log(visits=800)))
    records = folder.records
    assert_without_gaps(records)
    last = newest(records)
    assert len(last) == 8 * 3
    assert {record["hyper"]["version"] for record in last.values()} == {summary.refits}
    assert {record["as_of_ms"] for record in last.values()} == {START_MS + (6400 - 1) * SECOND_MS}


def test_refits_stand_at_whole_hours_of_event_time(folder: Folder) -> None:
    folder.replay(folder.file("a.ndjson", shop_log(visits=2000)))
    fitted_at = {record["hyper"]["fitted_at_ms"] for record in folder.records}
    end_ms = START_MS + (16_000 - 1) * SECOND_MS
    hours = {at for at in range(START_MS, end_ms) if at % HOUR_MS == 0}
    assert len(hours) == 4
    assert fitted_at == hours | {end_ms}


def test_every_refit_of_a_pool_has_its_record(folder: Folder) -> None:
    summary = folder.replay(folder.file("a.ndjson", shop_log(visits=2000)))
    refits = folder.refits
    metrics = Counter(record["pool"]["metric"] for record in refits)
    assert metrics.keys() == {"conversion", "order_rate", "log_order_value"}
    assert set(metrics.values()) == {summary.refits}
    used = {(r["metric"], r["hyper"]["version"]): r["hyper"] for r in folder.records}
    for record in refits:
        hyper = used[record["pool"]["metric"], record["version"]]
        values = {name: found["value"] for name, found in record["hyperparameters"].items()}
        assert (hyper["fitted_at_ms"], hyper["params"]) == (record["as_of_ms"], values)
        assert (record["groups"], record["checks"]["groups"]) == (8, 8)


def test_a_retired_store_is_deleted_when_event_time_gets_there(folder: Folder) -> None:
    retired_ms = np.array([START_MS + HOUR_MS, NEVER_MS])
    stores = Stores.of([("c", "c-0"), ("c", "silent")], retired_ms=retired_ms)
    path = folder.file("a.ndjson", shop_log(visits=2000))
    folder.replay(
        path, stores=stores, registers=lambda _store, _shard: True, refit_every_ms=HOUR_MS
    )
    last = newest(folder.records)
    assert last["c", "c-0", "conversion"]["as_of_ms"] < START_MS + HOUR_MS
    assert last["c", "silent", "conversion"]["raw"] is None
    assert [tombstone["key"] for tombstone in folder.tombstones] == [
        f"c|c-0||{metric}" for metric in ("conversion", "order_rate", "log_order_value")
    ]


def test_an_hour_refits_from_the_events_before_it_only(folder: Folder) -> None:
    early = shop_log(visits=20)
    late = shop_log(seed=2, visits=20, start_ms=START_MS + 2 * HOUR_MS)
    folder.replay(folder.file("early.ndjson", early))
    alone = [r for r in folder.records if r["version"]["seq"] == 1]
    folder.replay(folder.file("both.ndjson", early + late))
    both = [r for r in folder.records if r["version"]["seq"] == 1]
    assert_same_estimates(alone, both, tolerance=1e-12)


def test_a_gap_of_days_makes_one_tick(folder: Folder) -> None:
    later_ms = START_MS + 240 * HOUR_MS
    log = shop_log(visits=5) + shop_log(visits=5, seed=2, start_ms=later_ms)
    assert folder.replay(folder.file("a.ndjson", log)).refits == 2


def test_two_files_are_merged_by_event_time(folder: Folder) -> None:
    log = shop_log(visits=600)
    visits, purchases = visits_and_purchases(log)
    folder.replay(folder.file("mixed.ndjson", log))
    whole = without_sources(folder.records)
    folder.replay(folder.file("v.ndjson", visits), folder.file("p.ndjson.gz", purchases))
    apart = without_sources(folder.records)
    assert apart == whole
    assert folder.records[-1]["offsets"] == {
        "v.ndjson-0": len(visits),
        "p.ndjson.gz-0": len(purchases),
    }


def test_the_order_of_the_files_changes_no_estimate(folder: Folder) -> None:
    visits, purchases = visits_and_purchases(shop_log(visits=600))
    paths = folder.file("v.ndjson", visits), folder.file("p.ndjson", purchases)
    folder.replay(*paths)
    one = folder.records
    folder.replay(*reversed(paths))
    assert_same_estimates(one, folder.records, tolerance=1e-9)
    assert len(one) == len(folder.records)


def test_the_size_of_a_batch_changes_no_estimate(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder.file("a.ndjson", shop_log())
    folder.replay(path)
    whole = folder.records
    monkeypatch.setattr(replay_module, "BATCH_LINES", 7)
    folder.replay(path)
    assert_same_estimates(whole, folder.records, tolerance=1e-9)


def test_standard_input_is_a_dash(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    log = shop_log()
    folder.replay(folder.file("stdin", log))
    from_file = folder.bytes_written
    data = io.BytesIO(b"\n".join(log))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(data))
    folder.replay("-")
    assert folder.bytes_written == from_file


def test_packed_and_plain_files_say_the_same(folder: Folder) -> None:
    log = shop_log()
    folder.replay(folder.file("a.ndjson", log))
    plain = without_sources(folder.records)
    folder.replay(folder.file("a.ndjson.gz", log))
    assert without_sources(folder.records) == plain


def test_blank_lines_and_line_ends_are_no_events(folder: Folder) -> None:
    log = [visit(visit_id=f"v{number}") for number in range(5)]
    mixed = [b"", log[0], b"\r", *[payload + b"\r" for payload in log[1:]], b""]
    summary = folder.replay(folder.file("a.ndjson", mixed))
    assert (summary.received, summary.accepted) == (5, 5)
    assert not folder.rejects


def test_a_reject_names_the_line_of_its_file(folder: Folder) -> None:
    folder.replay(folder.file("a.ndjson", [visit(), b"", b"", b"bad"]))
    assert [reject["offset"] for reject in folder.rejects] == [3]


def test_an_empty_file_gives_empty_feeds(folder: Folder) -> None:
    summary = folder.replay(folder.file("a.ndjson", []))
    assert set(summary.tallies.values()) == {0}
    assert replace(summary, tallies={}) == ReplaySummary()
    assert folder.bytes_written == (b"", b"", b"")


def test_a_file_of_nothing_but_rejects_gives_no_record(folder: Folder) -> None:
    summary = folder.replay(folder.file("a.ndjson", [b"x"] * 3))
    assert (summary.received, summary.accepted, summary.groups) == (3, 0, 0)
    assert len(folder.rejects) == 3
    assert folder.records == []


def test_a_time_out_of_bounds_does_not_move_the_clock(folder: Folder) -> None:
    wrong = [visit(at_ms=17), visit(at_ms=9_999_999_999_999), b'{"event_time_ms": 1e400}']
    folder.replay(folder.file("a.ndjson", [*wrong, *shop_log(visits=2), *wrong]))
    assert max(record["as_of_ms"] for record in folder.records) == START_MS + 15 * SECOND_MS


def test_files_of_one_name_are_told_apart(folder: Folder) -> None:
    (folder.path / "day2").mkdir()
    one, two = folder.file("a.ndjson", [visit()]), folder.file("day2/a.ndjson", [b"x", visit("b")])
    folder.replay(one, two)
    assert [reject["topic"] for reject in folder.rejects] == ["a.ndjson.2"]
    assert folder.records[-1]["offsets"] == {"a.ndjson-0": 1, "a.ndjson.2-0": 2}


def test_a_missing_file_is_named(folder: Folder) -> None:
    good = folder.file("a.ndjson", [visit()])
    with pytest.raises(UsageError, match=r"nowhere\.ndjson: No such file"):
        folder.replay(good, str(folder.path / "nowhere.ndjson"))


def test_a_folder_is_no_file(folder: Folder) -> None:
    with pytest.raises(UsageError, match=re.escape(str(folder.path))):
        folder.replay(str(folder.path))


def test_an_output_that_is_a_file_is_refused(folder: Folder) -> None:
    path = folder.file("a.ndjson", [visit()])
    folder.output.write_text("mine")
    with pytest.raises(UsageError, match="out"):
        folder.replay(path)


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(b"\n".join(shop_log()))[:-20],
        b"no gzip at all",
        gzip.compress(b"\n".join(shop_log()))[:200] + b"\x00" * 500,
    ],
    ids=["truncated", "not packed", "damaged"],
)
def test_a_broken_packed_file_is_named(folder: Folder, data: bytes) -> None:
    path = folder.path / "a.ndjson.gz"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"a\.ndjson\.gz after line"):
        folder.replay(str(path))


def test_groups_beyond_the_limit_are_rejects_of_the_file(folder: Folder) -> None:
    log = [visit(store) for store in ("a", "b", "c")]
    summary = folder.replay(folder.file("a.ndjson", log), groups_max=2)
    assert summary.rejected == {"too_many_groups": 1}
    (reject,) = folder.rejects
    assert (reject["offset"], reject["payload_bytes"]) == (2, len(log[2]))


def test_a_purchase_far_from_its_visit_still_finds_it(folder: Folder) -> None:
    late = purchase("c-1", "late", START_MS + 50 * HOUR_MS, visit_id="v1")
    twice = purchase("c-1", "again", START_MS + 60 * HOUR_MS, visit_id="v1")
    folder.replay(folder.file("a.ndjson", [*shop_log(), late, twice]), methods={"conversion": "ml"})
    with_both = newest(folder.records)["c", "c-1", "conversion"]
    folder.replay(folder.file("a.ndjson", [*shop_log(), late]), methods={"conversion": "ml"})
    assert newest(folder.records)["c", "c-1", "conversion"]["raw"] == with_both["raw"]


def test_the_estimates_are_those_of_the_worker(folder: Folder) -> None:
    """The same events over two partitions of two topics, in batches, with a refit every second."""
    log = shop_log(stores=8, visits=40)
    folder.replay(folder.file("a.ndjson", log))
    assert_same_estimates(folder.records, worker_records(log), tolerance=1e-9)


def worker_records(log: list[bytes]) -> list[Record]:
    broker = FakeBroker()
    for payload in log:
        topic = "visits" if b'"visit",' in payload else "purchases"
        partition = int(json.loads(payload)["store_id"][-1]) % 2
        broker.append([payload], topic, partition)
    clock = iter(range(START_MS, START_MS + 10_000_000, SECOND_MS))
    settings = EngineSettings(
        refit_every_ms=1_000, refit_min_change=0.0, emission=EmissionRule(0.0, 0.0, None)
    )
    outputs, route = FakeOutput(broker), Route("estimates", "rejects", 30)
    stop = Event()
    inputs = FakeInput(broker, idle=stop.set)
    engine = Engine(settings)
    delivery = AtLeastOnce(engine, inputs, outputs, route)
    worker = Worker(engine, inputs, delivery, route, lambda: next(clock))
    while not stop.is_set():
        worker.step(stop)
    for _ in range(3):
        worker.step(stop)
    records = [
        checked_record(written.value, written.key)
        for written in broker.written
        if written.value is not None
    ]
    assert_without_gaps(records)
    assert len({name_of(record) for record in records}) == 8 * 3
    return records
