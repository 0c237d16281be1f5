"""What the default prior of τ does where groups differ by far more than their standard errors.

``python -m tests.benchmarks.default_spread [--replicates 400]``: a row per number of groups and
ratio of τ to the standard error, and prior: the posterior mean of τ as a share of the true one
(mean over pools with its Monte-Carlo error), and how often 95 % intervals cover: that of τ, of the
pool's mean, and of a group never seen.
"""

import argparse
import math
from typing import NamedTuple

import numpy as np

from stream_hb.models.hyperprior import DEFAULT, HalfNormal, Hyperprior, Uniform
from stream_hb.models.normal import NormalKnownVariance
from stream_hb.models.normal_fit import fit_tau2
from stream_hb.models.normal_sums import sums_of
from stream_hb.statistics.measured import Measured

LEVEL = 0.95
GROUPS = (5, 20, 100)
RATIOS = (1.0, 4.0, 15.0, 100.0)
NAMES = ("default", "half tau_DL", "2 x median se", "flat to 100 tau")


class Spread(NamedTuple):
    """Mean of the posterior means of τ over its truth, Monte-Carlo error, and coverages."""

    share: float
    error: float
    tau: float
    mu: float
    new: float


def spread(groups: int, ratio: float, name: str, replicates: int, seed: int) -> Spread:
    """Fit many pools; every prior sees the same ones."""
    rng = np.random.default_rng([seed, groups])
    family = NormalKnownVariance()
    shares, covered = np.empty(replicates), np.empty((replicates, 3))
    for i in range(replicates):
        theta = ratio * rng.normal(size=groups + 1)
        mean = theta[:-1] + rng.normal(size=groups)
        measured = Measured(mean, np.ones(groups))
        hyper = family.fit(measured, "bayes", _prior(name, measured, ratio)).hyper
        shares[i] = family.parameters(hyper)["tau"] / ratio
        intervals = family.uncertainty(hyper, LEVEL)
        new = family.new_group(hyper, LEVEL)
        covered[i] = (
            intervals["tau"][1] <= ratio <= intervals["tau"][2],
            intervals["mu"][1] <= 0 <= intervals["mu"][2],
            new.lo[0] <= theta[-1] <= new.hi[0],
        )
    error = float(shares.std(ddof=1)) / math.sqrt(replicates)
    return Spread(float(shares.mean()), error, *covered.mean(axis=0).tolist())


def _prior(name: str, groups: Measured, ratio: float) -> Hyperprior:
    """Return the prior of a name; standard errors are 1."""
    match name:
        case "default":
            return DEFAULT
        case "half tau_DL":
            tau2 = fit_tau2(sums_of(groups), "dl").tau2
            return Hyperprior(HalfNormal(max(2.0, math.sqrt(tau2) / 2)))
        case "2 x median se":
            return Hyperprior(HalfNormal(2.0))
        case _:
            return Hyperprior(Uniform(100 * ratio))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--seed", type=int, default=20261124)
    options = parser.parse_args()
    print(f"{options.replicates} pools a cell, seed {options.seed}; known variances of 1")
    print("groups  tau/se  prior             mean tau/truth    ± MC    tau     mu    new")
    for groups in GROUPS:
        for ratio in RATIOS:
            for name in NAMES:
                found = spread(groups, ratio, name, options.replicates, options.seed)
                row = f"{found.share:14.3f}{found.error:8.3f}"
                row += f"{found.tau:7.3f}{found.mu:7.3f}{found.new:7.3f}"
                print(f"{groups:6d}{ratio:8.0f}  {name:<18}{row}", flush=True)


if __name__ == "__main__":
    main()
