"""``python -m tests.benchmarks.decay_coverage``: what intervals from decayed data cover.

Visits come as a Poisson process for twelve half-lives and are weighted by 2^-age; half-lives are
such that Kish's size is about 30, 100 or 1,000 visits. Every pool is fitted from the effective
statistics, and, to show the trap, from the raw weighted sums as if they were samples. The error is
the standard error over pools, whose groups share one fit.
"""

import argparse
from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from stream_hb.models.beta_binomial import BetaBinomial
from stream_hb.models.family import Family
from stream_hb.models.gamma_poisson import GammaPoisson
from stream_hb.models.normal import NormalFromObservations
from stream_hb.statistics.columns import Floats, Rows, Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.decayed import Decayed
from stream_hb.statistics.decayed_counts import DecayedCounts
from stream_hb.statistics.decayed_exposure import DecayedExposure
from stream_hb.statistics.decayed_moments import DecayedMoments
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.moments import Moments

HALF_LIVES = 12
LEVEL = 0.95
PRIOR_VISITS = (60.0, 630.0)
EFFECTIVE = (30.0, 100.0, 1000.0)


class Pool(NamedTuple):
    """What a pool was drawn from, and what is seen of it."""

    theta: Floats
    decayed: Decayed[Any]
    raw: Statistic


class World(NamedTuple):
    """A family with the spread of its groups: as many prior visits as ``prior_visits``."""

    name: str
    family: Family[Any, Any]
    draw: Callable[[Generator, int, float, float], Pool]


def main() -> None:
    """Print one row per family, spread and half-life."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.decay_coverage")
    parser.add_argument("--pools", type=int, default=40)
    parser.add_argument("--groups", type=int, default=100, help="groups in a pool")
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--method", choices=("ml", "bayes"), default="bayes")
    options = parser.parse_args()
    total = options.pools * options.groups
    print(f"{total:,} groups in pools of {options.groups}, seed {options.seed}, nominal {LEVEL},")
    print(f"method {options.method}, mean ± standard error over pools\n")
    print("| family | κ, or as much | effective visits | effective sizes | raw sums |")
    print("|---|---|---|---|---|")
    for number, (world, prior, effective) in enumerate(product(WORLDS, PRIOR_VISITS, EFFECTIVE)):
        random = np.random.default_rng((options.seed, number))
        pools = (world.draw(random, options.groups, prior, effective) for _ in range(options.pools))
        shares = np.array([covered(pool, world.family, options.method) for pool in pools])
        error = shares.std(0, ddof=1) / np.sqrt(options.pools)
        cells = " | ".join(f"{m:.3f} ± {e:.3f}" for m, e in zip(shares.mean(0), error, strict=True))
        print(f"| {world.name} | {prior:.0f} | {effective:.0f} | {cells} |", flush=True)


def covered(pool: Pool, family: Family[Any, Any], method: str) -> tuple[float, float]:
    """Return the share of groups that the intervals cover, from effective and from raw sums."""
    return (
        _share(pool.decayed.effective(), pool.theta, family, method),
        _share(pool.raw, pool.theta, family, method),
    )


def _share(groups: Statistic, theta: Floats, family: Family[Any, Any], method: str) -> float:
    posterior = family.posterior(groups, family.fit(groups, method).hyper, LEVEL)
    return float(((posterior.lo <= theta) & (theta <= posterior.hi)).mean())


def visits(random: Generator, groups: int, effective_visits: float) -> tuple[Rows, Floats]:
    """Return the group and the weight of every visit: Kish's size is 2H/ln 2 at one a moment."""
    half_life = effective_visits * np.log(2) / 2
    rows = np.repeat(np.arange(groups), random.poisson(HALF_LIVES * half_life, groups))
    return rows, np.exp2(-random.uniform(0.0, HALF_LIVES, len(rows)))


def conversions(random: Generator, groups: int, prior: float, effective: float) -> Pool:
    """θ ~ Beta with mean .1 and κ prior visits; a visit converts or does not."""
    theta = random.beta(0.1 * prior, 0.9 * prior, groups)
    rows, weights = visits(random, groups, effective)
    success = (random.random(len(rows)) < theta[rows]).astype(np.float64)
    decayed = DecayedCounts.of(rows, success, weights, groups)
    return Pool(theta, decayed, Counts(decayed.successes, decayed.trials))


def order_rates(random: Generator, groups: int, prior: float, effective: float) -> Pool:
    """θ ~ Gamma with mean .1 and rate (prior exposure) ``prior``; a visit has Poisson(θ) orders."""
    theta = random.gamma(0.1 * prior, 1 / prior, groups)
    rows, weights = visits(random, groups, effective)
    orders = random.poisson(theta[rows]).astype(np.float64)
    decayed = DecayedExposure.of(rows, orders, np.ones(len(rows)), weights, groups)
    return Pool(theta, decayed, Exposure(decayed.events, decayed.exposure))


def order_values(random: Generator, groups: int, prior: float, effective: float) -> Pool:
    """θ ~ N(4, 1/prior); an order's value is N(θ, 1)."""
    theta = random.normal(4.0, np.sqrt(1 / prior), groups)
    rows, weights = visits(random, groups, effective)
    decayed = DecayedMoments.of(rows, random.normal(theta[rows]), weights, groups)
    return Pool(theta, decayed, Moments(decayed.weight, decayed.mean, decayed.m2))


WORLDS = (
    World("beta-binomial", BetaBinomial(), conversions),
    World("gamma-poisson", GammaPoisson(), order_rates),
    World("normal", NormalFromObservations(), order_values),
)


if __name__ == "__main__":
    main()
