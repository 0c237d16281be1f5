"""``make bench-drift``: what the drift feed finds, misses and cries wolf about, beside others."""

import argparse
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import Pool
from typing import Any
from unittest.mock import patch

import numpy as np
from river.drift import ADWIN, PageHinkley
from scipy.special import logit

from stream_hb.feeds.drift.chain_offset import ChainOffset
from stream_hb.feeds.drift.feed import step
from stream_hb.feeds.drift.settings import DriftHyper, DriftSettings
from stream_hb.feeds.drift.state import DriftState
from tests.drift200 import rivals
from tests.drift200.harness import counts, run, stream_of
from tests.drift200.score import Score, line, row, score
from tests.drift200.variants import DRIFT_200, NULL, VARIANTS, Judged, counted, valued
from tests.drift200.world import Plan, world

HEAD = (
    "| {} | FA a store-year | FDP | .2: found in 45 d, median days | .4 | .8 | quiet promotions |\n"
    "|---|---|---|---|---|---|---|"
)
EXPECTATION = "stream_hb.feeds.drift.expectation"
UNADJUSTED = replace(DriftSettings(), shift_share=9.0, renotify_ms=10**12)
"""Without the chain's offset every promotion is a shift of the chain, which would hold alerts."""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="make bench-drift")
    parser.add_argument("--seeds", default="5000-5019")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--part", choices=("main", "variants", "null", "cost"), nargs="*")
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    parts: dict[str, Callable[[Any, range], None]] = {
        "main": main_table,
        "variants": variants_table,
        "null": null_table,
        "cost": cost_table,
    }
    with Pool(options.processes) as pool:
        for name in options.part or parts:
            parts[name](pool, seeds)


def main_table(pool: Any, seeds: range) -> None:
    """One row a detector, all on the same chains."""
    print(f"\nDRIFT-200, seeds {seeds[0]}-{seeds[-1]}\n\n" + HEAD.format("detector"), flush=True)
    replicates = pool.map(every_detector, seeds)
    for name in replicates[0]:
        print(line(name, row([each[name] for each in replicates])), flush=True)


def every_detector(seed: int) -> dict[str, Score]:
    """Give one chain to all of them."""
    simulated = world(seed)
    ours = run(counts(simulated), stream_of(200))
    with unadjusted():
        without = run(counts(simulated), stream_of(200), UNADJUSTED)
    with unadjusted(learns_noise=False):
        fixed = run(counts(simulated), stream_of(200), UNADJUSTED)
    published = rivals.published_innovations(simulated)
    alerts = {
        "**stream-hb**": ours.alerts,
        "stream-hb, no chain adjustment": without.alerts,
        "the same, its noise as configured": fixed.alerts,
        "oracle CUSUM, ln 20000 - 1.5": rivals.oracle(simulated, seed, np.log(20_000) - 1.5),
        "oracle CUSUM, ln 2000": rivals.oracle(simulated, seed, np.log(2_000)),
        "CUSUM k=.5 h=5 on published z": rivals.cusum(published, 0.5, 5.0),
        "CUSUM k=.5 h=8 on published z": rivals.cusum(published, 0.5, 8.0),
        "CUSUM k=.5 h=5 on our z": rivals.cusum(ours.z, 0.5, 5.0),
        "CUSUM k=.5 h=8 on our z": rivals.cusum(ours.z, 0.5, 8.0),
        "river PageHinkley(7, .25, 15) on our z": rivals.of_river(ours.z, tuned),
        "river PageHinkley() on our z": rivals.of_river(ours.z, PageHinkley),
        "river ADWIN(clock=1, grace 5) on our z": rivals.of_river(ours.z, quick),
    }
    return {name: score(simulated, found) for name, found in alerts.items()}


def tuned() -> PageHinkley:
    return PageHinkley(min_instances=7, delta=0.25, threshold=15.0)


def quick() -> Any:
    adwin: Any = ADWIN
    return adwin(clock=1, grace_period=5)


@contextmanager
def unadjusted(learns_noise: bool = True) -> Any:
    """Take the chain to stay where it began: what every single-stream detector does.

    The feed learns how noisy a store's day is, and then takes a part of the promotions for noise.
    """

    def constant(_family: Any, observed: Any, *_: Any) -> ChainOffset:
        offset, stores = float(logit(DRIFT_200.base)), len(observed.size)
        return ChainOffset(offset, np.full(stores, offset), np.zeros(stores))

    with ExitStack() as patches:
        patches.enter_context(patch(f"{EXPECTATION}.chain_offset", constant))
        if not learns_noise:
            patches.enter_context(patch(f"{EXPECTATION}.learnt", lambda noise, *_: noise))
        yield


