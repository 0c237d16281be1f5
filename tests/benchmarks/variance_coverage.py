"""How often 95 % intervals cover at 3 to 5 observations a group: ``python -m`` this module.

Pools of 20 groups whose variance of one observation is the same for all, or each group's own. Both
are analysed in three ways: a common variance, separate ones, moderated ones; by full Bayes and by
REML with the variances plugged in. The spread between groups is drawn anew for every pool.
"""

import argparse
from typing import NamedTuple

import numpy as np

from stream_hb.models.hyperprior import HalfNormal, Hyperprior
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.moments import Moments

GROUPS = 20
SIZES = np.resize([3.0, 4.0, 5.0], GROUPS)
LEVEL = 0.95
PRIOR = Hyperprior(HalfNormal(1.0))
MODELS = ("normal", "normal-separate", "normal-moderated")
TRUTHS = {"one variance": np.inf, "own variances": 4.0}
"""Degrees of freedom of the scaled inverse χ² that variances are drawn from."""


class Coverage(NamedTuple):
    """Share of groups covered, its Monte-Carlo error, and the intervals' mean width."""

    share: float
    error: float
    width: float


def draw(rng: np.random.Generator, degrees: float) -> tuple[Floats, Moments]:
    """Draw a pool: the groups' true means, and the moments of their observations."""
    theta = abs(rng.normal()) * rng.normal(size=GROUPS)
    variance = np.ones(GROUPS)
    if np.isfinite(degrees):
        variance = degrees / rng.chisquare(degrees, GROUPS)
    mean = theta + np.sqrt(variance / SIZES) * rng.normal(size=GROUPS)
    return theta, Moments(SIZES, mean, variance * rng.chisquare(SIZES - 1))


def coverage(model: str, method: str, degrees: float, replicates: int, seed: int) -> Coverage:
    """Fit many pools; every model and method sees the same ones."""
    rng = np.random.default_rng(seed)
    family = FAMILIES[model]
    shares, widths = np.empty(replicates), np.empty(replicates)
    for i in range(replicates):
        theta, groups = draw(rng, degrees)
        hyper = family.fit(groups, method, PRIOR).hyper
        posterior = family.posterior(groups, hyper, LEVEL)
        shares[i] = ((posterior.lo <= theta) & (theta <= posterior.hi)).mean()
        widths[i] = (posterior.hi - posterior.lo).mean()
    error = float(shares.std(ddof=1) / np.sqrt(replicates))
    return Coverage(float(shares.mean()), error, float(widths.mean()))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=20261123)
    options = parser.parse_args()
    print(f"{GROUPS} groups of 3 to 5 observations, nominal {LEVEL:.0%}, ", end="")
    print(f"{options.replicates} pools a cell, seed {options.seed}")
    print(f"{'truth':<15}{'model':<18}{'method':<8}{'coverage':>10}{'± MC':>8}{'width':>8}")
    for truth, degrees in TRUTHS.items():
        for model in MODELS:
            for method in ("bayes", "reml"):
                found = coverage(model, method, degrees, options.replicates, options.seed)
                row = f"{found.share:>10.4f}{found.error:>8.4f}{found.width:>8.3f}"
                print(f"{truth:<15}{model:<18}{method:<8}{row}", flush=True)


if __name__ == "__main__":
    main()
