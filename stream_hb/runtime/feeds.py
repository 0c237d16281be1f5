"""From a configuration to the feeds that look at ticks."""

from collections.abc import Iterable, Mapping

from stream_hb.calibration_feed import CalibrationFeed, CalibrationSettings
from stream_hb.config import Config
from stream_hb.drift_feed import DriftFeed
from stream_hb.events.calendar import DAY_MS, HOUR_MS
from stream_hb.events.ticks import TickClock
from stream_hb.experiments_feed import ExperimentsFeed
from stream_hb.feeds.drift.opinions import need_river
from stream_hb.feeds.drift.settings import DriftSettings
from stream_hb.feeds.experiments.declaration import Experiment
from stream_hb.settings import EngineSettings, UnitRule
from stream_hb.statistics.forgetting import HalfLife
from stream_hb.statistics.half_lives import HalfLives
from stream_hb.stores import UTC, Stores
from stream_hb.tick_feeds import TickFeed

ALERTS, CALIBRATION, EXPERIMENTS = "alerts", "calibration", "experiments"


def tick_clock(config: Config, stores: Stores | None) -> TickClock | None:
    """Return what numbers the ticks; None where no feed looks at any."""
    if not (config.drift.enabled or config.calibration.enabled or config.experiments.enabled):
        return None
    return TickClock(config.ticks.every, tuple(stores.zone_names) if stores else (UTC,))


def feeds_of(config: Config, settings: EngineSettings) -> dict[str, TickFeed]:
    """Return the feeds that are on, by their names.

    Raises
    ------
    UsageError
        One needs a package that is not installed.
    """
    feeds: dict[str, TickFeed] = {}
    if config.drift.enabled:
        need_river(config.drift.opinions)
        metrics = _chosen(config.drift.metrics, settings)
        feeds[ALERTS] = DriftFeed(drift_settings(config), metrics, settings.stores)
    if config.calibration.enabled:
        feeds[CALIBRATION] = CalibrationFeed(_calibration_settings(config, settings), settings)
    if config.experiments.enabled:
        declared = tuple(each.experiment() for each in config.experiments.declared)
        feeds[EXPERIMENTS] = ExperimentsFeed(declared, settings.emission)
    return feeds


def unit_rules(config: Config) -> tuple[UnitRule, ...]:
    """Return what the engine is told of the experiments."""
    return tuple(unit_rule(each.experiment()) for each in config.experiments.declared)


def unit_rule(experiment: Experiment) -> UnitRule:
    """Return what the engine is told of an experiment."""
    return UnitRule(
        experiment.experiment_id,
        tuple(arm.name for arm in experiment.arms),
        experiment.start_ms,
        experiment.attribution_window_ms,
        experiment.cap_minor,
        experiment.analysed,
    )


def feed_topics(config: Config) -> dict[str, str]:
    """Return the topics of the feeds that are on, by the feeds' names."""
    topics = {
        ALERTS: config.topics.alerts,
        CALIBRATION: config.topics.calibration,
        EXPERIMENTS: config.topics.experiments,
    }
    on = {
        ALERTS: config.drift.enabled,
        CALIBRATION: config.calibration.enabled,
        EXPERIMENTS: config.experiments.enabled,
    }
    return {name: topic for name, topic in topics.items() if on[name]}


def drift_settings(config: Config) -> DriftSettings:
    """Return what the drift feed is told."""
    drift = config.drift
    return DriftSettings(
        false_alerts_per_store_year=drift.false_alerts_per_store_year,
        ticks_a_day=24 if config.ticks.every == "hour" else 1,
        half_life_days=drift.half_life_days,
        lag_days=drift.lag_days,
        warm_up_days=drift.warm_up_days,
        dead_band=drift.dead_band,
        margin=drift.margin,
        opinions=drift.opinions,
    )


def _calibration_settings(config: Config, settings: EngineSettings) -> CalibrationSettings:
    calibration = config.calibration
    metrics = _chosen(calibration.metrics, settings)
    memory_ms = round(calibration.memory_days * DAY_MS)
    more = [round(days * DAY_MS) for days in calibration.compare_half_lives_days]
    return CalibrationSettings(
        metrics,
        {metric: _half_lives(metric, more, settings) for metric in metrics},
        HOUR_MS if config.ticks.every == "hour" else DAY_MS,
        memory_ms,
        memory_ms,
        calibration.false_alarms_per_year,
        frozenset(m for m in metrics if isinstance(settings.forgetting.get(m), HalfLives)),
    )


def _half_lives(
    metric: str, more: Iterable[int], settings: EngineSettings
) -> tuple[int | None, ...]:
    rule = settings.forgetting.get(metric)
    if isinstance(rule, HalfLives):
        return rule.half_lives_ms
    own = rule.half_life_ms if isinstance(rule, HalfLife) else None
    return tuple(dict.fromkeys([own, *more]))


def _chosen(names: Iterable[str] | None, settings: EngineSettings) -> tuple[str, ...]:
    kept: Mapping[str, str] = settings.methods
    return tuple(kept) if names is None else tuple(dict.fromkeys(names))