def variants_table(pool: Any, seeds: range) -> None:
    """Other chains."""
    print(f"\nOther chains, seeds {seeds[0]}-{seeds[-1]}\n\n" + HEAD.format("chain"))
    for name, plan in VARIANTS.items():
        few = seeds if plan.stores <= 200 else seeds[: max(len(seeds) // 5, 1)]
        variant(pool, name, partial(counted, plan), few)
    variant(pool, "order values, shifts of a fifth, bulk orders", valued, seeds)
    for size in (0.4, 0.8):
        plan = replace(DRIFT_200, drifting=0, half_shifts=size)
        half = pool.map(partial(counted, plan), seeds)
        told = [one.day.get("ChainShift", 10**6) for one in half]
        stores = [one.alerts.get("StoreDrift", 0) for one in half]
        shifts = [one.alerts.get("ChainShift", 0) for one in half]
        print(
            f"\nHalf the chain shifts by {size} on day 100: ChainShift on day {told}, "
            f"{shifts} times; StoreDrift {stores} times"
        )


def variant(pool: Any, name: str, run_one: Callable[[int], Judged], seeds: Iterable[int]) -> None:
    found: list[Judged] = pool.map(run_one, seeds)
    print(line(name, row([one.score for one in found])))
    beyond = np.mean([one.z_beyond_3 for one in found])
    delay = np.concatenate([one.score.delay for one in found])
    alerts: dict[str, int] = {}
    for one in found:
        for alert, count in one.alerts.items():
            alerts[alert] = alerts.get(alert, 0) + count
    silent = sorted({one.day["StoreSilent"] for one in found if "StoreSilent" in one.day})
    print(
        f"  P(|z| > 3) {beyond:.4f}; found at all {np.isfinite(delay).mean():.2f}, "
        f"within 45 d {(delay <= 45).mean():.2f}; episodes {alerts}; silent on days {silent}",
        flush=True,
    )


def null_table(pool: Any, seeds: range) -> None:
    """Average run lengths where nothing drifts, against what is promised."""
    few = seeds[: max(len(seeds) // 2, 1)]
    print(f"\nNothing drifts, seeds {few[0]}-{few[-1]}, 200 stores, 358 days after the warm-up\n")
    print("| dead band | peers | visits a day | promised A | store-days an alert | alerts |")
    print("|---|---|---|---|---|---|")
    small = replace(NULL, visits_median=20.0, visits_sd=0.3)
    for dead_band, share, peers in ((0.05, 1.0, 10), (0.0, 0.0, 1)):
        for plan in (NULL, small):
            for ticks in (365, 2_000, 18_262):
                settings = DriftSettings(
                    false_alerts_per_store_year=365.25 / ticks,
                    dead_band=dead_band,
                    baseline_share=share,
                    peers_max=peers,
                )
                measure(pool, plan, settings, ticks, few)


def measure(pool: Any, plan: Plan, settings: DriftSettings, ticks: int, seeds: range) -> None:
    found = pool.map(partial(counted, plan, settings=settings), seeds)
    alerts = sum(one.alerts.get("StoreDrift", 0) for one in found)
    days = len(seeds) * plan.stores * (plan.days - 42)
    length = f"{days / alerts:,.0f}" if alerts else f"> {days:,}"
    print(
        f"| {settings.dead_band} | {settings.peers_max} | {plan.visits_median:.0f} | {ticks:,} "
        f"| {length} | {alerts} |",
        flush=True,
    )


def cost_table(_pool: Any, seeds: range) -> None:
    """Microseconds a store and tick, against one log of the gamma function of it."""
    print("\n| stores | us a store and tick | log-gammas of one number |\n|---|---|---|")
    for stores in (200, 2_000, 10_000):
        simulated = world(seeds[0], replace(DRIFT_200, stores=stores, drifting=stores // 10))
        spent, anchor = cost(list(counts(simulated))[:100], stores)
        print(f"| {stores:,} | {spent:.1f} | {spent / anchor:.0f} |", flush=True)


def cost(ticks: list[Any], stores: int, warm: int = 60) -> tuple[float, float]:
    from scipy.special import gammaln

    settings, stream, hyper = DriftSettings(), stream_of(stores), DriftHyper(0.3)
    state = DriftState.of_new(settings)
    for tick in ticks[:warm]:
        state = step(state, tick, stream, settings, hyper).state
    began = time.process_time()
    for tick in ticks[warm:]:
        state = step(state, tick, stream, settings, hyper).state
    spent = time.process_time() - began
    numbers = np.linspace(1, 1_000, 1_000_000)
    began = time.process_time()
    gammaln(numbers)
    anchor = (time.process_time() - began) / len(numbers)
    return spent / (len(ticks) - warm) / stores * 1e6, anchor * 1e6


if __name__ == "__main__":
    main()
