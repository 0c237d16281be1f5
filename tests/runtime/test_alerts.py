"""Alerts and the operator's word through the product: replay, and workers that are killed."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from stream_hb.drift_feed import DriftFeed
from stream_hb.events.ticks import TickClock
from stream_hb.feeds.drift.settings import DriftSettings
from stream_hb.settings import EmissionRule, Input
from tests.cli.running import run
from tests.runtime.test_shared_pooling import PARTITIONS, Member, together
from tests.runtime.test_shared_ticks import logs_of
from tests.support.fake_client import FakeBroker
from tests.support.logs import accept
from tests.support.running import SETTINGS

DAY_MS = 86_400_000
FIRST_MS = 20_000 * DAY_MS
DAYS, STORES, CHANGED, ACCEPTED = 62, 9, 40, 48
FITTED = 15
QUICK = {"half_life_days": 20, "lag_days": 7, "warm_up_days": 21}
COUNTED = ("conversion", "order_rate")
TOLD = ("fingerprint", "status", "severity", "labels", "startsAt", "endsAt", "annotations")


def name(store: int) -> str:
    return f"s{store}"


def totals(store: int, day: int, visits: int, orders: int) -> bytes:
    end_ms = FIRST_MS + (day + 1) * DAY_MS
    event = {
        "schema_version": 1,
        "event_type": "totals",
        "event_id": f"{name(store)}-day-{day}",
        "event_time_ms": end_ms,
        "chain_id": "c",
        "store_id": name(store),
        "source": "till",
        "period_start_ms": end_ms - DAY_MS,
        "period_end_ms": end_ms,
        "visits": visits,
        "conversions": orders,
        "orders": orders,
    }
    return json.dumps(event).encode()


def days() -> list[list[bytes]]:
    """Return what the stores send day by day: s3 converts twice as much from one day on."""
    rng = np.random.default_rng(2)
    odds = rng.normal(-3, 0.2, STORES)
    found = []
    for day in range(DAYS):
        moved = odds + (np.arange(STORES) == 3) * (day >= CHANGED) * 0.7
        visits = rng.poisson(900, STORES)
        orders = rng.binomial(visits, 1 / (1 + np.exp(-moved)))
        found.append([totals(s, day, int(visits[s]), int(orders[s])) for s in range(STORES)])
    return found


def word(day: int = ACCEPTED, store: int = 3, **more: Any) -> bytes:
    return accept(name(store), f"word{day}", FIRST_MS + day * DAY_MS + DAY_MS // 2, **more)


def replayed(folder: Path, events: Iterable[bytes], **more: Any) -> list[dict[str, Any]]:
    """Return the alerts that ``stream-hb replay`` tells of events."""
    folder.mkdir(exist_ok=True)
    metrics = {metric: {"method": "ml", "input": "totals"} for metric in COUNTED}
    content = {
        "metrics": {**metrics, "log_order_value": None},
        "drift": {"enabled": True, **QUICK},
        "refit": {"every_seconds": 864_000},
        **more,
    }
    (folder / "chain.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    (folder / "events.ndjson").write_bytes(b"\n".join(events))
    ran = run("replay", *arguments(folder), "--json")
    assert ran.code == 0, ran.err
    assert ran.json["rejected"] == {}
    lines = (folder / "out" / "alerts.ndjson").read_bytes().splitlines()
    return [json.loads(line) for line in lines]


def arguments(folder: Path) -> list[str]:
    paths = [str(folder / part) for part in ("chain.yaml", "events.ndjson", "out")]
    return [paths[0], "--events", paths[1], "--output", paths[2]]


def told(alerts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return alerts without what names offsets and fits: those hang on the batches."""
    return [{field: alert[field] for field in TOLD} for alert in alerts]


def flat(log: Iterable[Sequence[bytes]]) -> list[bytes]:
    return [event for day in log for event in day]


def with_word(*words: bytes) -> list[bytes]:
    log = days()
    log[ACCEPTED] = [*words, *log[ACCEPTED]]
    return flat(log)


