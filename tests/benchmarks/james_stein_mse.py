"""``python -m tests.benchmarks.james_stein_mse``: squared error against the raw means'.

The true means are drawn once for each cell and kept (the claim is for any means, not on average
over a prior), about a centre that the given-centre forms are told half a unit wrong. Variances are
equal in one half of the table and spread over a factor of four in the other.
"""

import math

import numpy as np

from stream_hb.models.james_stein import bock, james_stein
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured

CENTRE, TOLD = 10.0, 10.5
REPLICATES, SEED = 10_000, 20_240_601


def study(
    groups_count: int, spread: float, replicates: int, seed: int, ratio: float = 1.0
) -> dict[str, tuple[float, float]]:
    """Return for each form how far its mean squared error a group is below raw's, and the error."""
    rng = np.random.default_rng([seed, groups_count, round(100 * spread), round(100 * ratio)])
    truth = CENTRE + spread * rng.standard_normal(groups_count)
    variance = np.geomspace(1 / math.sqrt(ratio), math.sqrt(ratio), groups_count)
    gains: dict[str, list[float]] = {}
    for noise in rng.standard_normal((replicates, groups_count)):
        groups = Measured(truth + np.sqrt(variance) * noise, variance)
        raw = _error(groups.mean, truth)
        for name, estimate in _estimates(groups).items():
            gains.setdefault(name, []).append(raw - _error(estimate, truth))
    error = 1 / math.sqrt(replicates)
    return {name: (float(np.mean(g)), float(np.std(g)) * error) for name, g in gains.items()}


def _estimates(groups: Measured) -> dict[str, Floats]:
    return {
        "james-stein, grand mean": james_stein(groups).mean,
        "james-stein, given centre": james_stein(groups, TOLD).mean,
        "bock, weighted mean": bock(groups).mean,
        "bock, given centre": bock(groups, TOLD).mean,
    }


def _error(estimate: Floats, truth: Floats) -> float:
    return float(((estimate - truth) ** 2).mean())


def main() -> None:
    """Print the table."""
    print(f"raw MSE less ours, per group (raw MSE 1 at equal variances); {REPLICATES:,} replicates")
    for ratio in (1.0, 4.0):
        print(f"largest variance / smallest = {ratio:g}")
        for groups_count in (3, 4, 8, 20):
            for spread in (0.0, 0.5, 1.0, 3.0):
                cell = study(groups_count, spread, REPLICATES, SEED, ratio)
                line = "  ".join(f"{name} {g:+.4f} ± {e:.4f}" for name, (g, e) in cell.items())
                print(f"  J {groups_count:2d}  sd {spread:.1f}  {line}", flush=True)


if __name__ == "__main__":
    main()
