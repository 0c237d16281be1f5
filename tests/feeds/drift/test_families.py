"""The predictives against scipy.stats, and what baselines say of stores."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit

from stream_hb.feeds.drift.baseline import Baseline
from stream_hb.feeds.drift.counts import Counts
from stream_hb.feeds.drift.families import FAMILIES
from stream_hb.feeds.drift.family import Observed, Predictive
from stream_hb.feeds.drift.rates import Rates, log_probability_of_none
from stream_hb.feeds.drift.settings import DriftHyper, DriftSettings
from stream_hb.feeds.drift.tick import Cleaned, Kind
from stream_hb.feeds.drift.values import Values
from stream_hb.statistics.columns import Floats

SETTINGS = DriftSettings()
SHIFTS = np.array([[-1.0], [-0.05], [0.3], [1.0]])
SIZE = np.array([1.0, 40.0, 900.0])
VARIANCE = np.array([0.09, 0.02, 0.006])


def gained(told: Predictive) -> Floats:
    gain: Floats = told.log_density(SHIFTS) - told.log_density(np.zeros((1, 1)))
    return gain


def test_the_counts_predictive_is_a_beta_binomial_at_every_shift() -> None:
    y, link = np.array([0.0, 3.0, 61.0]), logit(np.array([0.05, 0.05, 0.06]))
    told = Counts().predictive(Observed(SIZE, y), link, VARIANCE, SETTINGS)
    precision = 1 / (expit(link) * (1 - expit(link)) * VARIANCE) - 1

    def log_pmf(shift: Floats) -> Floats:
        alpha = precision * expit(link + shift)
        out: Floats = stats.betabinom.logpmf(y, SIZE, alpha, precision - alpha)
        return out

    np.testing.assert_allclose(gained(told), log_pmf(SHIFTS) - log_pmf(np.zeros(3)), atol=1e-8)
    exact = stats.betabinom(SIZE, precision * expit(link), precision * expit(-link))
    np.testing.assert_allclose(told.z, (y - exact.mean()) / exact.std(), rtol=1e-9)


def test_the_rates_predictive_is_a_negative_binomial_at_every_shift() -> None:
    y, link = np.array([0.0, 3.0, 61.0]), np.log(np.array([0.05, 0.05, 0.06]))
    told = Rates().predictive(Observed(SIZE, y), link, VARIANCE, SETTINGS)

    def log_pmf(shift: Floats) -> Floats:
        shape, mean = 1 / VARIANCE, SIZE * np.exp(link + shift)
        out: Floats = stats.nbinom.logpmf(y, shape, shape / (shape + mean))
        return out

    np.testing.assert_allclose(gained(told), log_pmf(SHIFTS) - log_pmf(np.zeros(3)), atol=1e-8)
    mean = SIZE * np.exp(link)
    np.testing.assert_allclose(told.z, (y - mean) / np.sqrt(mean + mean**2 * VARIANCE), rtol=1e-9)
    none = stats.nbinom.logpmf(0, 1 / VARIANCE, 1 / (1 + mean * VARIANCE))
    np.testing.assert_allclose(log_probability_of_none(mean, VARIANCE), none, rtol=1e-9)


def test_the_values_predictive_is_a_student_t_at_every_shift() -> None:
    mean, link = np.array([3.1, 3.6, 3.52]), np.full(3, 3.5)
    told = Values().predictive(Observed(SIZE, SIZE * mean), link, VARIANCE, SETTINGS)
    sd = np.sqrt(1 / SIZE + VARIANCE)
    df = SETTINGS.value_df

    def log_pdf(shift: Floats) -> Floats:
        out: Floats = stats.t.logpdf(mean, df, link + shift, sd * np.sqrt((df - 2) / df))
        return out

    np.testing.assert_allclose(gained(told), log_pdf(SHIFTS) - log_pdf(np.zeros(3)), atol=1e-9)
    np.testing.assert_allclose(told.z, (mean - link) / sd, rtol=1e-9)


def test_a_mean_log_value_that_is_far_off_is_drawn_in() -> None:
    observed = Observed(np.array([100.0]), np.array([100.0 * 50.0]))
    told = Values().predictive(observed, np.array([3.5]), np.array([0.01]), SETTINGS)
    assert told.z[0] == SETTINGS.winsor_sd


@pytest.mark.parametrize("kind", list(Kind))
def test_a_score_is_the_slope_of_the_log_density(kind: Kind) -> None:
    link = {Kind.COUNTS: logit(0.05), Kind.RATES: np.log(0.05), Kind.VALUES: 3.5}[kind]
    total = {Kind.COUNTS: 48.0, Kind.RATES: 48.0, Kind.VALUES: 900 * 3.51}[kind]
    observed = Observed(np.array([900.0]), np.array([total]))
    told = FAMILIES[kind].predictive(observed, np.array([link]), np.array([0.006]), SETTINGS)
    ends = told.log_density(np.array([[-1e-4], [1e-4]]))
    slope = (ends[1] - ends[0]) / 2e-4
    # The score is that of the expected curvature; a Student-t's slope is a few percent steeper.
    np.testing.assert_allclose(told.score, slope, rtol=0.1)


@pytest.mark.parametrize("base", [0.02, 0.5, 0.9])
def test_a_counts_relation_is_the_log_odds_ratio_at_every_rate(base: float) -> None:
    """With a ratio of rates, every store of a chain at 50 % would be told to drift."""
    shift = np.array([-0.6, 0.0, 0.4])
    n = np.full(3, 1e9)
    base_column = Baseline(
        n * expit(logit(base) + shift), n * base, n, np.zeros(3), np.full(3, 30.0)
    )
    relation, _ = Counts().relation(base_column, prior_size=11.0)
    np.testing.assert_allclose(relation, shift, atol=1e-5)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_store_without_a_baseline_is_like_the_chain_as_far_as_the_pool_knows(kind: Kind) -> None:
    relation, variance = FAMILIES[kind].relation(Baseline.of_new(1), prior_size=1 / 0.3**2)
    assert relation[0] == 0
    assert variance[0] == pytest.approx(0.09)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_rebuilt_baseline_says_what_it_was_rebuilt_from(kind: Kind) -> None:
    old = Baseline(*(np.array([value]) for value in (60.0, 50.0, 1000.0, 9.0, 20.0)))
    relation, information = np.array([0.7]), np.array([5e7])
    new = FAMILIES[kind].rebuilt(old, relation, information)
    told, variance = FAMILIES[kind].relation(new, prior_size=11.0)
    np.testing.assert_allclose(told, relation, atol=1e-4)
    assert variance[0] < 1e-6


def test_a_stores_own_variance_of_values_counts_as_far_as_it_is_known() -> None:
    tick = Cleaned(*(np.array([value]) for value in (10.0, 3.5, 8.0, 24.0)), *2 * [np.ones(1) > 0])
    known = Baseline(*(np.array([value]) for value in (0.0, 0.0, 1e9, 4e9, 50.0)))
    values, hyper = Values(), DriftHyper(0.2, sigma2=0.8)
    unknown = values.observed(tick, Baseline.of_new(1), hyper, SETTINGS, 0.0)
    own = values.observed(tick, known, hyper, SETTINGS, 0.0)
    assert unknown.size[0] == pytest.approx(10 / 0.8)
    assert own.size[0] == pytest.approx(10 / 4.0, rel=1e-6)


@pytest.mark.parametrize("shift", [-6.0, -0.8, -0.1, 0.1, 0.8, 3.0])
@pytest.mark.parametrize("kind", [Kind.COUNTS, Kind.RATES])
def test_a_shift_is_measured_on_the_link_scale_however_large_it_is(
    kind: Kind, shift: float
) -> None:
    """The score of what a shifted store is expected to bring is a tangent: 1.15 for .8 at 5 %."""
    family, link = FAMILIES[kind], np.log(np.array([0.002, 0.05, 0.6]))
    expected = family.mean_and_weight(SIZE, link + shift)[0]
    told = family.predictive(Observed(SIZE, expected), link, VARIANCE, SETTINGS)
    found, left = family.shift_of(link, told.score / told.information)
    np.testing.assert_allclose(found, shift, rtol=1e-9)
    weight = family.mean_and_weight(SIZE, link + shift)[1] / family.mean_and_weight(SIZE, link)[1]
    np.testing.assert_allclose(left, np.minimum(weight, 1.0), rtol=1e-9)


@pytest.mark.parametrize("kind", [Kind.COUNTS, Kind.RATES])
def test_a_shift_that_no_rate_can_have_is_told_as_the_largest_one(kind: Kind) -> None:
    """One day of a thousand sales where one was expected was exp(1000) of anything."""
    found, left = FAMILIES[kind].shift_of(np.full(2, -7.0), np.array([-1e6, 1e6]))
    assert found.tolist() == [-10.0, 10.0]
    assert ((left >= 0) & (left <= 1)).all()


def test_a_value_shift_larger_than_a_days_deviation_may_be_is_measured_whole() -> None:
    settings = DriftSettings.for_values()
    size = np.full(1, 400.0)
    told = Values().predictive(Observed(size, size * 0.8), np.zeros(1), np.zeros(1), settings)
    assert told.z[0] == settings.winsor_sd
    np.testing.assert_allclose(told.score / told.information, 0.8)
    wild = Values().predictive(Observed(size, size * 40.0), np.zeros(1), np.zeros(1), settings)
    np.testing.assert_allclose(wild.score / wild.information, 4 * 0.05 + 2 * 0.8)


@pytest.mark.parametrize("link", [-800.0, -40.0, 40.0, 800.0])
@pytest.mark.parametrize("successes", [0.0, 1.0, 1e6])
def test_where_all_or_none_convert_the_densities_are_finite(link: float, successes: float) -> None:
    """One NaN among them silences a store for ever: S never leaves it."""
    size = np.full(1, 1e6)
    at = np.full(1, link), np.full(1, 0.01)
    told = Counts().predictive(Observed(size, np.full(1, successes)), *at, SETTINGS)
    assert np.isfinite(gained(told)).all()
    assert np.isfinite([told.z, told.z**2, told.score, told.information]).all()
