"""The recursions against the sums that they stand for."""

import numpy as np
import pytest
from scipy.special import logsumexp

from stream_hb.feeds.drift.detector import (
    Evidence,
    change,
    log_statistics,
    signed,
    updated,
)
from stream_hb.feeds.drift.family import Predictive
from stream_hb.feeds.drift.settings import DriftSettings
from stream_hb.statistics.columns import Floats

SETTINGS = DriftSettings(cap_excess=1e200)
RNG = np.random.default_rng(5)
STORES = 3
NOBODY = np.zeros(STORES)


def normal(x: Floats) -> Predictive:
    """Return a normal predictive of standard deviation .3."""
    scale2 = 0.09

    def log_density(shift: Floats) -> Floats:
        out: Floats = -((x - shift) ** 2) / (2 * scale2)
        return out

    return Predictive(x / 0.3, x / scale2, np.full(len(x), 1 / scale2), log_density)


def run(xs: list[Floats], settings: DriftSettings = SETTINGS) -> Evidence:
    evidence = Evidence.of_new(STORES, 2 * len(settings.shifts))
    for tick, x in enumerate(xs):
        evidence = updated(evidence, normal(x), NOBODY, tick, np.ones(STORES, bool), settings)
    return evidence


def test_the_recursion_is_the_sum_over_all_times_of_the_change() -> None:
    xs = [RNG.normal(0.1, 0.3, STORES) for _ in range(25)]
    evidence = run(xs)
    shift = signed(SETTINGS.shifts)
    edge = np.sign(shift) * SETTINGS.dead_band
    ratios = [normal(x).log_density(shift) - normal(x).log_density(edge) for x in xs]
    sums = np.array([sum(ratios[first:]) for first in range(len(xs))])
    np.testing.assert_allclose(evidence.log_s, logsumexp(sums, axis=0), atol=1e-9)
    weight = np.exp(sums - logsumexp(sums, axis=0))
    times = np.arange(len(xs))[:, None, None]
    np.testing.assert_allclose(evidence.changed_at, (weight * times).sum(axis=0), atol=1e-9)
    scores = np.array([sum(x / 0.09 for x in xs[first:]) for first in range(len(xs))])
    np.testing.assert_allclose(evidence.score, (weight * scores[:, None]).sum(axis=0), atol=1e-9)


def test_a_store_at_the_edge_of_its_dead_band_gathers_a_tick_a_tick_at_most() -> None:
    """E[S] <= t is what the promised rate of false alerts rests on; without the band E[S] grows."""
    many = 20_000
    for inside in (0.0, 0.05, -0.05):
        evidence = Evidence.of_new(many, 8)
        for tick in range(12):
            x = RNG.normal(inside, 0.3, many)
            told = normal(x)
            everybody = np.ones(many, bool)
            evidence = updated(evidence, told, np.zeros(many), tick, everybody, SETTINGS)
        mean = np.exp(evidence.log_s).mean(axis=0)
        error = np.exp(evidence.log_s).std(axis=0) / np.sqrt(many)
        assert (mean.mean() <= 12 + 3 * error.mean()).all(), (inside, mean)


def test_a_store_within_its_dead_band_for_ever_does_not_fire() -> None:
    """Without the band a constant offset of .05 is a certain drift after a few years."""
    evidence = run([np.full(STORES, 0.05)] * 3_000)
    assert max(one.max() for one in log_statistics(evidence)) < np.log(3_000)


def test_the_change_is_dated_and_measured() -> None:
    xs = [np.zeros(STORES)] * 40 + [np.full(STORES, 0.6)] * 10
    found = change(run(xs), NOBODY)
    np.testing.assert_allclose(found.changed_at, 40, atol=1.0)
    np.testing.assert_allclose(found.effect, 0.6, atol=0.03)
    np.testing.assert_allclose(found.sd, 1 / np.sqrt(10 / 0.09 + 1), rtol=0.05)


def test_the_statistic_rises_no_further_than_its_cap() -> None:
    settings = DriftSettings()
    evidence = run([np.full(STORES, 5.0)] * 50, settings)
    assert evidence.log_s.max() == settings.log_cap


def test_a_store_that_is_not_tested_keeps_its_evidence() -> None:
    before = run([np.full(STORES, 0.4)] * 3)
    tested = np.array([True, False, True])
    after = updated(before, normal(np.full(STORES, np.nan)), NOBODY, 4, tested & False, SETTINGS)
    assert all(
        np.array_equal(*pair) for pair in zip(before.columns(), after.columns(), strict=True)
    )


def test_a_shift_within_what_the_baseline_may_be_off_by_is_not_looked_for() -> None:
    unknown = np.full(STORES, 0.04)  # a standard deviation of .2
    one = np.ones(STORES, bool)
    found = updated(Evidence.of_new(STORES, 8), normal(NOBODY + 0.2), unknown, 0, one, SETTINGS)
    assert np.isneginf(found.log_s[[0, 4]]).all()
    assert np.isfinite(found.log_s[[1, 2, 3, 5, 6, 7]]).all()


@pytest.mark.parametrize("x", [0.5, -0.5])
def test_evidence_upward_is_kept_apart_from_evidence_downward(x: float) -> None:
    up, down = log_statistics(run([np.full(STORES, x)] * 5))
    assert ((up > down) == (x > 0)).all()
