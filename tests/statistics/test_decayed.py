"""Weighted statistics: Kish's size, ageing, rescaling, and the trap of raw decayed sums."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stream_hb.models.beta_binomial import BetaBinomial
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.decayed import Decayed
from stream_hb.statistics.decayed_counts import DecayedCounts
from stream_hb.statistics.decayed_exposure import DecayedExposure
from stream_hb.statistics.decayed_moments import DecayedMoments
from tests.oracles.reading import oracle

ONE_GROUP = 1
WEIGHTS = hnp.arrays(np.float64, 12, elements=st.floats(2.0**-30, 2.0**10))
KINDS = pytest.mark.parametrize("kind", [DecayedCounts, DecayedExposure, DecayedMoments])


def made(kind: type[Decayed[Any]], weights: Floats, seed: int = 1) -> Decayed[Any]:
    """Observations of three groups, with the given weights."""
    random = np.random.default_rng(seed)
    rows = random.integers(0, 3, len(weights))
    if kind is DecayedCounts:
        return DecayedCounts.of(rows, random.integers(0, 2, len(rows)).astype(float), weights, 3)
    if kind is DecayedExposure:
        hours = random.uniform(0.1, 9.0, len(rows))
        return DecayedExposure.of(rows, random.poisson(hours).astype(float), hours, weights, 3)
    return DecayedMoments.of(rows, random.normal(50.0, 3.0, len(rows)), weights, 3)


def rows_of(values: Floats) -> np.ndarray:
    return np.zeros(len(values), dtype=np.intp)


def test_the_vector_of_forward_decay() -> None:
    """Four events at half-life 3,600 s, one of them late, seen from the time of the last."""
    vector = oracle("forward_decay_vector")
    at, values = np.array(vector["events"]).T
    weights = np.exp2((at - vector["asof"]) / vector["half_life_s"])
    moments = DecayedMoments.of(rows_of(values), values, weights, ONE_GROUP)
    np.testing.assert_allclose(moments.weight, vector["sum_w"], rtol=1e-14)
    np.testing.assert_allclose(moments.weight * moments.mean, vector["sum_wx"], rtol=1e-14)
    np.testing.assert_allclose(moments.effective().weight, vector["kish"], rtol=1e-14)
    hours = DecayedExposure.of(rows_of(values), values, np.ones(4), weights, ONE_GROUP)
    np.testing.assert_allclose(hours.events, vector["sum_wx"], rtol=1e-14)
    np.testing.assert_allclose(hours.effective().exposure, vector["kish"], rtol=1e-14)
    visits = DecayedCounts.of(rows_of(values), values == 1, weights, ONE_GROUP)
    np.testing.assert_allclose(visits.effective().trials, vector["kish"], rtol=1e-14)


def test_any_landmark_gives_the_same_effective_sample() -> None:
    """The vector again, its weights relative to the first event instead of the last."""
    vector = oracle("forward_decay_vector")
    at, values = np.array(vector["events"]).T
    weights = np.exp2(at / vector["half_life_s"])
    late = DecayedMoments.of(rows_of(values), values, weights, ONE_GROUP)
    np.testing.assert_allclose(late.effective().weight, vector["kish"], rtol=1e-14)
    at_last = late.rescaled(2)  # 7,200 s are two half-lives
    np.testing.assert_allclose(at_last.weight, vector["sum_w"], rtol=1e-14)


@KINDS
@given(weights=WEIGHTS, exponent=st.integers(-60, 60))
@settings(max_examples=40, deadline=None)
def test_rescaling_loses_no_digit(kind: type[Decayed[Any]], weights: Floats, exponent: int) -> None:
    """Equality to the bit: of the way back, of the effective sample, and of a later merge."""
    a, b = made(kind, weights), made(kind, weights[::-1], seed=2)
    for name, column in a.columns().items():
        np.testing.assert_array_equal(
            a.rescaled(exponent).rescaled(-exponent).columns()[name], column
        )
        np.testing.assert_array_equal(
            a.rescaled(exponent).merge(b.rescaled(exponent)).columns()[name],
            a.merge(b).rescaled(exponent).columns()[name],
        )
    for name, column in a.effective().columns().items():
        np.testing.assert_array_equal(a.rescaled(exponent).effective().columns()[name], column)


@pytest.mark.parametrize("weight", [1.0, 0.01, 1e6])
def test_equal_weights_are_no_weights(weight: float) -> None:
    weights = np.full(40, weight)
    for kind in (DecayedCounts, DecayedExposure, DecayedMoments):
        effective = made(kind, weights).effective()
        plain = made(kind, np.ones(40)).effective()
        for name, column in effective.columns().items():
            np.testing.assert_allclose(column, plain.columns()[name], rtol=1e-9, err_msg=name)
    ones = made(DecayedMoments, np.ones(40))
    np.testing.assert_allclose(
        made(DecayedMoments, weights).effective().variance(), ones.effective().variance(), rtol=1e-9
    )


@given(weights=WEIGHTS, values=hnp.arrays(np.int64, 12, elements=st.integers(-99, 99)))
@settings(max_examples=30, deadline=None)
def test_the_effective_moments_are_those_of_exact_arithmetic(
    weights: Floats, values: np.ndarray
) -> None:
    """n = (Σw)²/Σw² and s² = M2/(Σw - Σw²/Σw), in fractions."""
    w, x = [Fraction(v) for v in weights], [Fraction(int(v)) for v in values]
    total, squares = sum(w), sum(v * v for v in w)
    mean = sum(a * b for a, b in zip(w, x, strict=True)) / total
    m2 = sum(a * (b - mean) ** 2 for a, b in zip(w, x, strict=True))
    s2 = m2 / (total - squares / total)
    size = total**2 / squares
    effective = DecayedMoments.of(
        rows_of(values), values.astype(float), weights, ONE_GROUP
    ).effective()
    np.testing.assert_allclose(effective.weight, float(size), rtol=1e-12)
    np.testing.assert_allclose(effective.mean, float(mean), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(effective.m2, float(s2 * (size - 1)), rtol=1e-9, atol=1e-9)


def test_how_exposure_is_cut_into_rows_does_not_matter() -> None:
    """Σw² over rows would say that ten rows of an hour are worth more than one of ten hours."""
    whole = DecayedExposure.of(
        rows_of(np.ones(2)), np.array([3.0, 8.0]), np.array([1.0, 10.0]), np.array([1.0, 0.5]), 1
    )
    cut = DecayedExposure.of(
        rows_of(np.ones(11)),
        np.array([3.0, 8.0] + [0.0] * 9),
        np.ones(11),
        np.array([1.0] + [0.5] * 10),
        1,
    )
    np.testing.assert_allclose(cut.effective().exposure, whole.effective().exposure, rtol=1e-14)
    np.testing.assert_allclose(cut.effective().events, whole.effective().events, rtol=1e-14)


def test_an_effective_exposure_has_the_variance_of_the_weighted_rate() -> None:
    """Var(Σwy/Σwt) = θ/T for any exposures and weights; 40,000 seeded draws, within 5 errors."""
    random = np.random.default_rng(7)
    hours, weights, rate = random.uniform(0.1, 5.0, 12), np.exp2(-np.arange(12) / 3), 1.7
    draws = random.poisson(rate * hours, (40_000, 12))
    rates = (draws @ weights) / (weights @ hours)
    rows = rows_of(hours)
    effective = DecayedExposure.of(rows, draws[0] + 0.0, hours, weights, 1).effective()
    relative_error = np.sqrt(2 / len(draws))
    assert abs(rates.var() * effective.exposure[0] / rate - 1) < 5 * relative_error


@KINDS
def test_silence_widens_but_does_not_move(kind: type[Decayed[Any]]) -> None:
    """One half-life halves the effective size; the estimate and its spread stay."""
    statistic = made(kind, np.exp2(-np.arange(60) / 20))
    ages = np.array([0.0, 1.0, 3.0])
    now, later = statistic.effective(), statistic.effective(ages)
    if isinstance(statistic, DecayedMoments):
        assert isinstance(now, type(later))
        np.testing.assert_allclose(later.weight, now.weight * np.exp2(-ages), rtol=1e-14)
        np.testing.assert_array_equal(later.mean, now.mean)
        np.testing.assert_allclose(later.variance(), now.variance(), rtol=1e-12)
        return
    for name, column in now.columns().items():
        np.testing.assert_allclose(later.columns()[name], column * np.exp2(-ages), rtol=1e-14)


def test_a_mean_silent_for_long_has_no_variance_of_its_own_left() -> None:
    moments = made(DecayedMoments, np.ones(12))
    assert np.isnan(moments.effective(10.0).variance()).all()
    assert (moments.effective(10.0).m2 == 0).all()


@KINDS
def test_nothing_has_no_effective_size(kind: type[Decayed[Any]]) -> None:
    for column in kind.zeros(2).effective().columns().values():
        np.testing.assert_array_equal(column, [0.0, 0.0])


@KINDS
@pytest.mark.parametrize("seed", range(5))
def test_a_residue_of_rounding_is_no_observation(kind: type[Decayed[Any]], seed: int) -> None:
    """All is taken away in another order than it came; Kish's size of the rest could be 1."""
    weights = np.random.default_rng(seed).uniform(0.1, 1.0, 30)
    total = made(kind, weights, seed).merge(made(kind, weights / 3, seed + 9))
    rest = total.remove(made(kind, weights, seed)).remove(made(kind, weights / 3, seed + 9))
    for name, column in rest.effective().columns().items():
        if name != "mean":
            np.testing.assert_array_equal(column, np.zeros(3), err_msg=name)


