"""Looks at an experiment: evidence and memory, and what is decided."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stream_hb.errors import FitError, SnapshotError
from stream_hb.feeds.experiments.belief import arm_beliefs, lift_belief
from stream_hb.feeds.experiments.declaration import DeclaredArm, Experiment, Guardrail
from stream_hb.feeds.experiments.evalues import (
    Tuning,
    half_width_one_sided,
    log_e_value,
    rho2,
)
from stream_hb.feeds.experiments.fieller import fieller_ends
from stream_hb.feeds.experiments.lift import ArmMean
from stream_hb.feeds.experiments.outcomes import METRICS
from stream_hb.feeds.experiments.state import State
from tests.feeds.experiments.looked import (
    DAY_MS,
    START_MS,
    THREE,
    TWO,
    drawn_units,
    floats,
    looked,
    of_units,
    seen,
    totals,
)

BETTER = totals([[5000, 5000]], [[250, 400]])
WORSE = totals([[5000, 5000]], [[400, 250]])
EQUAL = totals([[5000, 5000]], [[300, 301]])


def _log_e(found: Any, metric: str = "conversion", row: int = 0) -> float:
    return float(found.metrics[metric].log_e[row, 0])


def _z(y0: float, y1: float, n: float) -> tuple[float, float]:
    """z of a difference of two rates, and the variance of the relative lift."""
    p0, p1 = y0 / n, y1 / n
    v0, v1 = p0 * (1 - p0) / (n - 1), p1 * (1 - p1) / (n - 1)
    return (p1 - p0) / math.sqrt(v0 + v1), v1 / p0**2 + v0 * p1**2 / p0**4


def test_e_is_the_formula_with_the_tuning_that_was_declared() -> None:
    z, _ = _z(250, 400, 5000)
    ratio = 10_000 * rho2(5_000, 0.05)
    expected = log_e_value(floats(z), floats(ratio))[0]
    assert _log_e(looked(TWO, seen(BETTER))[1]) == pytest.approx(expected, rel=1e-12)


def test_a_declared_spread_of_lifts_is_relative_to_the_control() -> None:
    z, relative_variance = _z(250, 400, 5000)
    _, found = looked(replace(TWO, tuning=Tuning(tau=0.1)), seen(BETTER))
    expected = log_e_value(floats(z), floats(0.01 / relative_variance))[0]
    assert _log_e(found) == pytest.approx(expected, rel=1e-12)


def test_the_tuning_stays_as_it_was_at_the_start_whatever_the_data_say() -> None:
    """Fails where τ is fitted to the stores' effects, of this look or of one before."""
    experiment = replace(TWO, tuning=Tuning(tau=0.1))
    state, _ = looked(experiment, seen(totals([[5000, 5000]] * 4, [[100, 300]] * 4), 5))
    assert state.tuning == Tuning(tau=0.1)
    pairs = [[250, 400], [400, 250], [250, 260], [300, 100]]
    _, found = looked(experiment, seen(totals([[5000, 5000]] * 4, pairs), 9), state)
    for row, (y0, y1) in enumerate(pairs, 1):
        z, relative_variance = _z(y0, y1, 5000)
        expected = log_e_value(floats(z), floats(0.01 / relative_variance))[0]
        assert _log_e(found, row=row) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("pair", [[250, 400], [250, 326], [250, 327], [250, 251], [400, 250]])
def test_both_sequences_hold_zero_exactly_when_e_is_below_one_over_alpha(pair: list[float]) -> None:
    evidence = looked(TWO, seen(totals([[5000, 5000]], [pair])))[1].metrics["conversion"].evidence
    for sequence in (evidence.sequence, evidence.relative_sequence):
        holds = sequence.lo[0, 0] <= 0 <= sequence.hi[0, 0]
        assert holds == (evidence.log_e[0, 0] < math.log(20))


def test_p_never_rises_again() -> None:
    state, first = looked(TWO, seen(BETTER, 9))
    _, second = looked(TWO, seen(EQUAL, 10), state)
    assert _log_e(second) < 0 < _log_e(first)
    p = [found.metrics["conversion"].p[0, 0] for found in (first, second)]
    assert p[0] == p[1] == pytest.approx(math.exp(-_log_e(first)))


