"""What the default prior of τ does where groups differ by far more than their standard errors.

``python -m tests.benchmarks.default_spread [--replicates 400]``: a row per number of groups and
ratio of τ to the standard error, and prior: the posterior mean of τ as a share of the true one
(mean over pools with its Monte-Carlo error), and how often the 95 % interval of τ covers it.
"""

import argparse
import math
from typing import NamedTuple

import numpy as np

from stream_hb.models.hyperprior import DEFAULT, HalfNormal, Hyperprior, Uniform
from stream_hb.models.normal import NormalKnownVariance
from stream_hb.statistics.measured import Measured

LEVEL = 0.95
GROUPS = (5, 20, 100)
RATIOS = (1.0, 4.0, 15.0, 100.0)
PRIORS = {
    "default": DEFAULT,
    "2 x median se": Hyperprior(HalfNormal(2.0)),
    "flat to 100 tau": None,
}
"""Standard errors are 1."""


class Spread(NamedTuple):
    """Mean of the posterior means of τ over its truth, Monte-Carlo error, coverage of τ."""

    share: float
    error: float
    covered: float


def spread(groups: int, ratio: float, name: str, replicates: int, seed: int) -> Spread:
    """Fit many pools; every prior sees the same ones."""
    rng = np.random.default_rng([seed, groups])
    family = NormalKnownVariance()
    prior = PRIORS[name] or Hyperprior(Uniform(100 * ratio))
    shares, covered = np.empty(replicates), np.empty(replicates)
    for i in range(replicates):
        mean = ratio * rng.normal(size=groups) + rng.normal(size=groups)
        hyper = family.fit(Measured(mean, np.ones(groups)), "bayes", prior).hyper
        shares[i] = family.parameters(hyper)["tau"] / ratio
        _, lo, hi = family.uncertainty(hyper, LEVEL)["tau"]
        covered[i] = lo <= ratio <= hi
    error = float(shares.std(ddof=1)) / math.sqrt(replicates)
    return Spread(float(shares.mean()), error, float(covered.mean()))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--seed", type=int, default=20261124)
    options = parser.parse_args()
    print(f"{options.replicates} pools a cell, seed {options.seed}; known variances of 1")
    print("groups  tau/se  prior             mean tau/truth    ± MC  tau covered")
    for groups in GROUPS:
        for ratio in RATIOS:
            for name in PRIORS:
                found = spread(groups, ratio, name, options.replicates, options.seed)
                row = f"{found.share:14.3f}{found.error:8.3f}{found.covered:13.3f}"
                print(f"{groups:6d}{ratio:8.0f}  {name:<18}{row}", flush=True)


if __name__ == "__main__":
    main()
