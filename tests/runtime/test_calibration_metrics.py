"""What Prometheus reads of the calibration feed."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from stream_hb.calibration_feed import CalibrationFeed
from stream_hb.runtime.calibration_metrics import calibration_metrics
from stream_hb.settings import EngineSettings
from tests.runtime.test_http import samples
from tests.test_calibration_feed import DAY_MS, MODELS, days, fits, last, settings, shown
from tests.test_tick_feeds import Counting


class Collected(Collector):
    def __init__(self, *feeds: object) -> None:
        self._feeds = feeds

    def collect(self) -> list[Metric]:
        return list(calibration_metrics(self._feeds))  # type: ignore[arg-type]


def read(*feeds: object) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry()
    registry.register(Collected(*feeds))
    return samples(generate_latest(registry).decode())


def test_the_metrics_are_those_of_the_newest_records() -> None:
    ticks = days(60, walk=0.15)
    feed = CalibrationFeed(settings(5 * DAY_MS, None), EngineSettings())
    feed, records = shown(feed, ticks, fits(ticks[:10]))
    found = read(Counting(), feed)
    prefix = "stream_hb_calibration"
    for metric, record in last(records).items():
        pool = "north", metric
        for each in record["coverage"]:
            level = f"{each['level']:g}"
            assert found[f"{prefix}_coverage", "north", level, metric] == each["covered"]
        assert found[f"{prefix}_log_score", *pool] == record["log_score"]
        for kind in ("under_coverage", "over_coverage"):
            raised = float(record["alarm"] == kind)
            assert found[f"{prefix}_alarm", "north", kind, metric] == raised
        assert found[f"{prefix}_half_life_seconds", *pool] == 5 * 86_400
        assert found[f"{prefix}_unscored_total", *pool, "late"] == 0
    assert len(found) == len(MODELS) * (3 + 1 + 2 + 1 + 3)


def test_an_alarm_that_is_raised_is_one() -> None:
    ticks = days(60, walk=0.15)
    feed, _ = shown(CalibrationFeed(settings(None), EngineSettings()), ticks, fits(ticks[:10]))
    found = read(feed)
    name = "stream_hb_calibration_alarm"
    for metric in MODELS:
        assert found[name, "north", "under_coverage", metric] == 1
        assert found[name, "north", "over_coverage", metric] == 0
        assert ("stream_hb_calibration_half_life_seconds", "north", metric) not in found


def test_before_anything_is_scored_no_share_is_told() -> None:
    feed, _ = shown(CalibrationFeed(settings(None), EngineSettings()), days(3), {})
    found = read(feed)
    assert not [name for name in found if "coverage" in name[0] or "log_score" in name[0]]
    assert found["stream_hb_calibration_unscored_total", "north", "conversion", "empty"] == 180


def test_a_worker_without_the_feed_tells_nothing_of_it() -> None:
    assert read(Counting()) == {}