def test_the_same_look_twice_is_the_same_state() -> None:
    state, found = looked(TWO, seen(BETTER))
    again, same = looked(TWO, seen(BETTER), state)
    assert found.decision == same.decision
    for name, value in state.snapshot().items():
        np.testing.assert_array_equal(again.snapshot()[name], value)


def test_a_change_of_the_rules_is_a_new_epoch_and_no_second_chance() -> None:
    state, first = looked(TWO, seen(BETTER, 8))
    least = first.metrics["conversion"].p[0, 0]
    state, first = looked(TWO, seen(EQUAL, 9), state)
    changed = replace(TWO, tuning=Tuning(1_000))
    at = START_MS + 10 * DAY_MS
    new, found = looked(changed, seen(BETTER, 10), state)
    # What was counted before belongs to the epoch before, and none of it is used twice.
    assert (new.epoch, new.since_ms, new.tuning) == (2, at, Tuning(1_000))
    assert not found.metrics["conversion"].evidence.enough.any()
    assert _log_e(found) == _log_e(first)
    assert found.metrics["conversion"].p[0, 0] == least < 1e-6
    # On data of its own the new epoch's E multiplies.
    _, later = looked(changed, seen(WORSE, 20), new)
    _, alone = looked(changed, seen(WORSE, 20))
    assert _log_e(later) == pytest.approx(_log_e(first) + _log_e(alone))
    # ... and a fingerprint that is the same begins nothing.
    same, _ = looked(replace(TWO, prior=None), seen(BETTER, 10), state)
    assert same.epoch == 1


def test_other_arms_begin_with_no_evidence() -> None:
    state, _ = looked(TWO, seen(BETTER, 9))
    three = totals([[5000, 2500, 2500]], [[250, 125, 125]])
    new, found = looked(THREE, seen(three, 10), state)
    assert new.epoch == 2
    assert (found.metrics["conversion"].p == 1).all()


def test_a_new_store_joins_with_no_evidence_and_the_others_keep_theirs() -> None:
    state, first = looked(TWO, seen(totals([[5000, 5000]], [[250, 400]]), 9))
    wider, second = looked(
        TWO, seen(totals([[5000, 5000], [0, 0]], [[250, 400], [0, 0]]), 10), state
    )
    p = second.metrics["conversion"].p[:, 0]
    assert p[1] == first.metrics["conversion"].p[1, 0]
    assert p[2] == 1
    with pytest.raises(FitError, match="stores keep their rows"):
        looked(TWO, seen(BETTER), wider)


def test_a_snapshot_restores_the_memory() -> None:
    state, _ = looked(replace(TWO, tuning=Tuning(3_000, 0.2)), seen(BETTER))
    plain = state.snapshot()
    again = State.restore(plain)
    assert again.tuning == Tuning(3_000, 0.2)
    for name, value in plain.items():
        np.testing.assert_array_equal(again.snapshot()[name], value)
    state.p[:] = 7
    assert (plain["p"] < 7).all()
    with pytest.raises(SnapshotError, match="no since_ms, p"):
        State.restore({n: v for n, v in plain.items() if n not in ("since_ms", "p")})
    with pytest.raises(SnapshotError, match="different sizes"):
        State.restore({**plain, "p": plain["p"][:, :1]})


@pytest.mark.parametrize(
    "statistics",
    [
        totals([[0, 0], [0, 0]], [[0, 0], [0, 0]]),
        totals([[5000, 0]], [[300, 0]]),
        totals([[99, 99]], [[50, 50]]),
        totals([[5000, 5000]], [[49, 200]]),
        totals([[5000, 5000]], [[0, 0]]),
        of_units(drawn_units(np.random.default_rng(1), 0)),
    ],
    ids=["all silent", "one arm silent", "too few", "too few orders", "no order", "no unit"],
)
def test_too_little_is_said_to_be_insufficient(statistics: Any) -> None:
    experiment = replace(TWO, metrics=METRICS, guardrails=(Guardrail("order_rate", 0.1),))
    assigned = np.full(statistics.shape, 5000.0)
    state, found = looked(experiment, seen(statistics, assigned=assigned))
    assert found.decision.action == "continue"
    assert any(reason.startswith("insufficient") for reason in found.decision.reasons)
    assert (state.p == 1).all()
    assert np.isfinite(state.log_e).all()
    assert {rail.verdict for rail in found.rails[0]} == {"inconclusive"}


