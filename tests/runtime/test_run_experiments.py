"""Experiments in ``stream-hb run`` on a real broker: the looks of a replay, through a kill."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_hb.config import load_config
from stream_hb.engine import Engine
from stream_hb.events.calendar import DAY_MS
from stream_hb.feeds.estimates import OutRecord
from stream_hb.runtime.assembly import replay_settings
from stream_hb.runtime.feeds import feeds_of
from stream_hb.runtime.replay import replay_files
from tests.feeds.experiments.looked import checked
from tests.support import topics as kafka
from tests.support.broker import NamedBroker, RealBroker
from tests.support.chain import Chain, made_chain, run, terminate
from tests.support.experiments import MIDNIGHT_MS, encoded, visitors
from tests.support.records import assert_alike

pytestmark = pytest.mark.broker

LOG = encoded(visitors(11, count=1600, days=9, stores=12, lift=1.0, crossing=0.005))
SECONDS_MAX = 120.0
DECLARED = {
    "id": "ab",
    "arms": [{"name": "a", "weight": 0.5}, {"name": "b", "weight": 0.5}],
    "control": "a",
    "start": MIDNIGHT_MS,
    "attribution_window_hours": 6,
}
Record = dict[str, Any]


@pytest.fixture
def chain(broker: RealBroker | NamedBroker, topics: Callable[..., str], tmp_path: Path) -> Chain:
    made = made_chain(broker.bootstrap_servers, topics, tmp_path, partitions=2)
    content = yaml.safe_load(made.config.read_text())
    content["topics"]["experiments"] = topics(partitions=2, cleanup_policy="compact")
    content["experiments"] = {"declared": [DECLARED]}
    content["metrics"] = {"conversion": {"method": "ml"}, "order_rate": None}
    content["refit"] = {"every_seconds": 2}
    made.config.write_text(yaml.safe_dump(content))
    return made


def looks(chain: Chain) -> dict[int, Record]:
    """Return the chain's records by the day that they look at; each has one."""
    topic = load_config(chain.config, {}).topics.experiments
    read = kafka.read_all(chain.bootstrap_servers, topic)
    records = [checked(OutRecord(each.key or b"", each.value)) for each in read]
    of_chain = [record for record in records if record["scope"] == "chain"]
    assert [record["version"]["seq"] for record in of_chain] == list(range(1, 1 + len(of_chain)))
    return {record["watermark_ms"]: record for record in of_chain}


def wait_for(chain: Chain, count: int) -> dict[int, Record]:
    deadline = time.monotonic() + SECONDS_MAX
    while len(found := looks(chain)) < count:
        assert time.monotonic() < deadline, f"{len(found)} looks; the worker said:\n{chain.said()}"
        time.sleep(1.5)
    return found


def replayed(chain: Chain) -> dict[int, Record]:
    loaded = load_config(chain.config, {})
    settings = replace(replay_settings(loaded), refit_every_ms=DAY_MS)
    engine = Engine(settings, feeds=feeds_of(loaded, settings))
    path = chain.config.with_name("log.ndjson")
    path.write_bytes(b"\n".join(LOG))
    replay_files(engine, [str(path)], chain.config.with_name("out"))
    lines = chain.config.with_name("out").joinpath("experiments.ndjson").read_bytes().splitlines()
    records = [record for line in lines if (record := parsed(line))["scope"] == "chain"]
    return {record["watermark_ms"]: record for record in records}


def parsed(line: bytes) -> Record:
    found: Record = yaml.safe_load(line)
    return found


def test_a_worker_looks_as_a_replay_does_through_a_kill_and_show_prints_it(chain: Chain) -> None:
    first: subprocess.Popen[bytes] = chain.start()
    chain.feed(LOG[: len(LOG) // 2])
    wait_for(chain, 2)
    first.kill()
    first.wait()
    chain.feed(LOG[len(LOG) // 2 :])
    second = chain.start()
    try:
        found = wait_for(chain, 8)
    finally:
        terminate(second)
    expected = replayed(chain)
    assert len(found) >= 8
    for day, record in found.items():
        assert record["decision"]["action"] == expected[day]["decision"]["action"]
        for part in ("arms", "metrics", "srm", "flags"):
            assert_alike(record[part], expected[day][part])
    shown = run("show", str(chain.config), "--experiments")
    assert shown.returncode == 0, shown.stderr
    newest = found[max(found)]["decision"]
    assert f"ab / c: {newest['action']}" in shown.stdout
    assert newest["reasons"][0] in shown.stdout
