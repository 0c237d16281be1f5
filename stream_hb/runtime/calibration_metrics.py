"""How intervals have kept their word, for Prometheus: read off the calibration feed's memory."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from stream_hb.calibration_feed import CalibrationFeed
from stream_hb.feeds.calibration.feed import CalibrationState
from stream_hb.feeds.calibration.scores import LEVELS
from stream_hb.pool_fit import Pool
from stream_hb.tick_feeds import TickFeed

POOL = ["chain", "metric"]
ALARMS = ("under_coverage", "over_coverage")


def calibration_metrics(feeds: Iterable[TickFeed]) -> Iterator[Metric]:
    """Yield what the calibration feed knows; nothing where none of the feeds is it.

    Only the owner of shard 0 has shown it ticks: of other workers it knows no pool.
    """
    for feed in feeds:
        if isinstance(feed, CalibrationFeed):
            states = feed.states()
            yield _coverage(states)
            yield _log_score(states)
            yield _alarm(states)
            yield _half_life(states)
            yield _unscored(states)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"stream_hb_calibration_{name}", text, labels=[*POOL, *labels])


def _coverage(states: Mapping[Pool, CalibrationState]) -> Metric:
    text = "Share of observations that the predictive intervals of a level have held lately"
    metric = _gauge("coverage", text, "level")
    for pool, state in states.items():
        shares, _ = state.tally.coverage()
        for level, share in zip(LEVELS, shares.tolist(), strict=True):
            if math.isfinite(share):
                metric.add_metric([*pool, f"{level:g}"], share)
    return metric


def _log_score(states: Mapping[Pool, CalibrationState]) -> Metric:
    metric = _gauge("log_score", "Mean log predictive density a store and tick, lately")
    for pool, state in states.items():
        mean = state.tally.mean_log_score()
        if math.isfinite(mean):
            metric.add_metric([*pool], mean)
    return metric


def _alarm(states: Mapping[Pool, CalibrationState]) -> Metric:
    metric = _gauge("alarm", "1 while the intervals are called too narrow or too wide", "kind")
    for pool, state in states.items():
        for kind in ALARMS:
            metric.add_metric([*pool, kind], float(state.alarm.raised == kind))
    return metric


def _half_life(states: Mapping[Pool, CalibrationState]) -> Metric:
    metric = _gauge("half_life_seconds", "The half-life in use; none where nothing is forgotten")
    for pool, state in states.items():
        half_life_ms = state.rule.half_lives_ms[state.in_use]
        if half_life_ms is not None:
            metric.add_metric([*pool], half_life_ms / 1000)
    return metric


def _unscored(states: Mapping[Pool, CalibrationState]) -> Metric:
    name, text = "stream_hb_calibration_unscored", "Stores' ticks that were not scored"
    metric = CounterMetricFamily(name, text, labels=[*POOL, "reason"])
    for pool, state in states.items():
        for reason, count in asdict(state.unscored).items():
            metric.add_metric([*pool, reason], count)
    return metric