def test_raw_decayed_counts_cover_next_to_nothing_and_effective_ones_what_they_say() -> None:
    """The trap: Σwy out of Σwn as if they were trials.

    2,000 groups, θ ~ Beta with mean .1 and κ = 200, visited for twelve half-lives, worth about 100
    visits. The sums vary half as much as binomial counts would, so the fitted κ is infinite and
    every interval is the pool's: it covers as many groups as lie within its own width, the fewer
    the more groups there are. Would fail if a model were given the raw sums.
    """
    decayed, theta = _visited(groups=2000, effective_visits=100, concentration=200.0)
    raw, effective = Counts(decayed.successes, decayed.trials), decayed.effective()
    np.testing.assert_allclose(effective.trials, 100, rtol=0.03)
    assert BetaBinomial().fit(raw, "ml").boundary
    assert _coverage(raw, theta) < 0.2
    # The share's own error is .005; κ, taken as known, is fitted to 10 %, which moves it by .007.
    assert _coverage(effective, theta) > 0.95 - 4 * np.hypot(0.005, 0.007)


def _visited(
    groups: int, effective_visits: int, concentration: float
) -> tuple[DecayedCounts, Floats]:
    """Return decayed counts after visits at even distances, and the rates they came from."""
    random = np.random.default_rng(20260101)
    half_life = effective_visits * np.log(2) / 2
    weights = np.exp2(-np.arange(int(12 * half_life)) / half_life)
    theta = random.beta(0.1 * concentration, 0.9 * concentration, groups)
    success = (random.random((groups, len(weights))) < theta[:, None]).astype(float)
    rows = np.repeat(np.arange(groups), len(weights))
    return DecayedCounts.of(rows, success.ravel(), np.tile(weights, groups), groups), theta


def _coverage(counts: Counts, theta: Floats) -> float:
    family = BetaBinomial()
    posterior = family.posterior(counts, family.fit(counts, "ml").hyper, level=0.95)
    return float(((posterior.lo <= theta) & (theta <= posterior.hi)).mean())
