"""Sample ratio mismatch against ssrm-test and Lindon & Malek's code (ab_sequential.json)."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from stream_hb.feeds.experiments.guardrail import judge_guardrail
from stream_hb.feeds.experiments.srm import sample_ratio, srm_log_e
from tests.oracles.reading import oracle


@pytest.mark.parametrize("row", oracle("ab_sequential")["srm_sequential"]["rows"])
def test_the_continuous_test_is_ssrm_tests(row: dict[str, Any]) -> None:
    counts = np.array([row["counts"]], dtype=float)
    log_e = srm_log_e(counts, np.array(row["p"]), row["concentration"])[0]
    # Log-gammas of 1e5 leave ten digits to their difference.
    assert log_e == pytest.approx(row["log_evalue"], rel=1e-9, abs=1e-9)
    assert min(1.0, math.exp(-log_e)) == pytest.approx(row["p_always"], rel=1e-8)


def test_the_chi_square_is_scipys() -> None:
    units, weights = np.array([5010.0, 4800.0, 5190.0]), np.array([0.3, 0.3, 0.4])
    expected = chisquare(units, weights * units.sum()).pvalue
    assert sample_ratio(units, weights).p_value == pytest.approx(expected, rel=1e-12)


def test_an_arm_of_weight_zero_leaves_the_total_and_a_unit_in_it_is_unexpected() -> None:
    found = sample_ratio(np.array([101.0, 100.0, 99.0]), np.array([0.5, 0.5, 0.0]))
    assert found.p_value > 0.9
    assert found.unexpected == 99
    assert found.status == "ok"


def test_a_sure_deviation_too_small_to_matter_is_no_alert_by_chi_square() -> None:
    units = np.array([500_500_000.0, 499_500_000.0])
    found = sample_ratio(units, np.array([0.5, 0.5]))
    assert found.deviation < 0.001
    assert found._replace(log_e=0.0).status == "warn"
    assert found.status == "alert"  # the continuous test has found it at every look


def test_no_units_and_a_single_arm_are_no_mismatch() -> None:
    assert sample_ratio(np.zeros(2), np.array([0.5, 0.5])).status == "ok"
    assert sample_ratio(np.array([5.0]), np.array([1.0])).status == "ok"


def test_looked_at_every_day_the_continuous_test_keeps_its_promise() -> None:
    random, share = np.random.default_rng(2), np.array([0.5, 0.5])
    arms = random.binomial(200, 0.5, (20_000, 30)).cumsum(axis=1).astype(float)
    total = 200.0 * np.arange(1, 31)
    top = np.array([srm_log_e(np.column_stack([a, total - a]), share).max() for a in arms[:5000]])
    # Ville: P(sup E >= 20) <= .05; three Monte-Carlo errors.
    assert (top >= math.log(20)).mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 5000)


@pytest.mark.parametrize(
    ("lower", "upper", "verdict"),
    [
        (-0.019, 0.5, "pass"),
        (-0.02, 0.5, "inconclusive"),
        (-math.inf, math.inf, "inconclusive"),
        (-0.5, -0.02, "inconclusive"),
        (-0.5, -0.021, "fail"),
        (math.nan, math.nan, "inconclusive"),
    ],
)
def test_only_a_bound_beyond_the_margin_decides(lower: float, upper: float, verdict: str) -> None:
    assert judge_guardrail(lower, upper, 0.02) == verdict
