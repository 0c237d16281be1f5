"""Always-valid inference against ville, confseq and gbstats (ab_sequential, ab_confseq)."""

import math
from typing import Any

import numpy as np
import pytest

from stream_hb.errors import FitError
from stream_hb.feeds.experiments.bernoulli_sequence import bernoulli_sequence
from stream_hb.feeds.experiments.evalues import (
    Tuning,
    always_valid_p,
    best_ratio,
    e_bh,
    half_width,
    half_width_one_sided,
    log_e_of_p,
    log_e_value,
    log_e_value_above,
    rho2,
)
from stream_hb.statistics.columns import Floats
from tests.oracles.reading import oracle

SEQUENTIAL = oracle("ab_sequential")
CONFSEQ = oracle("ab_confseq")


def _column(rows: list[dict[str, Any]], name: str) -> Floats:
    return np.array([row[name] for row in rows], dtype=np.float64)


def test_e_and_p_are_the_formulas() -> None:
    rows = SEQUENTIAL["normal_mixture_evalue"]["rows"]
    log_e = log_e_value(_column(rows, "z"), _column(rows, "r"))
    np.testing.assert_allclose(np.exp(log_e), _column(rows, "evalue"), rtol=1e-9)
    p = always_valid_p(np.ones(len(rows)), log_e)
    np.testing.assert_allclose(p, _column(rows, "p_always"), rtol=1e-9)


def test_e_of_a_clear_effect_does_not_overflow() -> None:
    assert log_e_value(np.array([1e5]), np.array([8.0]))[0] == pytest.approx(4.4444e9, rel=1e-4)
    assert always_valid_p(np.ones(1), np.array([4e9]))[0] == 0


def test_e_and_p_along_a_stream_are_villes() -> None:
    stream = SEQUENTIAL["msprt_stream"]
    x = np.array(stream["x"])
    n = np.arange(1.0, len(x) + 1)
    z = np.cumsum(x) / (stream["sigma"] * np.sqrt(n))
    log_e = log_e_value(z, Tuning(tau=stream["tau"]).ratio(stream["sigma"] ** 2 / n, n, 0.05))
    p = np.ones(len(x) + 1)
    for i, one in enumerate(log_e):
        p[i + 1] = always_valid_p(p[i : i + 1], np.array([one]))[0]
    at = np.array(stream["idx"])
    np.testing.assert_allclose(np.exp(log_e[at - 1]), stream["e"], rtol=1e-9)
    np.testing.assert_allclose(p[at], stream["p"], rtol=1e-9)


def test_the_sequence_is_as_wide_as_the_formula() -> None:
    for row in SEQUENTIAL["halfwidth_in_se"]:
        width = half_width(np.ones(1), np.array([row["r"]]), row["alpha"])[0]
        assert width == pytest.approx(row["halfwidth_over_se"], rel=1e-9)


def test_zero_leaves_the_sequence_when_e_reaches_one_over_alpha() -> None:
    ratio = np.array([0.01, 1.0, 8.0, 300.0])
    log_e = log_e_value(half_width(np.ones(4), ratio, 0.05), ratio)
    np.testing.assert_allclose(log_e, math.log(20), rtol=1e-12)


def test_the_narrowest_ratio_is_the_one_found_by_search() -> None:
    for row in SEQUENTIAL["optimal_r"]:
        # The oracle searched a flat minimum: its r is good to 1e-6, its width to 1e-9.
        r = best_ratio(row["alpha"])
        assert r == pytest.approx(row["r_opt"], rel=2e-6)
        width = half_width(np.ones(1), np.array([r]), row["alpha"])[0]
        assert width == pytest.approx(row["halfwidth_over_se"], rel=1e-9)
        assert rho2(1.0, row["alpha"]) == pytest.approx(row["r_waudby_smith_eq161"], rel=1e-9)


def test_the_asymptotic_sequence_is_villes() -> None:
    """The oracle says "running intersection"; its values are those of each look alone."""
    expected = SEQUENTIAL["asymptotic_cs_ville"]
    x = np.array(SEQUENTIAL["msprt_stream"]["x"])
    n = np.array(expected["idx"])
    mean = np.array([x[:i].mean() for i in n])
    se = np.array([x[:i].std(ddof=1) for i in n]) / np.sqrt(n)
    # ville takes the best r itself, by a search that is good to 1e-6.
    half = half_width(se, n / expected["t_opt"] * best_ratio(0.05), 0.05)
    np.testing.assert_allclose(mean - half, expected["lo"], rtol=1e-5)
    np.testing.assert_allclose(mean + half, expected["hi"], rtol=1e-5)


