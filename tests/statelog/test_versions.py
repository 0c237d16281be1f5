"""Logs that programs of older versions have left are read; see tests/data/statelog/record.py."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_hb.engine import Engine
from stream_hb.settings import EngineSettings
from stream_hb.shard import Shard
from stream_hb.state import unpack
from stream_hb.statelog import group_rows
from stream_hb.statelog.records import VERSION
from stream_hb.statelog.restore import Restored, Restoring
from tests.data.statelog.record import SETTINGS
from tests.reference import event_rules
from tests.support.logs import batch, purchase, visit

FOLDER = Path(__file__).parents[1] / "data" / "statelog"
VERSIONS = [int(path.stem.removeprefix("version_")) for path in FOLDER.glob("*.msgpack")]


def recorded(version: int) -> Any:
    return unpack((FOLDER / f"version_{version}.msgpack").read_bytes())


def restored(version: int) -> Restored:
    restoring = Restoring(0, SETTINGS)
    for key, value in recorded(version)["records"]:
        restoring.take(key, value)
    found = restoring.finish()
    assert found is not None
    return found


def test_a_log_of_every_version_is_kept() -> None:
    assert sorted(VERSIONS) == list(range(1, VERSION + 1))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_log_is_what_the_plain_rules_say_of_its_events(version: int) -> None:
    found = restored(version)
    table, events = found.shard.table, recorded(version)["events"]
    counts = table.statistic("conversion").columns()
    orders = table.statistic("order_rate").columns()["events"]
    mine = {
        key: (int(counts["successes"][row]), int(counts["trials"][row]), int(orders[row]))
        for row, key in enumerate(table.keys)
    }
    assert mine == {
        key: (len(group.conversions), len(group.visits), len(group.orders))
        for key, group in event_rules.count(events, visits_per_hour=3).items()
    }
    assert found.offsets == {("events", 0): len(events)}
    assert found.marker["group"] == "g"
    assert found.shard.emitted["conversion"].seq.min() > 0
    assert len(found.shard.attribution.units.all().key) > 5


def test_a_recorded_log_knows_of_more_than_one_currency_since_version_2() -> None:
    purse = restored(2).shard.purse
    assert (purse.base != purse.current).any()
    assert (purse.since_ms > 0).all()


def test_a_currency_from_before_version_2_stays() -> None:
    """Nobody knows since when it is the group's, and orders in others were not remembered."""
    found = restored(1)
    engine, end = Engine(SETTINGS), found.offsets["events", 0]
    engine.adopt(found.shard)
    earlier = purchase("s0", "o-new", recorded(1)["events"][0]["event_time_ms"], currency="CHF")
    candidate = engine.ingest({0: [batch([earlier], first_offset=end)]})
    assert [reject.reason for reject in candidate.rejects] == ["mixed_currency"]
    engine.apply(candidate)
    assert set(found.shard.purse.names(np.arange(len(found.shard.table)))) == {"EUR"}


def test_a_page_of_groups_is_as_large_as_in_version_1() -> None:
    """The number of a page must mean the same groups in every version, or pages would be lost."""
    for version in VERSIONS:
        assert group_rows.page_rows(restored(version).shard) == 512
    # With this metric alone a row is a few bytes below where a page holds half as many.
    assert group_rows.page_rows(Shard(0, 0, EngineSettings({"log_order_value": "pm"}))) == 1024


@pytest.mark.parametrize("version", VERSIONS)
def test_a_shard_of_a_recorded_log_knows_the_ids_again(version: int) -> None:
    """What it has read before changes nothing; a visit that is new does."""
    found = restored(version)
    engine = Engine(SETTINGS)
    engine.adopt(found.shard)
    conversion = found.shard.table.statistic("conversion").columns()["trials"].copy()
    first = found.offsets["events", 0]
    again = [json.dumps(event).encode() for event in recorded(version)["events"]]
    engine.apply(engine.ingest({0: [batch(again, first_offset=first)]}))
    assert (found.shard.table.statistic("conversion").columns()["trials"] == conversion).all()
    news = [visit("s0", "v-new", recorded(version)["events"][-1]["event_time_ms"])]
    engine.apply(engine.ingest({0: [batch(news, first_offset=first + len(again))]}))
    after = found.shard.table.statistic("conversion").columns()["trials"]
    assert (after - conversion).sum() == 1
