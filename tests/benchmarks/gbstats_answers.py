"""What gbstats answers to 1,000 random questions, as JSON on the standard output.

Runs in an environment of its own (it pins an older pandas), with nothing of this repository:

    python3 -m venv /tmp/gbstats && /tmp/gbstats/bin/pip install gbstats==0.8.0
    /tmp/gbstats/bin/python tests/benchmarks/gbstats_answers.py > answers.json
    .venv/bin/python -m tests.benchmarks.gbstats_table answers.json
"""

import json
import math
import random
import sys
from typing import Any

from gbstats.bayesian.tests import (  # type: ignore[import-not-found]
    EffectBayesianABTest,
    EffectBayesianConfig,
    GaussianPrior,
)
from gbstats.frequentist.tests import (  # type: ignore[import-not-found]
    OneSidedTreatmentGreaterTTest,
    SequentialConfig,
    SequentialTwoSidedTTest,
    TwoSidedTTest,
)
from gbstats.models.statistics import (  # type: ignore[import-not-found]
    ProportionStatistic,
    RatioStatistic,
    RegressionAdjustedStatistic,
    SampleMeanStatistic,
)
from gbstats.utils import check_srm  # type: ignore[import-not-found]

SEED = 20261127
COUNTS = {"proportion": 300, "mean": 300, "ratio": 200, "cuped": 100, "srm": 100}


def proportion(rng: random.Random) -> dict[str, Any]:
    """Draw an arm of a conversion metric, rare events among them."""
    n = int(10 ** rng.uniform(1.5, 6))
    y = sum(rng.random() < 0.5 for _ in range(20)) if n < 50 else rng.randint(1, max(1, n // 3))
    return {"n": n, "sum": min(max(y, 1), n - 1)}


def mean(rng: random.Random, sign: int) -> dict[str, Any]:
    """Draw an arm of a mean metric."""
    n, centre, sd = rng.randint(5, 100_000), sign * rng.uniform(1, 100), 10 ** rng.uniform(-1, 2)
    centre += rng.gauss(0, sd / math.sqrt(n))
    return {"n": n, "sum": n * centre, "sum_squares": (n - 1) * sd**2 + n * centre**2}


def pair_of_sums(rng: random.Random) -> dict[str, Any]:
    """Draw an arm with two sums a unit, correlated."""
    n, rho = rng.randint(50, 50_000), rng.uniform(-0.3, 0.9)
    one, other = rng.uniform(1, 20), rng.uniform(1, 5)
    sds = rng.uniform(0.5, 30), rng.uniform(0.1, 3)
    means = [m + rng.gauss(0, s / math.sqrt(n)) for m, s in zip((one, other), sds, strict=True)]
    sums = [
        {"n": n, "sum": n * m, "sum_squares": (n - 1) * s**2 + n * m**2}
        for m, s in zip(means, sds, strict=True)
    ]
    products = (n - 1) * rho * sds[0] * sds[1] + n * means[0] * means[1]
    return {"n": n, "first": sums[0], "second": sums[1], "products": products}


def statistic(kind: str, arm: dict[str, Any]) -> Any:
    """Return gbstats' own object."""
    if kind == "proportion":
        return ProportionStatistic(**arm)
    if kind == "mean":
        return SampleMeanStatistic(**arm)
    first, second = (SampleMeanStatistic(**arm[name]) for name in ("first", "second"))
    if kind == "ratio":
        return RatioStatistic(arm["n"], first, second, arm["products"])
    return RegressionAdjustedStatistic(arm["n"], first, second, arm["products"], 0.0)


def answers(one: Any, other: Any, difference: str) -> dict[str, Any]:
    """Ask everything about two arms."""
    found = {}
    for name, prior in (("flat", GaussianPrior()), ("prior", GaussianPrior(0, 0.09, True))):
        config = EffectBayesianConfig(difference_type=difference, prior_effect=prior)
        result = EffectBayesianABTest(one, other, config).compute_result()
        found[name] = {
            "effect": float(result.expected),
            "sd": float(result.uplift.stddev),
            "chance": float(result.chance_to_win),
            "risk": [float(risk) for risk in result.risk],
        }
    config = SequentialConfig(difference_type=difference)
    for name, test in (
        ("fixed", TwoSidedTTest),
        ("above", OneSidedTreatmentGreaterTTest),
        ("sequence", SequentialTwoSidedTTest),
    ):
        result = test(one, other, config).compute_result()
        ends = [float(end) for end in result.ci]
        found[name] = {"p": float(result.p_value), "lo": ends[0]}
    return found


def question(kind: str, rng: random.Random) -> dict[str, Any]:
    """Draw one question and answer it."""
    if kind == "srm":
        weights = [rng.choice([0.1, 0.2, 0.3, 0.5]) for _ in range(rng.randint(2, 4))]
        if rng.random() < 0.3:
            weights[-1] = 0.0
        total = sum(weights)
        weights = [weight / total for weight in weights]
        units = [int(5_000 * w * rng.uniform(0.95, 1.05)) for w in weights]
        return {
            "kind": kind,
            "units": units,
            "weights": weights,
            "p": float(check_srm(units, weights)),
        }
    if kind == "proportion":
        arms = [proportion(rng) for _ in range(2)]
    elif kind == "mean":
        sign = -1 if rng.random() < 0.25 else 1
        arms = [mean(rng, sign) for _ in range(2)]
    else:
        arms = [pair_of_sums(rng) for _ in range(2)]
    one, other = (statistic(kind, arm) for arm in arms)
    both = {difference: answers(one, other, difference) for difference in ("relative", "absolute")}
    # gbstats fits θ itself, whatever it is given.
    theta = float(getattr(TwoSidedTTest(one, other).stat_a, "theta", 0.0))
    return {"kind": kind, "arms": arms, "theta": theta, "answers": both}


def main() -> None:
    """Print questions and answers."""
    rng = random.Random(SEED)
    found = [question(kind, rng) for kind, count in COUNTS.items() for _ in range(count)]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
