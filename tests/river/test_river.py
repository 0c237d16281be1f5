"""Ours behind river's interfaces: river's own checks, and what they are made of."""

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from river import base, checks, compose, linear_model, stats

from stream_hb.feeds.drift.detector import Evidence, log_statistics, updated
from stream_hb.feeds.drift.family import Predictive
from stream_hb.feeds.drift.settings import DriftSettings
from stream_hb.river import DeadBand, PartialPoolingEncoder, ShrunkMean
from stream_hb.statistics.columns import Floats

RNG = np.random.default_rng(4)


def encoder_checks() -> list[tuple[PartialPoolingEncoder, Callable[..., None]]]:
    models = [
        PartialPoolingEncoder(**params) for params in PartialPoolingEncoder._unit_test_params()
    ]
    return [(model, check) for model in models for check in checks.yield_checks(model)]


@pytest.mark.parametrize(
    ("model", "check"), encoder_checks(), ids=lambda one: getattr(one, "__name__", "")
)
def test_the_encoder_passes_rivers_checks(model: Any, check: Callable[..., None]) -> None:
    check(model.clone())


def test_the_encoders_estimate_is_the_posterior_mean_at_the_moments_of_all_groups() -> None:
    encoder = PartialPoolingEncoder(by="store")
    values: dict[str, list[float]] = {}
    for _ in range(400):
        store = f"s{RNG.integers(12)}"
        y = float(RNG.normal(10 + len(store), 3))
        values.setdefault(store, []).append(y)
        encoder.learn_one({"store": store, "other": 1}, y)
    everything = np.concatenate(list(values.values()))
    count, groups = len(everything), len(values)
    within = sum(((np.array(ys) - np.mean(ys)) ** 2).sum() for ys in values.values())
    between = sum(len(ys) * (np.mean(ys) - everything.mean()) ** 2 for ys in values.values())
    sigma2 = within / (count - groups)
    size = (count - sum(len(ys) ** 2 for ys in values.values()) / count) / (groups - 1)
    tau2 = max(between / (groups - 1) - sigma2, 0) / size
    for store, ys in values.items():
        weight = tau2 / (tau2 + sigma2 / len(ys))
        expected = everything.mean() + weight * (np.mean(ys) - everything.mean())
        told = encoder.transform_one({"store": store})["y_pooled_by_store"]
        assert told == pytest.approx(expected, rel=1e-9)
    assert encoder.transform_one({"store": "new"})["y_pooled_by_store"] == pytest.approx(
        everything.mean()
    )


def test_the_encoder_remembers_no_more_groups_than_it_may() -> None:
    encoder = PartialPoolingEncoder(by="store", groups_max=3)
    for store in range(50):
        encoder.learn_one({"store": store}, 1.0)
    assert len(encoder._pooled.groups) == 3


def test_the_encoder_is_a_step_of_a_pipeline() -> None:
    model = (compose.Select("store") | PartialPoolingEncoder(by="store")) | (
        linear_model.LinearRegression()
    )
    for _ in range(30):
        store = int(RNG.integers(4))
        model.predict_one({"store": store})
        model.learn_one({"store": store}, float(store))
    assert math.isfinite(model.predict_one({"store": 1}))


def test_the_step_after_the_encoder_learns_from_what_it_makes() -> None:
    model = PartialPoolingEncoder(by="store") | linear_model.LinearRegression()
    for number in range(30):
        model.learn_one({"store": f"s{number % 3}"}, float(number % 3))
    assert list(model["LinearRegression"].weights) == ["y_pooled_by_store"]


def test_a_shrunk_mean_is_a_normal_posterior_mean() -> None:
    mean = ShrunkMean(prior=10.0, prior_sd=2.0, variance=9.0, variance_df=1e12)
    assert isinstance(mean, stats.base.Univariate)
    for x in RNG.normal(12, 3, 10):
        mean.update(float(x))
    raw = mean._moments.mean
    weight = 4 / (4 + 9 / 10)
    assert mean.get() == pytest.approx(10 + weight * (raw - 10), rel=1e-9)


def test_a_shrunk_mean_of_nothing_is_its_prior_and_of_very_much_the_mean() -> None:
    mean = ShrunkMean(prior=5.0)
    assert mean.get() == 5.0
    for x in RNG.normal(12, 1, 5_000):
        mean.update(float(x))
    assert mean.get() == pytest.approx(mean._moments.mean, abs=0.01)


def test_a_shrunk_mean_composes_as_rivers_statistics_do() -> None:
    assert ShrunkMean().name == "shrunk_mean"
    agg: Any = stats.Shift(1) | ShrunkMean()
    agg.update(1.0)
    agg.update(2.0)
    assert agg.get() == pytest.approx(0.5)
    assert repr(ShrunkMean(prior=2.0)) == "ShrunkMean: 2."
    assert pickle.loads(pickle.dumps(ShrunkMean(prior=2.0))).get() == 2.0


def test_the_detectors_statistic_is_that_of_the_feed() -> None:
    settings = DriftSettings(
        dead_band=0.2, shifts=(0.5, 1.0, 2.0, 4.0), cap_excess=1e200, baseline_share=0.0
    )
    detector, evidence = DeadBand(average_run_length=1e300), Evidence.of_new(1, 8)
    for tick, x in enumerate(RNG.normal(0.4, 1, 60)):
        detector.update(float(x))

        def log_density(shift: Floats, x: float = float(x)) -> Floats:
            out: Floats = -((x - shift) ** 2) / 2
            return out

        told = Predictive(np.array([x]), np.array([x]), np.ones(1), log_density)
        evidence = updated(evidence, told, np.zeros(1), tick, np.ones(1, bool), settings)
    up, down = log_statistics(evidence)
    assert detector.log_statistic == pytest.approx(float(np.logaddexp(up, down)[0] - math.log(2)))


def test_the_detector_is_a_river_detector() -> None:
    detector = DeadBand()
    assert isinstance(detector, base.DriftDetector)
    copy = detector.clone()
    assert repr(copy) == repr(detector)
    assert not copy.drift_detected
    for x in RNG.normal(3, 1, 20):
        detector.update(x)
        if detector.drift_detected:
            break
    assert detector.drift_detected
    assert pickle.loads(pickle.dumps(detector)).drift_detected
    detector.update(0.0)
    assert not detector.drift_detected


def test_a_value_that_is_not_finite_is_ignored_and_counted() -> None:
    detector, clean = DeadBand(), DeadBand()
    for x in [0.3, math.nan, -0.2, math.inf, 0.9]:
        detector.update(x)
        if math.isfinite(x):
            clean.update(x)
    assert detector.ignored == 2
    assert detector.log_statistic == clean.log_statistic


def test_within_the_dead_band_run_lengths_keep_their_promise() -> None:
    """40 streams of 1,000 values at A = 2,000: no more than 20 alerts are promised."""
    alerts = 0
    for _ in range(40):
        detector = DeadBand(average_run_length=2_000)
        for x in RNG.normal(0.15, 1, 1_000):
            detector.update(float(x))
            alerts += detector.drift_detected
    assert alerts <= 20 + 3 * math.sqrt(20)
