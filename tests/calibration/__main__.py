"""``make study-calibration``: does the alarm ring for wrong models only; is ``auto`` good enough?

Four tables in Markdown: alarms by model and world, the half-life that is chosen, the same through
a replay of events, and what taking a posterior for one kernel costs. Every stream goes through
``feed.step`` with the product's own statistics and fits, and draws from a generator of its own.
"""

import argparse
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from tests.calibration.matching import matched_errors
from tests.calibration.product import product_log_scores
from tests.calibration.streams import FALSE_ALARMS_PER_YEAR, Model, follow, log_scores
from tests.calibration.worlds import World

SEED = 20261127

Run = Callable[..., Iterable[Any]]
"""Maps streams over processes."""

AUTO = (3.0, 21.0)
HALF_LIVES = (3.0, 10.0, 40.0)
PRODUCT_HALF_LIVES = (40.0, 10.0, 3.0)
DRIFTS = (0.0, 0.02, 0.05, 0.1)

CASES: dict[str, tuple[str, World, Model]] = {
    "unlike stores, pooled completely": ("wrong", World("conversion"), Model(pooling="complete")),
    "conversion twice as varied as binomial": (
        "wrong",
        World("conversion", dispersion=2.0),
        Model(),
    ),
    "orders twice as varied as Poisson": ("wrong", World("order_rate", dispersion=2.0), Model()),
    "drift .05 a day, nothing forgotten": ("wrong", World("conversion", drift=0.05), Model()),
    "log values": ("right", World("log_order_value"), Model()),
    "conversion": ("right", World("conversion"), Model()),
    "drift .05 a day, half-life auto": ("right", World("conversion", drift=0.05), Model(AUTO)),
    "orders": ("right", World("order_rate"), Model()),
    "log values, variances moderated": (
        "right",
        World("log_order_value"),
        Model(family="normal-moderated"),
    ),
    "10 stores": ("right", World("conversion", stores=10), Model()),
    "days that move all stores by .1": ("between", World("conversion", shock=0.1), Model()),
    "days that move all stores by .2": ("between", World("conversion", shock=0.2), Model()),
}


def one(numbered: tuple[str, int], seed: int) -> tuple[str, int, Any]:
    """Follow one stream, in a process of its own."""
    name, number = numbered
    _, world, model = CASES[name]
    random = np.random.default_rng((seed, list(CASES).index(name), number))
    followed = follow(world, model, random)
    return followed.raised, followed.on_day, followed.state.tally.coverage()[0]


def judged(numbered: tuple[float, int], seed: int) -> tuple[float, Any, int]:
    """Score one stream under ``auto`` and every half-life."""
    drift, number = numbered
    random = np.random.default_rng((seed, 1_000 + round(1_000 * drift), number))
    return log_scores(World("conversion", drift=drift), HALF_LIVES, random)


def replayed(numbered: tuple[float, int], seed: int) -> tuple[float, Any, float]:
    """Score one stream through the product under ``auto`` and every half-life."""
    drift, number = numbered
    world = World("conversion", drift=drift)
    return product_log_scores(world, PRODUCT_HALF_LIVES, (seed, round(1_000 * drift), number))


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m tests.calibration")
    parser.add_argument("--streams", type=int, default=200, help="per row of the first table")
    parser.add_argument("--judged", type=int, default=40, help="per row of the second")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--case", choices=list(CASES), action="append", help="rows of the first")
    parser.add_argument("--replayed", type=int, default=5, help="per row of the third")
    parser.add_argument("--only", choices=("alarms", "half-lives", "product", "matching"))
    options = parser.parse_args()
    with ProcessPoolExecutor(options.processes) as processes:
        run: Run = partial(processes.map, chunksize=4)
        if options.only in (None, "alarms"):
            alarms(run, options)
        if options.only in (None, "half-lives"):
            half_lives(run, options)
        if options.only in (None, "product"):
            product_half_lives(run, options)
    if options.only in (None, "matching"):
        matching()


