"""Our answers beside gbstats' (``gbstats_answers.py``): where they agree, where not and why."""

import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stream_hb.feeds.experiments.beta_arms import Beta, compare_rates
from stream_hb.feeds.experiments.cuped import Paired, adjusted_relative_lift
from stream_hb.feeds.experiments.evalues import Tuning, half_width, log_e_value
from stream_hb.feeds.experiments.lift import (
    ArmMean,
    Lift,
    LiftPrior,
    absolute_lift,
    fixed_test,
    lift_posterior,
    relative_lift,
)
from stream_hb.feeds.experiments.normal_effect import judge_effect
from stream_hb.feeds.experiments.ratio import ratio_mean
from stream_hb.feeds.experiments.srm import sample_ratio

CLOSE = 1e-6
"""gbstats' sums of squares lose digits; a difference below this is theirs to explain."""

Difference = tuple[str, str, float]
"""What was asked, a note, and |ours - theirs| over the larger of theirs and a millionth."""


def main() -> None:
    """Print the table."""
    rows: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        for asked, note, apart in compare(one):
            rows[asked, note].append(apart)
    print("| asked | cases | agree | largest difference | |\n| --- | --- | --- | --- | --- |")
    for (asked, note), found in sorted(rows.items()):
        agree = sum(apart <= CLOSE for apart in found)
        print(f"| {asked} | {len(found)} | {agree} | {max(found):.1e} | {note} |")


def compare(one: dict[str, Any]) -> Iterator[Difference]:
    """Compare one question."""
    if one["kind"] == "srm":
        found = sample_ratio(np.array(one["units"], float), np.array(one["weights"]))
        has_zero = 0.0 in one["weights"]
        note = "an arm of weight 0 stays in gbstats' degrees of freedom" if has_zero else ""
        yield "srm: p", note, _apart(found.p_value, one["p"])
        return
    control, arm = (_arm(one["kind"], which, one["theta"]) for which in one["arms"])
    for difference, theirs in one["answers"].items():
        lift = _lift(one, difference, control, arm)
        yield from _lifts(one, difference, lift, control, arm, theirs)
    if one["kind"] == "proportion":
        yield _exact(one)


def _lifts(
    one: dict[str, Any],
    difference: str,
    lift: Lift,
    control: ArmMean,
    arm: ArmMean,
    theirs: dict[str, Any],
) -> Iterator[Difference]:
    kind, note = f"{one['kind']}, {difference}", _note(one, difference)
    scale = 1.0 if difference == "relative" else abs(_base(one))
    for name, prior in (("flat", None), ("prior", LiftPrior(0.0, 0.3))):
        posterior = lift_posterior(lift, prior, scale)
        mean, sd = float(posterior.effect), math.sqrt(posterior.variance)
        judged, asked = judge_effect(mean, sd), theirs[name]
        yield f"{kind}: lift, {name}", note, _apart(mean, asked["effect"])
        yield f"{kind}: sd, {name}", note, _apart(sd, asked["sd"])
        yield f"{kind}: chance to win, {name}", note, _apart(judged.probability, asked["chance"])
        yield (
            f"{kind}: risk, {name}",
            note,
            max(_apart(judged[1 + i], asked["risk"][i]) for i in (0, 1)),
        )
    fixed = fixed_test(lift, control, arm, 0.95)
    yield f"{kind}: Welch's p", note, _apart(float(fixed.p_value), theirs["fixed"]["p"])
    yield f"{kind}: Welch's p, one-sided", note, _apart(float(fixed.p_above), theirs["above"]["p"])
    se = np.sqrt(lift.variance)
    ratio = Tuning().ratio(lift.variance, control.units + arm.units, 0.05)
    low = float(lift.effect - half_width(se, ratio, 0.05))
    p = math.exp(-max(0.0, float(log_e_value(lift.effect / se, ratio))))
    yield f"{kind}: sequence", note, _apart(low, theirs["sequence"]["lo"])
    yield f"{kind}: sequential p", note, _apart(p, theirs["sequence"]["p"])


def _note(one: dict[str, Any], difference: str) -> str:
    if difference == "relative" and _base(one) < 0:
        return "no abs() of the baseline in gbstats 0.8.0: the sign is turned"
    if difference == "relative" and one["kind"] == "cuped":
        return "gbstats 0.8.0 has no covariance of numerator and denominator (its HEAD has)"
    return ""


def _exact(one: dict[str, Any]) -> Difference:
    """Compare the exact Beta posteriors with gbstats' Normal lift: another model of the same."""
    a, b = (Beta(1 + x["sum"], 1 + x["n"] - x["sum"]) for x in one["arms"])
    chance = one["answers"]["absolute"]["flat"]["chance"]
    apart = abs(compare_rates(a, b).probability - chance)
    return (
        "proportion: P(B > A) of Betas",
        "theirs is Normal, ours exact (absolute difference)",
        apart,
    )


def _base(one: dict[str, Any]) -> float:
    control = one["arms"][0]
    if one["kind"] == "ratio":
        return float(control["first"]["sum"] / control["second"]["sum"])
    return float(control.get("sum", control.get("first", {}).get("sum", 0)) / control["n"])


def _lift(one: dict[str, Any], difference: str, control: ArmMean, arm: ArmMean) -> Lift:
    if difference == "absolute":
        return absolute_lift(control, arm)
    if one["kind"] != "cuped":
        return relative_lift(control, arm)
    paired = [_paired(which) for which in one["arms"]]
    return adjusted_relative_lift(paired[0], paired[1], one["theta"])


def _arm(kind: str, arm: dict[str, Any], theta: float) -> ArmMean:
    n = np.array(float(arm["n"]))
    if kind == "proportion":
        p = arm["sum"] / n
        return ArmMean(p, p * (1 - p) / n, n)
    if kind == "mean":
        return ArmMean(arm["sum"] / n, np.array(_m2(arm)) / (n - 1) / n, n)
    p = _paired(arm)
    if kind == "ratio":
        return ratio_mean(p.units, p.mean, p.m2, p.pre_mean, p.pre_m2, p.cross)
    m2 = p.m2 + theta**2 * p.pre_m2 - 2 * theta * p.cross
    return ArmMean(p.mean - theta * p.pre_mean, m2 / (n - 1) / n, n)


def _paired(arm: dict[str, Any]) -> Paired:
    n, first, second = arm["n"], arm["first"], arm["second"]
    cross = arm["products"] - first["sum"] * second["sum"] / n
    parts = (n, first["sum"] / n, _m2(first), second["sum"] / n, _m2(second), cross)
    return Paired(*(np.array(float(part)) for part in parts))


def _m2(sums: dict[str, Any]) -> float:
    return float(sums["sum_squares"] - sums["sum"] ** 2 / sums["n"])


def _apart(ours: float, theirs: float) -> float:
    return abs(ours - theirs) / max(abs(theirs), 1e-6)


if __name__ == "__main__":
    main()
