"""``make study-experiments``: false alarms, stores' effects and calibration, as Markdown tables."""

import argparse
import math
from collections.abc import Iterator

import numpy as np

from stream_hb.feeds.experiments.outcomes import METRICS
from tests.study_experiments.calibration import run_stops
from tests.study_experiments.ever import Ever, watch_chains, watch_guardrail, watch_stores
from tests.study_experiments.sites import run_cell
from tests.study_experiments.worlds import Traffic, declared

SEED = 20261127
STORES = (10, 40, 100)
TAUS = (0.0, 0.1, 0.2)


def false_alarms(experiments: int, looks: int) -> Iterator[str]:
    """Print how often experiments without any effect are ever stopped."""
    bound = 0.05 + 3 * math.sqrt(0.05 * 0.95 / experiments)
    yield f"{experiments:,} experiments without an effect, {looks} looks; bound {bound:.4f}.\n"
    yield _row("units an arm and look", "share of b", "N*", *(f"{m}: feed, z" for m in METRICS))
    yield _row(*["---"] * (3 + len(METRICS)))
    cells = ((400, 0.5, 5_000), (400, 0.5, 1_000), (40, 0.5, 5_000), (400, 0.1, 5_000))
    for cell, (units, share, best_at) in enumerate((*cells, (2_000, 0.02, 5_000))):
        random = np.random.default_rng((SEED, 1, cell))
        traffic = Traffic.of(experiments, units, share=share)
        ever = watch_stores(declared(share, best_at), traffic, looks, random)
        yield _row(f"{units}", f"{share:g}", f"{best_at}", *_shares(ever))


def guardrails(experiments: int, looks: int) -> Iterator[str]:
    """Print how often a guardrail is ever wrong where the fall is exactly the margin."""
    yield f"\n{experiments:,} experiments with a fall of exactly the margin, {looks} looks.\n"
    yield _row("margin", "ever passed", "ever failed")
    yield _row(*["---"] * 3)
    for cell, margin in enumerate((0.02, 0.1)):
        random = np.random.default_rng((SEED, 4, cell))
        traffic = Traffic.of(experiments, relative=-margin)
        passed, failed = watch_guardrail(margin, traffic, looks, random)
        yield _row(f"{margin:g}", f"{passed.mean():.4f}", f"{failed.mean():.4f}")


def chain_alarms(chains: int, looks: int) -> Iterator[str]:
    """Print the same of chains: even and uneven arms, large and small stores."""
    bound = 0.05 + 3 * math.sqrt(0.05 * 0.95 / chains)
    yield f"\n{chains:,} chains without an effect, {looks} looks; bound {bound:.4f}.\n"
    yield _row("stores", "units", "share of b", *(f"{m}: feed, z" for m in METRICS), "decided")
    yield _row(*["---"] * (4 + len(METRICS)))
    for cell, (stores, units, share) in enumerate(
        ((20, 40.0, 0.5), (20, 40.0, 0.1), (100, 2.0, 0.1))
    ):
        random = np.random.default_rng((SEED, 2, cell))
        traffic = Traffic.of(chains * stores, units, share=share, spread=0.3, random=random)
        ever = watch_chains(declared(share), traffic, stores, looks, random)
        decided = f"{ever.shipped['conversion'].mean():.4f}"
        yield _row(f"{stores}", f"{units:g}", f"{share:g}", *_shares(ever), decided)


def store_effects(chains: int) -> Iterator[str]:
    """Print errors and coverage of the stores' effects."""
    yield f"\n{chains:,} chains a cell; errors are root mean squares over those of REML blups.\n"
    yield _row("J", "tau", "feed", "integrated", "cells", "coverage", "±", "plug-in coverage")
    yield _row(*["---"] * 8)
    for number, (stores, tau) in enumerate((j, t) for j in STORES for t in TAUS):
        cell = run_cell(stores, tau, chains, (SEED, 3, number))
        feed, reml = cell.error.mean(), cell.error_reml.mean()
        ratios = (feed, cell.error_integrated.mean(), cell.error_cells.mean())
        coverage, error = cell.coverage()
        yield _row(
            f"{stores}",
            f"{tau:g}",
            *(f"{math.sqrt(one / reml):.3f}" for one in ratios),
            f"{coverage:.3f}",
            f"{error:.3f}",
            f"{cell.covered_plug_in.mean():.3f}",
        )


def calibration(experiments: int) -> Iterator[str]:
    """Print how often a 95 % sure sign is wrong."""
    stops = run_stops(experiments, 30, SEED)
    yield f"\n{experiments:,} experiments, effects from the prior N(0, .1²), 30 daily looks.\n"
    yield _row("prior", "stopped", "wrong sign among the stops")
    yield _row(*["---"] * 3)
    for name in ("right", "flat"):
        yield _row(name, f"{stops.stopped[name] / experiments:.3f}", f"{stops.share(name):.4f}")


def _shares(ever: Ever) -> Iterator[str]:
    return (f"{ever.sequence[m].mean():.4f}, {ever.fixed[m].mean():.3f}" for m in METRICS)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m tests.study_experiments")
    parser.add_argument("--experiments", type=int, default=10_000)
    parser.add_argument("--looks", type=int, default=100)
    parser.add_argument("--chains", type=int, default=1_000)
    parser.add_argument("--cell", type=int, default=500, help="chains a cell of stores' effects")
    options = parser.parse_args()
    for part in (
        false_alarms(options.experiments, options.looks),
        store_effects(options.cell),
        calibration(options.experiments),
        guardrails(options.experiments, options.looks),
        chain_alarms(options.chains, 30),
    ):
        for line in part:
            print(line, flush=True)


if __name__ == "__main__":
    main()
