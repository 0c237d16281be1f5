"""Lifts, CUPED, ratios against gbstats (ab_gbstats: HEAD of 2026-08-21; ab_lift: 0.8.0)."""

import math
import re
from typing import Any

import numpy as np
import pytest

from stream_hb.feeds.experiments.cuped import (
    Paired,
    adjusted,
    adjusted_relative_lift,
    of_stores,
    theta_of,
)
from stream_hb.feeds.experiments.evalues import (
    Tuning,
    always_valid_p,
    half_width,
    log_e_value,
)
from stream_hb.feeds.experiments.fieller import fieller_ends
from stream_hb.feeds.experiments.lift import (
    ArmMean,
    FixedTest,
    Lift,
    LiftPrior,
    absolute_lift,
    fixed_test,
    lift_posterior,
    normal_interval,
    relative_lift,
)
from stream_hb.feeds.experiments.normal_effect import judge_effect
from stream_hb.feeds.experiments.ratio import product_mean, ratio_mean
from stream_hb.statistics.moments import Moments
from tests.feeds.experiments.looked import floats
from tests.oracles.reading import oracle

GBSTATS = oracle("ab_gbstats")["cases"]
LIFT = oracle("ab_lift")


def _m2(statistic: dict[str, Any]) -> float:
    return float(statistic["sum_squares"] - statistic["sum"] ** 2 / statistic["n"])


def _cross(arm: dict[str, Any], first: str, second: str, products: str) -> float:
    return float(arm[products] - arm[first]["sum"] * arm[second]["sum"] / arm["n"])


def _arm(arm: dict[str, Any]) -> ArmMean:
    """Turn gbstats' statistic into a mean and its variance."""
    n = arm["n"]
    if "m_statistic" in arm:
        m, d = arm["m_statistic"], arm["d_statistic"]
        cross = _cross(arm, "m_statistic", "d_statistic", "m_d_sum_of_products")
        moments = (m["sum"] / n, _m2(m), d["sum"] / n, _m2(d), cross)
        return ratio_mean(np.array(float(n)), *(np.array(one) for one in moments))
    return ArmMean(np.array(arm["mean"]), np.array(arm["variance"] / n), np.array(float(n)))


def _paired(arm: dict[str, Any]) -> Paired:
    post, pre = arm["post_statistic"], arm["pre_statistic"]
    cross = _cross(arm, "post_statistic", "pre_statistic", "post_pre_sum_of_products")
    means = post["sum"] / arm["n"], _m2(post), pre["sum"] / arm["n"], _m2(pre)
    return Paired(*(np.array(float(one)) for one in (arm["n"], *means, cross)))


def _lift(case: dict[str, Any], control: ArmMean, arm: ArmMean) -> Lift:
    make = relative_lift if case["difference_type"] == "relative" else absolute_lift
    return make(control, arm)


def _prior(text: str) -> LiftPrior | None:
    if text == "flat":
        return None
    mean, sd = re.fullmatch(r"N\((.*),(.*)\^2\)", text).groups()  # type: ignore[union-attr]
    return LiftPrior(float(mean), float(sd))


def _same(expected: dict[str, Any], lift: Lift, half: Any) -> None:
    """Compare effect, sd and interval; one end of a one-sided interval is infinite."""
    assert float(lift.effect) == pytest.approx(expected["expected"], rel=1e-9, abs=1e-12)
    sd = expected.get("sd") or expected["uplift"]["stddev"]
    assert math.sqrt(lift.variance) == pytest.approx(sd, rel=1e-9)
    lo, hi = expected["ci"]
    assert float(lift.effect - half) == pytest.approx(lo, rel=1e-9)
    if hi != "inf":
        assert float(lift.effect + half) == pytest.approx(hi, rel=1e-9)


def _id(case: dict[str, Any]) -> str:
    names = ("test", "case", "difference_type", "prior", "n_star")
    return "-".join(str(case[name]) for name in names if name in case)


def _cases(*tests: str) -> list[dict[str, Any]]:
    return [case for case in GBSTATS if case["test"] in tests and case["case"] != "cuped"]


@pytest.mark.parametrize("case", _cases("bayes"), ids=_id)
def test_the_posterior_of_a_lift_is_gbstats(case: dict[str, Any]) -> None:
    control, arm = _arm(case["a"]), _arm(case["b"])
    scale = 1.0 if case["difference_type"] == "relative" else abs(float(control.mean))
    posterior = lift_posterior(_lift(case, control, arm), _prior(case["prior"]), scale)
    lo, hi = normal_interval(posterior, 0.95)
    _same(case["result"], posterior, (hi - lo) / 2)
    found = judge_effect(float(posterior.effect), math.sqrt(posterior.variance))
    assert found.probability == pytest.approx(case["result"]["chanceToWin"], rel=1e-9)
    risk = pytest.approx(case["result"]["risk"], rel=1e-9)
    assert [found.loss_keep, found.loss_ship] == risk