def alarms(run: Run, options: argparse.Namespace) -> None:
    """Print how often which model raised the alarm."""
    print(
        f"{options.streams} streams a row, 200 stores, 90 days, seed {options.seed}; at most"
        f" {FALSE_ALARMS_PER_YEAR} false alarms a year of each kind.\n"
    )
    print("| model | | under-coverage raised | ± | median day | over | covered .5 .8 .95 by then |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in options.case or CASES:
        kind = CASES[name][0]
        numbered = product((name,), range(options.streams))
        mine = list(run(partial(one, seed=options.seed), numbered))
        days = [row[1] for row in mine if row[0] == "under_coverage"]
        share, over = len(days) / len(mine), np.mean([row[0] == "over_coverage" for row in mine])
        error = np.sqrt(share * (1 - share) / len(mine))
        day = f"{np.median(days):.0f}" if days else "–"
        covered = " ".join(f"{c:.3f}" for c in np.mean([row[2] for row in mine], axis=0))
        print(
            f"| {name} | {kind} | {share:.3f} | {error:.3f} | {day} | {over:.3f} | {covered} |",
            flush=True,
        )
    print(flush=True)


def half_lives(run: Run, options: argparse.Namespace) -> None:
    """Print the log scores of each half-life and of the choice between them."""
    print(f"{options.judged} streams a row; mean log score a store and day, ± over streams.\n")
    names = " | ".join(f"{h:.0f} d" for h in HALF_LIVES)
    print(
        f"| drift a day | {names} | auto | worse than the best, % | of best to worst, % | changes |"
    )
    print("|---|" + "---|" * (len(HALF_LIVES) + 4), flush=True)
    for drift in DRIFTS:
        numbered = product((drift,), range(options.judged))
        mine = list(run(partial(judged, seed=options.seed), numbered))
        auto, each = np.array([row[0] for row in mine]), np.array([row[1] for row in mine])
        best = each.max(axis=1)
        worse = 100 * (best - auto) / -best
        regret = 100 * (best - auto).mean() / (best - each.min(axis=1)).mean()
        changes = np.mean([row[2] for row in mine])
        cells = " | ".join(f"{m:.4f}" for m in each.mean(axis=0))
        error = worse.std(ddof=1) / np.sqrt(len(mine))
        print(
            f"| {drift} | {cells} | {auto.mean():.4f} | {worse.mean():.3f} ± {error:.3f}, at most"
            f" {worse.max():.3f} | {regret:.0f} | {changes:.1f} |",
            flush=True,
        )
    print(flush=True)


def product_half_lives(run: Run, options: argparse.Namespace) -> None:
    """Print the log scores of ``half_life: auto`` and of each half-life, by replays of events."""
    print(
        f"`stream-hb replay` of totals, {options.replayed} streams a row of 200 stores and 90 days;"
        " mean log score a store and day.\n"
    )
    names = " | ".join(f"{h:.0f} d" for h in PRODUCT_HALF_LIVES)
    print(f"| drift a day | {names} | half_life: auto | worse than the best, % | last in use |")
    print("|---|" + "---|" * (len(PRODUCT_HALF_LIVES) + 3), flush=True)
    for drift in DRIFTS:
        numbered = product((drift,), range(options.replayed))
        mine = list(run(partial(replayed, seed=options.seed), numbered, chunksize=1))
        auto, each = np.array([row[0] for row in mine]), np.array([row[1] for row in mine])
        worse = 100 * (each.max(axis=1) - auto) / -each.max(axis=1)
        cells = " | ".join(f"{m:.4f}" for m in each.mean(axis=0))
        used = ", ".join(f"{h:.0f} d" for h in sorted({row[2] for row in mine}))
        print(
            f"| {drift} | {cells} | {auto.mean():.4f} | {worse.mean():.3f}, at most"
            f" {worse.max():.3f} | {used} |",
            flush=True,
        )
    print(flush=True)


def matching() -> None:
    """Print what taking a posterior for one kernel moves the distribution function by."""
    print("Largest error of the distribution function by taking posteriors for one kernel each.\n")
    print("| stores | visits before | kernels | a store with data | a new store |")
    print("|---|---|---|---|---|")
    for stores, visits in product((3, 10, 50, 200), (30, 400, 5000)):
        random = np.random.default_rng((SEED, stores, visits))
        kernels, known, new = matched_errors(stores, visits, random)
        print(f"| {stores} | {visits} | {kernels} | {known:.4f} | {new:.4f} |", flush=True)


if __name__ == "__main__":
    main()