def drifts(alerts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [alert for alert in alerts if alert["labels"]["alertname"] == "StoreDrift"]


def statuses(alerts: Iterable[dict[str, Any]], metric: str = "conversion") -> list[str]:
    """Return how the alert of a drift moved, without its repetitions."""
    mine = [a["status"] for a in drifts(alerts) if a["labels"]["metric"] == metric]
    return [status for at, status in enumerate(mine) if at == 0 or mine[at - 1] != status]


def test_a_word_in_the_log_ends_the_episode_at_the_end_of_its_day(tmp_path: Path) -> None:
    without = replayed(tmp_path / "without", flat(days()))
    assert {alert["labels"]["store_id"] for alert in without} == {"s3"}
    assert statuses(without) == ["firing"]
    alerts = replayed(tmp_path / "with", with_word(word(reason="moved")))
    for metric in COUNTED:
        assert statuses(alerts, metric) == ["firing", "resolved"]
    ended = [alert for alert in drifts(alerts) if alert["status"] == "resolved"]
    at = f"{np.datetime64(FIRST_MS + (ACCEPTED + 1) * DAY_MS, 'ms')}Z"
    assert {alert["endsAt"] for alert in ended} == {at}
    said = {alert["annotations"]["resolution"] for alert in ended}
    assert said == {"accepted by an operator: moved"}


def test_replayed_twice_it_is_the_same_bytes(tmp_path: Path) -> None:
    log = with_word(word())
    for folder in ("one", "two"):
        replayed(tmp_path / folder, log)
    one, two = ((tmp_path / f / "out" / "alerts.ndjson").read_bytes() for f in ("one", "two"))
    assert one == two
    assert one


def test_shuffled_within_the_lateness_and_doubled_it_is_the_same_episodes(tmp_path: Path) -> None:
    expected = told(replayed(tmp_path / "plain", with_word(word()), **late()))
    source, log = np.random.default_rng(4), with_word(word())
    order = np.argsort(np.arange(len(log)) + source.uniform(0, STORES, len(log)))
    mixed = [log[at] for at in order.tolist()]
    doubled = [event for event in mixed for _ in range(2)]
    assert told(replayed(tmp_path / "mixed", doubled, **late())) == expected


def late() -> dict[str, Any]:
    return {"time": {"lateness_seconds": 172_800}}


def test_a_word_about_what_is_not_open_is_counted_and_changes_nothing(tmp_path: Path) -> None:
    expected = told(replayed(tmp_path / "without", flat(days())))
    log = days()
    log[20].insert(0, word(20))
    log[ACCEPTED].insert(0, word(store=5))
    assert told(replayed(tmp_path / "with", flat(log))) == expected
    assert (
        json.loads(run("replay", *arguments(tmp_path / "with"), "--json").out)["tallies"][
            "accepted_without_alert"
        ]
        == 2
    )


@pytest.fixture(scope="module")
def undisturbed() -> list[tuple[bytes, bytes]]:
    return worked([])


def member(broker: FakeBroker, logs: Any, number: int) -> Member:
    drift = DriftFeed(DriftSettings(**QUICK), COUNTED)  # type: ignore[arg-type]
    settings = replace(
        SETTINGS,
        ticks=TickClock("day"),
        controls=True,
        inputs=dict.fromkeys(COUNTED, Input(totals=True)),
        refit_min_change=10.0,  # one fit: a later one would come by the clock, and change evidence
        emission=EmissionRule(),
    )
    shards = tuple(range(PARTITIONS))
    return Member(
        broker, logs, shards, writer=f"g-{number}", settings=settings, feeds={"alerts": drift}
    )


def worked(kills: Sequence[int]) -> list[tuple[bytes, bytes]]:
    """Return the alert log of workers of which each is killed after a day; the word comes twice."""
    broker, logs = FakeBroker(), logs_of()
    working, now_ms = member(broker, logs, 0), 0
    for day, events in enumerate(days()):
        for store, event in enumerate(events):
            broker.append([event], "events", store % PARTITIONS)
        if day == ACCEPTED:
            broker.append([word()] * 2, "events", 1)
        if day < FITTED:
            continue
        together([working], 4)
        if day in kills:
            now_ms = working.now_ms
            working = member(broker, logs, day)
            working.now_ms = now_ms
            together([working], 60)  # it reads the logs bit by bit
    together([working], 20)
    return [(w.key or b"", w.value or b"") for w in broker.written if w.topic == "alerts"]


def test_workers_tell_what_a_replay_tells(
    undisturbed: list[tuple[bytes, bytes]], tmp_path: Path
) -> None:
    alerts = [json.loads(value) for _, value in undisturbed]
    expected = replayed(tmp_path, with_word(word()))
    times = ("fingerprint", "status", "startsAt", "endsAt")
    shown = [[[a[field] for field in times] for a in drifts(some)] for some in (alerts, expected)]
    assert shown[0] == shown[1]
    assert statuses(alerts) == ["firing", "resolved"]


@pytest.mark.parametrize("kills", [[CHANGED + 4, ACCEPTED - 1], [ACCEPTED]])
def test_a_kill_in_the_middle_of_an_episode_changes_nothing_in_the_alert_log(
    undisturbed: list[tuple[bytes, bytes]], kills: list[int]
) -> None:
    alerts = worked(kills)
    assert [without_offsets(value) for _, value in alerts] == [
        without_offsets(value) for _, value in undisturbed
    ]


def without_offsets(value: bytes) -> dict[str, Any]:
    """Return an alert without how far events were read beyond its day: no two workers agree."""
    alert: dict[str, Any] = json.loads(value)
    alert["evidence"].pop("offsets", None)
    return alert