def test_an_arm_that_gets_no_unit_at_all_is_a_wrong_ratio() -> None:
    _, found = looked(TWO, seen(totals([[5000, 0]], [[300, 0]])))
    assert found.decision.action == "hold"


def test_statistics_of_other_arms_are_refused() -> None:
    with pytest.raises(FitError, match=r"expected \(stores, 3\)"):
        looked(THREE, seen(BETTER))
    with pytest.raises(FitError, match="assigned units of"):
        looked(TWO, seen(BETTER, assigned=np.zeros((2, 2))))


def test_ship_is_for_an_arm_that_is_shown_to_be_better_after_a_week() -> None:
    _, found = looked(TWO, seen(BETTER, 9))
    assert (found.decision.action, found.decision.arm) == ("ship", "b")
    (reason,) = found.decision.reasons
    assert reason.startswith("conversion of arm b +60.0% (95% sequence +")
    assert "always-valid p" in reason


def test_before_the_minimum_runtime_nothing_is_shipped() -> None:
    """7 days of mature units: the last of them was first seen a window before the look."""
    for day, action in ((7.9, "continue"), (8.0, "ship")):
        _, found = looked(TWO, seen(BETTER, day))
        assert found.decision.action == action
    _, found = looked(TWO, seen(BETTER, 7.5))
    assert "minimum runtime: mature units span 6.5 days of 7.0" in found.decision.reasons
    assert found.decision.reasons[0].startswith("arm b is better")


def test_units_that_came_late_have_not_run_since_the_declared_start() -> None:
    late = replace(seen(BETTER, 20), begun_ms=seen(BETTER, 13).at_ms)
    _, found = looked(TWO, late)
    assert "minimum runtime: mature units span 6.0 days of 7.0" in found.decision.reasons
    _, found = looked(TWO, replace(late, begun_ms=seen(BETTER, 12).at_ms))
    assert found.decision.action == "ship"


def test_harm_does_not_wait_for_the_minimum_runtime() -> None:
    _, found = looked(TWO, seen(WORSE, 2))
    assert (found.decision.action, found.decision.arm) == ("rollback", "b")
    assert found.decision.reasons[0].startswith("arm b is worse: conversion of arm b -37.5%")


def test_a_probability_of_being_best_ships_nothing() -> None:
    nearly = totals([[5000, 5000]], [[250, 305]])
    best = arm_beliefs(replace(TWO, prior=None), nearly, "conversion")[1]
    assert best is not None
    assert best.probability_best > 0.99
    _, found = looked(TWO, seen(nearly))
    assert found.metrics["conversion"].p[0, 0] > 0.05
    assert found.decision.action == "continue"
    assert found.decision.reasons[0].startswith("not decided")


def test_what_was_shown_once_but_has_turned_is_not_shipped() -> None:
    state, _ = looked(TWO, seen(BETTER, 5))
    turned = totals([[20_000, 20_000]], [[1300, 1200]])
    _, found = looked(TWO, seen(turned, 12), state)
    assert found.metrics["conversion"].p[0, 0] < 0.05
    assert found.decision.action != "ship"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"assigned": floats(5000.0, 6000.0)[None]}, "srm: the arms' shares"),
        ({"undeclared": 1.0}, "unexpected_arm: 1 units"),
        ({"quality": ("mixed_currency",)}, "mixed_currency: the data cannot be trusted"),
        ({"crossovers": 200.0}, "crossover: the data cannot be trusted"),
    ],
)
def test_data_that_cannot_be_trusted_force_hold(more: dict[str, Any], reason: str) -> None:
    for statistics in (BETTER, WORSE):
        _, found = looked(TWO, seen(statistics, **more))
        assert found.decision.action == "hold"
        assert found.decision.arm is None
        assert any(one.startswith(reason) for one in found.decision.reasons)
    _, few = looked(TWO, seen(BETTER, crossovers=50.0))
    assert few.decision.action == "ship"