@pytest.mark.parametrize("case", _cases("SequentialTwoSidedTTest"), ids=_id)
def test_the_sequence_of_a_lift_is_gbstats(case: dict[str, Any]) -> None:
    control, arm = _arm(case["a"]), _arm(case["b"])
    lift, units = _lift(case, control, arm), control.units + arm.units
    ratio = Tuning(case.get("n_star", 5000)).ratio(lift.variance, units, 0.05)
    _same(case["result"], lift, half_width(np.sqrt(lift.variance), ratio, 0.05))
    p = always_valid_p(np.ones(()), log_e_value(lift.effect / np.sqrt(lift.variance), ratio))
    assert float(p) == pytest.approx(case["result"]["pValue"], rel=1e-9)


@pytest.mark.parametrize("case", _cases("TwoSidedTTest", "OneSidedTreatmentGreaterTTest"), ids=_id)
def test_the_fixed_test_of_a_lift_is_gbstats(case: dict[str, Any]) -> None:
    control, arm = _arm(case["a"]), _arm(case["b"])
    lift = _lift(case, control, arm)
    found: FixedTest = fixed_test(lift, control, arm, 0.95)
    one_sided = case["test"] != "TwoSidedTTest"
    _same(case["result"], lift, found.half_width_one_sided if one_sided else found.half_width)
    p = float(found.p_above if one_sided else found.p_value)
    assert p == pytest.approx(case["result"]["pValue"], rel=1e-9)


@pytest.mark.parametrize("case", [c for c in GBSTATS if c["case"] == "cuped"], ids=_id)
def test_cuped_is_gbstats_heads(case: dict[str, Any]) -> None:
    control, arm = _paired(case["a"]), _paired(case["b"])
    theta = case["theta"]
    both = Paired(*(np.stack(pair) for pair in zip(_columns(control), _columns(arm), strict=True)))
    means = adjusted(both, theta)
    one, other = (ArmMean(means.mean[i], means.variance[i], means.units[i]) for i in (0, 1))
    np.testing.assert_allclose(
        means.variance * means.units,
        [case["adjusted_variance_a"], case["adjusted_variance_b"]],
        rtol=1e-9,
    )
    relative = case["difference_type"] == "relative"
    lift = adjusted_relative_lift(control, arm, theta) if relative else absolute_lift(one, other)
    # gbstats takes Welch's degrees of freedom from the adjusted variances.
    half = fixed_test(lift, one, other, 0.95).half_width
    _same(case["result"], lift, half)


def _columns(paired: Paired) -> tuple[Any, ...]:
    return tuple(getattr(paired, name) for name in Paired.__dataclass_fields__)


def test_theta_is_pooled_over_the_arms_and_close_to_gbstats() -> None:
    case = next(case for case in GBSTATS if case["case"] == "cuped")
    pairs = zip(_columns(_paired(case["a"])), _columns(_paired(case["b"])), strict=True)
    both = Paired(*(np.stack(pair) for pair in pairs))
    # gbstats divides each arm's sums by n - 1 and weighs by n: a difference of order 1/n.
    assert theta_of(both) == pytest.approx(case["theta"], rel=1e-3)


def test_theta_is_zero_where_nothing_varies() -> None:
    zero, one = np.zeros(2), np.ones(2)
    assert theta_of(Paired(4 * one, one, one, one, zero, zero)) == 0
    assert theta_of(Paired(4 * one, one, zero, one, one, zero)) == 0


def test_a_stores_past_takes_out_the_variance_between_stores() -> None:
    random = np.random.default_rng(3)
    past = random.normal(10, 3, 30)
    units = random.integers(20, 60, (30, 2)).astype(float)
    mean, m2 = past[:, None] + random.normal(0, 0.1, (30, 2)), units - 1
    paired = of_stores(units, mean, m2, past)
    means = adjusted(paired, theta_of(paired))
    plain = adjusted(paired, 0.0)
    assert theta_of(paired) == pytest.approx(1, abs=0.02)
    assert (means.variance < 0.2 * plain.variance).all()


def test_a_stores_past_is_what_the_units_themselves_would_give() -> None:
    random = np.random.default_rng(5)
    store, arm = random.integers(0, 6, 900), random.integers(0, 2, 900)
    past = np.array([1.0, 2.0, 4.0, np.nan, 3.0, 0.5])
    y = random.normal(np.nan_to_num(past)[store] + arm)
    cells = Moments.of((store * 2 + arm).astype(np.intp), y, 12)
    units, mean, m2 = (getattr(cells, name).reshape(6, 2) for name in ("weight", "mean", "m2"))
    paired = of_stores(units, mean, m2, past)
    known = np.isfinite(past)
    x = np.where(known, past, past[store][known[store]].mean())[store]
    for i in (0, 1):
        mine = arm == i
        cross = ((y[mine] - y[mine].mean()) * (x[mine] - x[mine].mean())).sum()
        assert paired.cross[i] == pytest.approx(cross, rel=1e-9)
        assert paired.pre_m2[i] == pytest.approx(x[mine].var() * mine.sum(), rel=1e-9)
        assert paired.m2[i] == pytest.approx(y[mine].var() * mine.sum(), rel=1e-9)


