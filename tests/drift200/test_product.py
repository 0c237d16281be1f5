"""One replicate through the product: its days as events of totals, and ``stream-hb replay``."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from stream_hb.feeds.drift.alerts import AlertRecord, out_record
from tests.cli.running import run as command
from tests.drift200.harness import FIRST_DAY, counts, run, stream_of
from tests.drift200.score import score
from tests.drift200.world import world
from tests.support.totals import conversions

SEED = 1_001
CONFIG = """
metrics:
  conversion: {input: totals}
  order_rate: null
  log_order_value: null
drift: {enabled: true}
refit: {every_seconds: 604800}
emission: {changed_sd: 1000, changed_width: 1000}
"""
OF_CHANGE = frozenset({"StoreDrift", "ChainShift", "StoreSilent"})
"""StoreLevel is left out: how far off a store has to be is said by the spread of the stores, which
the harness is told and the product fits."""


def of_change(records: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    return sorted(told(record) for record in records if record["labels"]["alertname"] in OF_CHANGE)


def told(record: dict[str, Any]) -> tuple[str, ...]:
    labels = record["labels"]
    names = ("alertname", "store_id", "direction")
    times = ("startsAt", "updatedAt", "endsAt")
    values = *(labels.get(n) for n in names), record["status"], *(record.get(t) for t in times)
    return tuple(map(str, values))


@pytest.fixture(scope="module")
def alerts(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("drift200")
    simulated = world(SEED)
    (folder / "config.yaml").write_text(CONFIG)
    days = zip(simulated.visits, simulated.orders, strict=True)
    numbered = [(FIRST_DAY + day, *both) for day, both in enumerate(days)]
    (folder / "events").write_bytes(b"\n".join(conversions(numbered)))
    output = folder / "out"
    ran = command(
        *("replay", str(folder / "config.yaml"), "--events", str(folder / "events")),
        *("--output", str(output), "--json"),
    )
    assert ran.code == 0, ran.err
    assert ran.json["accepted"] == 180 * 200
    return [json.loads(line) for line in (output / "alerts.ndjson").read_bytes().splitlines()]


def test_a_replay_of_totals_raises_what_the_harness_raises_of_the_same_stores_on_the_same_days(
    alerts: list[dict[str, Any]],
) -> None:
    """The product knows the spread of the stores from its own fits."""
    harness = run(counts(world(SEED)), stream_of(200))
    mine, expected = of_change(alerts), of_change(plain(record) for _, record in harness.records)
    assert mine == expected
    begun = {(t[1], t[2]) for t in mine if t[0] == "StoreDrift" and t[4] == t[5]}
    assert len(begun) >= 15
    assert score(world(SEED), harness.alerts).false_rate < 0.1


def plain(record: AlertRecord) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(out_record(record).value or b"")
    return found