def test_a_sample_ratio_once_refuted_stays_so() -> None:
    state, _ = looked(TWO, seen(BETTER, assigned=floats(5000.0, 6000.0)[None]))
    _, found = looked(TWO, seen(BETTER, assigned=floats(60_000.0, 60_000.0)[None]), state)
    assert found.decision.action == "hold"


def test_one_store_with_a_wrong_ratio_is_found_among_many() -> None:
    units = np.full((40, 2), 5000.0)
    units[7] = 5000, 7000
    _, found = looked(TWO, seen(totals(units.tolist(), (units * 0.05).tolist()), 9))
    assert np.flatnonzero(found.srm_stores).tolist() == [7]
    assert found.decision.action == "hold"


def test_a_unit_in_an_arm_that_is_switched_off_is_unexpected() -> None:
    off = replace(TWO, arms=(*TWO.arms, DeclaredArm("c", 0.0)))
    statistics = totals([[5000, 5000, 0]], [[250, 400, 0]])
    assert looked(off, seen(statistics))[1].decision.action == "ship"
    _, found = looked(off, seen(statistics, assigned=floats(5000.0, 5000.0, 3.0)[None]))
    assert found.decision.action == "hold"
    assert found.decision.reasons[0].startswith("unexpected_arm: 3 units")
    assert found.srm.status == "ok"


RAILED = replace(TWO, guardrails=(Guardrail("order_rate", 0.1),))


def _railed(conversions: float, orders: float, n: float = 20_000) -> Any:
    statistics = totals([[n, n]], [[1000, conversions]])
    return replace(statistics, orders=floats(1000.0, orders)[None])


def test_a_guardrail_that_is_broken_rolls_back_an_arm_that_wins() -> None:
    _, found = looked(RAILED, seen(_railed(1300, 500)))
    assert found.decision.action == "rollback"
    assert found.decision.reasons[0].startswith(
        "arm b breaks guardrail order_rate: it has fallen by more than 10.0%"
    )


def test_a_guardrail_that_is_not_shown_to_hold_keeps_an_arm_from_shipping() -> None:
    _, found = looked(RAILED, seen(_railed(1300, 990)))
    assert found.decision.action == "continue"
    assert any("not shown yet" in reason for reason in found.decision.reasons)
    _, found = looked(RAILED, seen(_railed(1300, 1300)))
    assert found.decision.action == "ship"
    assert found.decision.reasons[1].startswith("guardrail order_rate: shown to fall by less")


def test_a_guardrails_bounds_are_one_sided_and_tuned_for_it() -> None:
    evidence = looked(RAILED, seen(BETTER))[1].metrics["order_rate"].evidence
    width = half_width_one_sided(np.ones((1, 1)), np.full((1, 1), 10_000 * rho2(5_000, 0.1)), 0.05)
    control, arm = (
        ArmMean(one.mean[:1], one.variance[:1], one.units[:1])
        for one in (evidence.control, evidence.arm)
    )
    lo, hi = fieller_ends(control, arm, width)
    assert evidence.bounds.lo[0, 0] == pytest.approx(lo[0, 0], rel=1e-12)
    assert evidence.bounds.hi[0, 0] == pytest.approx(hi[0, 0], rel=1e-12)
    assert lo[0, 0] > evidence.relative_sequence.lo[0, 0]


def test_of_two_arms_that_are_better_the_best_is_shipped() -> None:
    _, found = looked(THREE, seen(totals([[10_000, 5000, 5000]], [[500, 400, 450]])))
    assert (found.decision.action, found.decision.arm) == ("ship", "c")


def test_several_arms_share_one_error_probability() -> None:
    """p = .03 is enough for one arm and not for one of two."""
    y = next(
        y
        for y in range(250, 400)
        if looked(TWO, seen(totals([[5000, 5000]], [[250, y]])))[1].metrics["conversion"].p[0, 0]
        < 0.04
    )
    one = totals([[5000, 5000]], [[250, y]])
    assert looked(TWO, seen(one))[1].decision.action == "ship"
    equal = replace(THREE, arms=tuple(DeclaredArm(name, 1 / 3) for name in "abc"))
    _, found = looked(equal, seen(totals([[5000, 5000, 5000]], [[250, y, 250]])))
    assert found.decision.action == "continue"