@pytest.mark.parametrize("name", list(LIFT["data"]))
def test_the_other_cases_are_gbstats_080(name: str) -> None:
    values = LIFT["oracle"]["gbstats"]["values"].get(name)
    if values is None:  # held out
        return
    control, arm = (_counted(LIFT["data"][name][which]) for which in ("control", "treatment"))
    for test, expected in values.items():
        kind, difference, *rest = test.split("_")
        lift = (relative_lift if difference == "relative" else absolute_lift)(control, arm)
        if kind == "bayes":
            prior = None if rest == ["flat"] else LiftPrior(0.0, float(rest[1].removeprefix("sd")))
            scale = 1.0 if difference == "relative" else abs(float(control.mean))
            lift = lift_posterior(lift, prior, scale)
            lo, hi = normal_interval(lift, 0.95)
            half = (hi - lo) / 2
        elif kind == "ttest":
            half = fixed_test(lift, control, arm, 0.95).half_width
        else:
            ratio = Tuning(float(rest[0].removeprefix("tuning"))).ratio(
                lift.variance, control.units + arm.units, 0.05
            )
            half = half_width(np.sqrt(lift.variance), ratio, 0.05)
            expected = {"expected": float(lift.effect), "sd": math.sqrt(lift.variance), **expected}
        _same(expected, lift, half)


def _counted(arm: dict[str, Any]) -> ArmMean:
    n = np.array(float(arm["n"]))
    if "conversions" in arm:
        p = arm["conversions"] / n
        return ArmMean(p, p * (1 - p) / n, n)
    return ArmMean(arm["sum"] / n, np.array(_m2(arm)) / (n - 1) / n, n)


def test_a_fall_from_a_negative_baseline_reads_as_one() -> None:
    one = [ArmMean(np.array(mean), np.array(0.01), np.array(50.0)) for mean in (-10.0, -12.0)]
    assert float(relative_lift(*one).effect) == pytest.approx(-0.2)


def test_a_baseline_of_zero_has_no_relative_lift_and_no_accident() -> None:
    arms = [ArmMean(np.array(mean), np.array(0.01), np.array(50.0)) for mean in (0.0, 1.0)]
    lift = relative_lift(*arms)
    assert math.isnan(lift.effect)
    assert math.isnan(lift.variance)


def test_the_delta_method_and_the_product_agree_within_five_percent_from_100_orders_on() -> None:
    """A visit a unit: revenue per visit as one ratio, and as conversion times order value."""
    random = np.random.default_rng(8)
    for visits in (2_000, 20_000):
        ordered = random.random(visits) < 0.06
        revenue = np.where(ordered, random.lognormal(8, 0.9, visits), 0.0)
        orders = float(ordered.sum())
        assert orders >= 100
        one = np.array(1.0)
        m2 = np.array(revenue.var() * visits)
        ratio = ratio_mean(visits * one, revenue.mean() * one, m2, one, 0 * one, 0 * one)
        p, paid = ordered.mean(), revenue[ordered]
        rate = ArmMean(p * one, p * (1 - p) / visits * one, visits * one)
        value = ArmMean(paid.mean() * one, paid.var(ddof=1) / orders * one, orders * one)
        product = product_mean(rate, value)
        assert float(product.mean) == pytest.approx(float(ratio.mean), rel=1e-9)
        assert math.sqrt(product.variance / ratio.variance) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_fiellers_ends_solve_their_equation(sign: float) -> None:
    control = ArmMean(floats(10.0 * sign), floats(0.3), floats(50.0))
    arm = ArmMean(floats(12.0 * sign), floats(0.2), floats(50.0))
    width = floats(2.5)
    ends = fieller_ends(control, arm, width)
    assert ends.lo < relative_lift(control, arm).effect < ends.hi
    for lift in ends:
        q = 1 + sign * lift[0]
        gap = abs(arm.mean[0] - q * control.mean[0])
        assert gap == pytest.approx(2.5 * math.sqrt(0.2 + q**2 * 0.3), rel=1e-12)


def test_a_control_that_may_be_zero_bounds_no_relative_lift() -> None:
    one = ArmMean(floats(1.0, 10.0), floats(0.3, 0.3), floats(50.0, 50.0))
    ends = fieller_ends(one, one, floats(2.5, math.inf))
    assert ends.lo.tolist() == [-math.inf] * 2
    assert ends.hi.tolist() == [math.inf] * 2


def test_sure_means_have_the_delta_methods_interval() -> None:
    control, arm = (ArmMean(floats(mean), floats(1e-8), floats(50.0)) for mean in (10.0, 11.0))
    lift, ends = relative_lift(control, arm), fieller_ends(control, arm, floats(3.0))
    half = 3 * np.sqrt(lift.variance)
    np.testing.assert_allclose(ends.lo, lift.effect - half, rtol=1e-8)
    np.testing.assert_allclose(ends.hi, lift.effect + half, rtol=1e-8)