@pytest.mark.parametrize("row", CONFSEQ["boundaries"])
def test_boundaries_are_confseqs(row: dict[str, Any]) -> None:
    v, alpha = row["v"], row["alpha"]
    ratio = np.array([v * rho2(row["v_opt"], row["alpha_opt"])])
    # confseq divides by 2 ln(1/a) + ln(1 + 2 ln(1/a)) too: ρ² is the reciprocal of its ρ.
    two = half_width(np.sqrt([v]), ratio, alpha)[0]
    assert two == pytest.approx(row["normal_two"], rel=1e-5)
    # The one-sided mixture reaches 1/alpha at confseq's boundary, tuned with 2 alpha.
    ratio = np.array([v * rho2(row["v_opt"], 2 * row["alpha_opt"])])
    z = np.array([row["normal_one"]]) / math.sqrt(v)
    assert log_e_value_above(z, ratio)[0] == pytest.approx(-math.log(alpha), rel=1e-5)
    # The closed form lies above the exact boundary, by little.
    closed = half_width_one_sided(np.ones(1), ratio, alpha)[0]
    assert 1 <= closed / z[0] < 1.06


@pytest.mark.parametrize("row", CONFSEQ["bernoulli_ci"])
def test_a_bernoulli_sequence_is_confseqs(row: dict[str, Any]) -> None:
    lo, hi = bernoulli_sequence(row["y"], row["n"], row["alpha"], row["t_opt"])
    assert lo == pytest.approx(row["lo"], abs=1e-5)
    assert hi == pytest.approx(row["hi"], abs=1e-5)


def test_a_bernoulli_sequence_along_a_stream_is_confseqs() -> None:
    x, found = CONFSEQ["stream_x"], CONFSEQ["conjmix_bernoulli_topt100"]
    for n, ends in zip(CONFSEQ["stream_idx"], found, strict=True):
        # Their Python searches a grid of a thousandth. At 10 of 400 it is .007 narrower than
        # their C++, which the test above holds us to.
        if n > 10:
            assert bernoulli_sequence(sum(x[:n]), n, 0.05, 100) == pytest.approx(ends, abs=1.5e-3)


@pytest.mark.parametrize(("n", "best_at"), [(49, 4.0), (3_000, 9.0), (30_000_000, 2_500.0)])
def test_where_all_buy_the_sequence_mirrors_that_where_nobody_does(n: int, best_at: float) -> None:
    """A log Beta that is infinite next to p = 1 left no end to be found: the look ended there."""
    none, every = (bernoulli_sequence(k, n, 0.1, best_at) for k in (0, n))
    assert every == pytest.approx((1 - none[1], 1.0), abs=1e-11)
    assert none[0] == 0
    assert 0 < none[1] < 1


def test_a_bernoulli_sequence_never_misses_more_often_than_alpha() -> None:
    random, misses, rate = np.random.default_rng(11), 0, 0.03
    for _ in range(200):
        k = np.cumsum(random.random(2000) < rate)
        looks = range(49, 2000, 400)
        found = [bernoulli_sequence(k[n], n + 1, 0.05, 500) for n in looks]
        misses += any(not lo <= rate <= hi for lo, hi in found)
    # Three Monte-Carlo errors above .05.
    assert misses / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


@pytest.mark.parametrize("row", SEQUENTIAL["ebh"])
def test_e_bh_rejects_what_wang_and_ramdas_reject(row: dict[str, Any]) -> None:
    with np.errstate(divide="ignore"):
        assert e_bh(np.log(row["e"]), row["alpha"]).tolist() == row["reject"]


def test_e_bh_takes_no_knowledge_for_no_evidence() -> None:
    assert e_bh(np.array([np.nan, math.log(41), np.nan]), 0.05).tolist() == [False] * 3
    assert e_bh(np.array([np.nan, math.log(61), np.nan]), 0.05).tolist() == [False, True, False]
    assert e_bh(np.empty(0), 0.05).tolist() == []


def test_e_from_p_is_the_mixture_calibrator() -> None:
    rows = SEQUENTIAL["p_to_e"]
    np.testing.assert_allclose(
        np.exp(log_e_of_p(_column(rows, "p"))), _column(rows, "e"), rtol=1e-9
    )
    near = np.exp(log_e_of_p(np.array([1 - 1e-9, 1 - 0.9e-3, 1 - 1.1e-3])))
    np.testing.assert_allclose(near, [0.5, 0.5 + 0.9e-3 / 6, 0.5 + 1.1e-3 / 6], rtol=1e-6)


def test_nothing_known_is_an_infinitely_wide_sequence() -> None:
    assert half_width(np.ones(1), np.zeros(1), 0.05)[0] == math.inf
    assert half_width_one_sided(np.ones(1), np.zeros(1), 0.05)[0] == math.inf
    assert log_e_value(np.zeros(1), np.zeros(1))[0] == 0


def test_a_sequence_without_an_alpha_is_refused() -> None:
    with pytest.raises(FitError, match="alpha"):
        rho2(100, 0.0)
    with pytest.raises(FitError, match="units above 0"):
        rho2(0, 0.05)
    with pytest.raises(FitError, match="one-sided"):
        half_width_one_sided(np.ones(1), np.ones(1), 0.5)
    with pytest.raises(FitError, match="expected 0 <= k <= n"):
        bernoulli_sequence(3, 2, 0.05, 100)