def test_the_chain_compares_arms_within_stores() -> None:
    """A better store with more of arm b is no effect of arm b (cells added up say +73 %)."""
    statistics = totals([[9000, 1000], [1000, 9000]], [[450, 50], [200, 1800]])
    _, found = looked(TWO, seen(statistics, assigned=np.full((2, 2), 5000.0)))
    evidence = found.metrics["conversion"].evidence
    assert float(evidence.absolute.effect[0, 0]) == pytest.approx(0, abs=1e-12)
    assert found.decision.action == "continue"


def test_discoveries_among_stores_are_those_of_e_bh() -> None:
    conversions = [[250, 250]] * 39 + [[250, 450]]
    _, found = looked(TWO, seen(totals([[5000, 5000]] * 40, conversions)))
    assert np.flatnonzero(found.metrics["conversion"].discovered[:, 0]).tolist() == [39]


def test_an_experiment_of_units_and_of_totals_decide_the_same() -> None:
    units = drawn_units(np.random.default_rng(12), 40_000, lift=0.8)
    single = replace(units, visits=np.ones(len(units.arm)))
    experiment = replace(TWO, metrics=("conversion", "order_rate", "log_order_value"), cuped=False)
    of_events = of_units(single)
    of_totals = replace(of_events, joint=None)
    decisions = [looked(experiment, seen(s))[1].decision for s in (of_events, of_totals)]
    assert decisions[0].action == "ship"
    assert decisions[0] == decisions[1]


def test_the_past_of_units_makes_the_same_effect_surer() -> None:
    units = drawn_units(np.random.default_rng(13), 20_000, lift=0.3)
    experiment = replace(TWO, metrics=("order_rate",))
    found = {
        cuped: looked(replace(experiment, cuped=cuped), seen(of_units(units)))[1]
        for cuped in (False, True)
    }
    assert _log_e(found[True], "order_rate") > _log_e(found[False], "order_rate")


def test_a_lift_is_not_told_where_there_is_none() -> None:
    for statistics in (totals([[0, 0]], [[0, 0]]), totals([[50, 50]], [[0, 0]])):
        evidence = looked(TWO, seen(statistics))[1].metrics["conversion"].evidence
        assert lift_belief(TWO, evidence, "conversion", 0) is None
    assert arm_beliefs(TWO, totals([[0, 0]], [[0, 0]]), "conversion") == [None, None]
    one_arm = arm_beliefs(TWO, totals([[50, 0]], [[5, 0]]), "conversion")
    assert one_arm[0] is not None
    assert one_arm[0].probability_best == 1
    assert one_arm[1] is None


def test_swapped_arms_are_believed_to_be_the_opposite() -> None:
    """The prior is scaled by what both arms say: neither sign is favoured."""
    found = [
        looked(TWO, seen(totals([[5000, 5000]], [pair])))[1].metrics["conversion"].evidence
        for pair in ([250, 290], [290, 250])
    ]
    one, other = (lift_belief(TWO, evidence, "conversion", 0) for evidence in found)
    assert one is not None
    assert other is not None
    assert one.probability_above == pytest.approx(1 - other.probability_above, rel=1e-12)
    # N(0, .3²) draws a lift of 16 % with an error of 9 % down to 14.7 %.
    share = 0.3**2 * 0.054**2
    variance = (250 * 4750 + 290 * 4710) / 5000**2 / 4999
    assert one.mean == pytest.approx(0.16 * share / (share + variance), rel=1e-9)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("experiment", [TWO, THREE], ids=["two arms", "three arms"])
def test_beliefs_of_arms_sum_to_one_for_every_metric(experiment: Experiment, metric: str) -> None:
    arms = len(experiment.arms)
    units = drawn_units(np.random.default_rng(2), 5_000, arms=arms)
    beliefs = arm_beliefs(experiment, of_units(units, arms=arms), metric)
    known = [one for one in beliefs if one is not None]
    assert len(known) == arms
    assert sum(one.probability_best for one in known) == pytest.approx(1, abs=1e-9)
    assert min(one.expected_loss for one in known) >= 0
