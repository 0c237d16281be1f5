"""Calibration records as a table for people."""

import json
from functools import cache
from typing import Any

from stream_hb.calibration_feed import CalibrationFeed
from stream_hb.cli.calibration_table import calibration_table, half_lives, in_order
from stream_hb.settings import EngineSettings
from tests.cli.test_estimates_table import printed
from tests.test_calibration_feed import DAY_MS, days, fits, last, settings, shown


@cache
def records(walk: float = 0.0) -> list[dict[str, Any]]:
    """Return the newest records that the feed has written, as a topic holds them."""
    ticks = days(60, walk=walk)
    feed = CalibrationFeed(settings(None, 5 * DAY_MS), EngineSettings())
    return list(last(shown(feed, ticks, fits(ticks[:10]))[1]).values())


def test_every_chain_and_metric_has_a_row_with_the_share_that_each_interval_has_held() -> None:
    found = records()
    text = printed(calibration_table(found, now_ms=found[0]["as_of_ms"] + 7_200_000))
    assert [line.split()[1] for line in text.splitlines() if " north " in line] == [
        "conversion",
        "log_order_value",
        "order_rate",
    ]
    for record in found:
        for coverage in record["coverage"]:
            share, error = 100 * coverage["covered"], 100 * coverage["standard_error"]
            assert f"{share:.1f} ± {error:.1f}" in text
    assert text.count("as wide as they say") == text.count(" 2 h ") == 3


def test_an_alarm_says_which_way_and_since_when() -> None:
    text = printed(calibration_table(records(walk=0.15)))
    assert text.count("too narrow since 2024-") == 3


def test_half_lives_that_are_compared_stand_with_what_they_gain() -> None:
    (record, *_) = in_order(records(walk=0.15))
    gain = record["candidates"][1]["log_score"] - record["candidates"][0]["log_score"]
    assert half_lives(record) == f"none (5 d: +{gain:.2g})"


def test_a_record_of_other_levels_leaves_a_dash() -> None:
    one, *_ = records()
    other = json.loads(json.dumps(one)) | {"pool": "south", "coverage": one["coverage"][:1]}
    text = printed(calibration_table([one, other]))
    assert " - " in next(line for line in text.splitlines() if " south " in line)
