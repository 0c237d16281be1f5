"""``python -m tests.benchmarks.calibration``: what a calibrated tick costs beside the posterior.

CPU time of the process, the fastest of several runs, in microseconds a group and tick; the anchor
of the same run is the posterior with both interval ends that a record of the group costs.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator

from stream_hb.feeds.calibration.feed import CalibrationState, Tick, step
from stream_hb.feeds.calibration.pit import uniforms
from stream_hb.feeds.calibration.predictive import Belief, log_score, score
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.columns import Statistic
from stream_hb.statistics.moments import Moments
from tests.calibration.streams import DAY_MS, FAMILY_OF, Model, rule_of
from tests.calibration.worlds import World

TICKS = {"hour": 1 / 16, "day": 1.0}
"""Share of a day's visits (median 400)."""

METRICS = {**FAMILY_OF, "log_order_value, moderated": "normal-moderated"}


def main() -> None:
    """Print one row per metric and length of a tick."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.calibration")
    parser.add_argument("--stores", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{options.stores:,} stores with ten days of data; µs a group and tick\n")
    print(
        "| metric | tick | step | score | log score only | uniforms | posterior | step/posterior |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for number, (metric, family_name) in enumerate(METRICS.items()):
        name = metric.split(",")[0]
        random = np.random.default_rng((20261127, number))
        groups = history(name, options.stores, random)
        family = FAMILIES[family_name]
        belief = Belief(family, family.fit(groups, "bayes").hyper, groups)
        for tick, share in TICKS.items():
            row = costs(name, belief, thinned(groups, share / 10, random), options.rounds)
            cells = " | ".join(f"{cost:.2f}" for cost in row)
            print(f"| {metric} | {tick} | {cells} | {row[0] / row[-1]:.2f} |", flush=True)


def history(metric: str, stores: int, random: Generator) -> Statistic:
    """Return ten days of stores."""
    days = list(World(metric, stores=stores, days=10).draw(random))
    total = days[0]
    for day in days[1:]:
        total = total.merge(day)
    return total


def thinned(groups: Statistic, share: float, random: Generator) -> Any:
    """Return an increment like a share of what the groups have."""
    columns = groups.columns()
    if "mean" in columns:
        size = np.rint(columns["weight"] * share)
        return Moments(size, columns["mean"], size * 0.81)
    (first, y), (second, n) = columns.items()
    trials = np.rint(n * share)
    rate = np.divide(y, n, out=np.zeros(len(n)), where=n > 0)
    some = random.binomial(trials.astype(np.int64), rate).astype(np.float64)
    made: Any = type(groups)
    return made(**{first: some, second: trials})


def costs(metric: str, belief: Belief, increment: Any, rounds: int) -> list[float]:
    """Return the microseconds a group of every part."""
    size = len(increment)
    keys = [f"store-{number}" for number in range(size)]
    tick = Tick(DAY_MS, DAY_MS, DAY_MS, keys, increment, [belief])
    state = CalibrationState.new(rule_of(World(metric), Model()))
    some = next(iter(increment.columns().values())) if metric == "log_order_value" else None
    rows = np.arange(size) if some is None else np.flatnonzero(some > 0)
    part, taken = belief.take(rows), increment.take(rows)
    works: list[Callable[[], Any]] = [
        lambda: step(state, tick),
        lambda: score(part, taken),
        lambda: log_score(part, taken),
        lambda: uniforms(keys, "main", metric, DAY_MS),
        lambda: belief.family.posterior(belief.groups, belief.hyper, 0.95),
    ]
    return [1e6 * fastest(rounds, work) / size for work in works]


def fastest(rounds: int, work: Callable[[], Any]) -> float:
    """Return the CPU seconds of the fastest of several runs."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


if __name__ == "__main__":
    main()
