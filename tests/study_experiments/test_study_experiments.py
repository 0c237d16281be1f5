"""The study in short: ``make study-experiments`` is the same at full size."""

import math
from functools import cache

import numpy as np
import pytest

from stream_hb.feeds.experiments.outcomes import METRICS
from tests.study_experiments.calibration import run_stops
from tests.study_experiments.ever import Ever, watch_chains, watch_guardrail, watch_stores
from tests.study_experiments.sites import Sites, run_cell
from tests.study_experiments.worlds import Traffic, declared, rows_of

EXPERIMENTS = 1_000


def _at_most(probability: float, count: int) -> float:
    """Return three Monte-Carlo errors above a probability."""
    return probability + 3 * math.sqrt(probability * (1 - probability) / count)


@cache
def _without_an_effect() -> Ever:
    traffic = Traffic.of(EXPERIMENTS)
    return watch_stores(declared(), traffic, 100, np.random.default_rng(20261127))


@pytest.mark.parametrize("metric", METRICS)
def test_looked_at_a_hundred_times_the_feed_keeps_its_promise_and_z_does_not(metric: str) -> None:
    ever = _without_an_effect()
    assert ever.sequence[metric].mean() <= _at_most(0.05, EXPERIMENTS)
    # The harness can fail: a rule made for one look does.
    assert ever.fixed[metric].mean() >= 0.25


def test_arms_of_uneven_size_keep_the_promise() -> None:
    """Eight orders a look in arm b: revenue stopped 10 % before units' outcomes were counted."""
    traffic = Traffic.of(EXPERIMENTS, 800.0, share=0.1)
    ever = watch_stores(declared(0.1), traffic, 30, np.random.default_rng(3))
    for metric in METRICS:
        assert ever.sequence[metric].mean() <= _at_most(0.05, EXPERIMENTS), metric


def test_an_effect_is_found() -> None:
    traffic = Traffic.of(200, relative=0.25)
    ever = watch_stores(declared(), traffic, 60, np.random.default_rng(5))
    for metric in ("conversion", "order_rate", "revenue_per_visit"):
        assert ever.sequence[metric].mean() > 0.8, metric
    assert ever.sequence["log_order_value"].mean() <= _at_most(0.05, 200)


def test_chains_of_many_small_stores_with_uneven_arms_keep_the_promise() -> None:
    random = np.random.default_rng(6)
    traffic = Traffic.of(50 * 50, 8.0, share=0.1, spread=0.3, random=random)
    ever = watch_chains(declared(0.1), traffic, 50, 12, random)
    for metric in METRICS:
        assert ever.sequence[metric].mean() <= _at_most(0.05, 50), metric
    assert ever.shipped["conversion"].mean() <= _at_most(0.05, 50)


@cache
def _cell(stores: int, tau: float) -> Sites:
    return run_cell(stores, tau, 40, (7, stores, round(10 * tau)))


@pytest.mark.parametrize("tau", [0.0, 0.1, 0.2])
@pytest.mark.parametrize("stores", [10, 40])
def test_stores_effects_are_as_near_as_remls_and_intervals_hold_the_truth(
    stores: int, tau: float
) -> None:
    cell = _cell(stores, tau)
    assert cell.ratio(cell.error_reml) <= 1.03
    # Cells shrunk one by one and subtracted are what contrasts must not be taken for.
    assert cell.ratio(cell.error_cells) < 1
    coverage, error = cell.coverage()
    assert coverage >= 0.92 - 3 * error
    assert tau == 0 or coverage <= 0.99


def test_plug_in_intervals_do_not_hold_the_truth() -> None:
    """The harness can fail: τ taken as known covers far less at ten stores that differ."""
    cell = _cell(10, 0.1)
    assert cell.covered_plug_in.mean() < cell.covered.mean() - 0.03


def test_a_sign_that_is_95_percent_sure_is_wrong_in_5_percent_where_the_prior_is_right() -> None:
    stops = run_stops(EXPERIMENTS, 30, 20261127)
    assert stops.stopped["right"] > 400
    assert stops.share("right") <= _at_most(0.05, stops.stopped["right"])
    # A flat prior is not: that is why a posterior decides nothing here.
    assert stops.share("flat") > 0.08


@pytest.mark.parametrize("margin", [0.02, 0.1])
def test_a_guardrail_at_its_margin_is_wrong_in_5_percent_at_most(margin: float) -> None:
    traffic = Traffic.of(EXPERIMENTS, relative=-margin)
    found = watch_guardrail(margin, traffic, 40, np.random.default_rng(9))
    for verdict in found:
        assert verdict.mean() <= _at_most(0.05, EXPERIMENTS)


def test_the_world_is_what_it_says() -> None:
    """Moments that are put together from buyers are those of all units."""
    (statistics,) = Traffic.of(1, 20_000.0).looks(1, np.random.default_rng(1))
    joint = rows_of(statistics, slice(0, 1)).joint
    assert joint is not None
    n, y = statistics.units[0, 0], statistics.conversions[0, 0]
    rate, orders, revenue = joint.mean[0, 0, 1:4]
    assert rate == pytest.approx(0.05, abs=0.005)
    assert orders / rate == pytest.approx(1.15, abs=0.05)
    mean = math.exp(8 + 0.9**2 / 2)
    assert revenue / orders == pytest.approx(mean, rel=0.1)
    squares = joint.comoment[0, 0]
    assert squares[1, 1] / n == pytest.approx(y / n * (1 - y / n))
    # Orders of a buyer have mean 1.15 and variance .15.
    second = 0.15 + 1.15**2
    assert squares[2, 2] / n == pytest.approx(rate * second - orders**2, rel=0.05)
    assert squares[1, 2] / n == pytest.approx(orders * (1 - rate), rel=0.01)
    value = second * mean
    assert squares[2, 3] / n == pytest.approx(rate * value - orders * revenue, rel=0.15)
    assert squares[3, 3] / n == pytest.approx(
        rate * second * math.exp(16 + 2 * 0.9**2) - revenue**2, rel=0.5
    )
