"""Experiments in a replay: from a configuration and a file to a file of records."""

import json
from pathlib import Path
from typing import Any

import pytest

from stream_hb.config import load_config
from stream_hb.engine import Engine
from stream_hb.events.calendar import DAY_MS
from stream_hb.runtime.assembly import replay_settings
from stream_hb.runtime.feeds import feeds_of
from stream_hb.runtime.replay import replay_files
from tests.support.experiments import MIDNIGHT_MS, encoded, visitors

CONFIG = f"""
refit: {{every_seconds: 86400}}
metrics:
  conversion: {{method: ml}}
  order_rate: null
  log_order_value: {{method: reml}}
experiments:
  declared:
    - id: ab
      arms: [{{name: a, weight: 0.5}}, {{name: b, weight: 0.5}}]
      control: a
      start: {MIDNIGHT_MS}
      metrics: [conversion, revenue_per_visit]
      guardrails: [{{metric: log_order_value, margin: 0.2}}]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "chain.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    log = visitors(8, count=1500, days=9, lift=1.5)
    (tmp_path / "log.ndjson").write_bytes(b"\n".join(encoded(log)))
    return path


def replayed(config: Path, name: str) -> bytes:
    loaded = load_config(config, {})
    settings = replay_settings(loaded)
    engine = Engine(settings, feeds=feeds_of(loaded, settings))
    folder = config.parent / name
    summary = replay_files(engine, [str(config.parent / "log.ndjson")], folder)
    written = (folder / "experiments.ndjson").read_bytes()
    assert summary.feeds["experiments"] == written.count(b"\n") > 50
    return written


def test_the_same_input_gives_the_same_bytes(config: Path) -> None:
    assert replayed(config, "one") == replayed(config, "two")


def test_every_day_that_is_over_has_a_look_that_ends_with_it(config: Path) -> None:
    records: list[dict[str, Any]] = [
        json.loads(line) for line in replayed(config, "x").splitlines()
    ]
    chain = [record for record in records if record["scope"] == "chain"]
    days = [(record["watermark_ms"] - MIDNIGHT_MS) / DAY_MS for record in chain]
    assert days == list(range(1, len(days) + 1))
    assert len(days) >= 9
    assert {r["key"]["metric"] for r in records if r["scope"] == "store"} == {
        *("conversion", "revenue_per_visit", "log_order_value"),
    }
    assert all(metric["metric"] for record in chain for metric in record["metrics"])
    assert chain[-1]["decision"]["reasons"]
