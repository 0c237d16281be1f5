"""Drift and calibration through a replay: order and repetition of events tell them nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_hb.events.calendar import DAY_MS
from stream_hb.statistics.counts import Counts
from tests.calibration.worlds import World
from tests.cli.running import run
from tests.support.totals import conversions

REFIT_DAYS = 8
FIRST_DAY = 2_500 * REFIT_DAYS
"""Refits come at whole multiples of their interval."""

CONFIG = f"""
metrics:
  conversion: {{input: totals, half_life: auto, half_lives_days: [60, 5]}}
  order_rate: null
  log_order_value: null
drift: {{enabled: true, lag_days: 7, warm_up_days: 21}}
calibration: {{enabled: true}}
refit: {{every_seconds: {REFIT_DAYS * 86_400}}}
time: {{lateness_seconds: {(REFIT_DAYS + 1) * 86_400}, horizon_seconds: 2592000}}
emission: {{changed_sd: 1000, changed_width: 1000}}
"""


def events() -> list[list[bytes]]:
    """Return the events between two refits each: of stores that wander."""
    world = World("conversion", drift=0.1, stores=30, days=9 * REFIT_DAYS)
    found: list[list[bytes]] = []
    for day, increment in enumerate(world.draw(np.random.default_rng(11))):
        assert isinstance(increment, Counts)
        # A day's events are sent as it ends: those of the block's last day belong to the next one.
        if day % REFIT_DAYS == REFIT_DAYS - 1 or not found:
            found.append([])
        numbered = [(FIRST_DAY + day, increment.trials, increment.successes)]
        found[-1] += conversions(numbered)
    return found


def replayed(folder: Path, payloads: list[bytes]) -> dict[str, list[dict[str, Any]]]:
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "events").write_bytes(b"\n".join(payloads))
    ran = run(
        *("replay", str(folder / "config.yaml"), "--events", str(folder / "events")),
        *("--output", str(folder / "out")),
    )
    assert ran.code == 0, ran.err
    names = ("alerts", "calibration", "estimates")
    files = {name: (folder / "out" / f"{name}.ndjson").read_bytes() for name in names}
    return {name: [json.loads(line) for line in text.splitlines()] for name, text in files.items()}


@pytest.fixture(scope="module")
def in_order(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    payloads = [payload for block in events() for payload in block]
    return replayed(tmp_path_factory.mktemp("in_order"), payloads)


def bare(record: dict[str, Any]) -> dict[str, Any]:
    """Leave out when it was said: that is the clock's, and the clock is the newest event's."""
    clocks = ("as_of_ms", "watermark_ms", "evidence", "annotations")
    return {name: value for name, value in record.items() if name not in clocks}


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return every number and text of a record under its path."""
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for name, one in inner for k, v in flat(one, f"{path}.{name}").items()}
    return {path: value}


def test_events_shuffled_within_the_lateness_and_repeated_tell_the_feeds_the_same(
    tmp_path: Path, in_order: dict[str, list[dict[str, Any]]]
) -> None:
    rng = np.random.default_rng(3)
    payloads = []
    for block in events():
        again = [block[at] for at in rng.choice(len(block), len(block) // 4)]
        both = block + again
        payloads += [both[at] for at in rng.permutation(len(both)).tolist()]
    shuffled = replayed(tmp_path, payloads)
    assert list(map(bare, shuffled["alerts"])) == list(map(bare, in_order["alerts"]))
    # Weighted sums are added in the order of the events: that much rounding, and no more.
    told, expected = (list(map(bare, each["calibration"])) for each in (shuffled, in_order))
    assert len(told) == len(expected)
    for mine, theirs in zip(map(flat, told), map(flat, expected), strict=True):
        numbers = {k: v for k, v in theirs.items() if isinstance(v, float)}
        assert {k: v for k, v in mine.items() if k not in numbers} == {
            k: v for k, v in theirs.items() if k not in numbers
        }
        assert {k: mine[k] for k in numbers} == pytest.approx(numbers, rel=1e-9, abs=1e-12)
    assert len(in_order["calibration"]) > 50
    assert any(alert["labels"]["alertname"] == "StoreDrift" for alert in in_order["alerts"])


def test_the_half_life_that_predicts_better_is_served(
    in_order: dict[str, list[dict[str, Any]]],
) -> None:
    """Stores wander by a tenth a day: the shorter one is found, and estimates are of it then."""
    told = [record["half_life_s"] for record in in_order["calibration"]]
    assert told[0] == 60 * 86_400
    assert told[-1] == 5 * 86_400
    last = in_order["estimates"][-30:]
    assert {record["half_life_s"] for record in last} == {5 * 86_400}
    changed_ms = next(
        record["as_of_ms"] for record in in_order["calibration"] if record["half_life_s"] < 10**6
    )
    before = [r for r in in_order["estimates"] if r["as_of_ms"] < changed_ms - DAY_MS]
    assert {record["half_life_s"] for record in before} == {60 * 86_400}
