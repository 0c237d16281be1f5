"""How far interval ends of full Bayes for counts lie from dense quadrature, and what they cost.

``python -m tests.benchmarks.quadrature_error [GROUPS ...]``: a row per family, pool and number of
groups, with the largest error of an end in per cent of the interval's width (over the lowest, the
middle and the highest group, and a new one), for the streaming and the audit nodes; the kernels
that were chosen, and processor time of the refit and of 1,000 different groups' posteriors.
"""

import sys
import time
from typing import Any

import numpy as np

from stream_hb.models.beta_binomial import BetaBinomial
from stream_hb.models.family import Posterior
from stream_hb.models.gamma_poisson import GammaPoisson
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from tests.reference.dense_counts import Dense, default_prior, dense

FAMILIES: dict[str, tuple[Any, type[Any], float]] = {
    "beta-binomial": (BetaBinomial(), Counts, 0.06),
    "gamma-poisson": (GammaPoisson(), Exposure, 0.5),
}
# Spread between groups, and log of their usual size.
POOLS = {
    "small": (0.5, 3.0),
    "large": (0.3, 7.0),
    "flagship": (0.4, 4.0),
    "boundary": (0.02, 5.0),
    "zero": (0.3, 2.0),
}


def main() -> None:
    counts = [int(text) for text in sys.argv[1:]] or [1, 2, 3, 8, 20, 60, 300, 1000]
    print("family         pool       groups  streaming %  audit %  kernels  refit ms  µs/group")
    for family in FAMILIES:
        for pool in POOLS:
            for count in counts:
                _print_row(family, pool, count)


def _print_row(name: str, pool: str, count: int) -> None:
    family, kind, _ = FAMILIES[name]
    total, size = draw(name, pool, count, seed=0)
    reference = dense(name, total, size, default_prior(pooled(name, total, size)), 120)
    groups = kind(total, size)
    before = time.process_time()
    fit = family.fit(groups, "bayes")
    refit = time.process_time() - before
    rows = np.argsort(total / size)[[0, count // 2, count - 1]]
    probes = kind(np.append(total[rows], 0.0), np.append(size[rows], 0.0))
    errors = [
        _error(reference, probes, family.posterior(probes, hyper, 0.95))
        for hyper in (fit.hyper, family.audit(groups).hyper)
    ]
    many = _all_different(kind, total, size)
    before = time.process_time()
    family.posterior(many, fit.hyper, 0.95)
    each = (time.process_time() - before) / len(many)
    kernels = len(fit.hyper.weight)
    print(
        f"{name:14} {pool:9} {count:7d} {100 * errors[0]:12.2f} {100 * errors[1]:8.2f} "
        f"{kernels:8d} {1e3 * refit:9.1f} {1e6 * each:9.1f}",
        flush=True,
    )


def _all_different(kind: type[Any], total: Any, size: Any) -> Any:
    """Return 1,000 groups like these, no two alike: groups that are alike cost what one does."""
    rows = np.arange(1_000)
    like = rows % len(size)
    return kind(total[like], size[like] * (1 + 1e-9 * rows))


def draw(name: str, pool: str, count: int, seed: int) -> tuple[Any, Any]:
    """Draw a pool's totals and sizes."""
    random = np.random.default_rng([seed, count])
    mean, (spread, log_size) = FAMILIES[name][2], POOLS[pool]
    size = np.round(random.lognormal(log_size, 0.5, count)) + 1
    if pool == "flagship":
        size[0] = 50_000
    if name == "beta-binomial":
        concentration = 1 / (spread**2 * mean * (1 - mean))
        rate = random.beta(mean * concentration, (1 - mean) * concentration, count)
        total = random.binomial(size.astype(int), rate)
    else:
        total = random.poisson(size * random.gamma(spread**-2, mean * spread**2, count))
    return (total * (pool != "zero")).astype(float), size


def pooled(name: str, total: Any, size: Any) -> float:
    if name == "beta-binomial":
        return float(np.log(total.sum() + 0.5) - np.log((size - total).sum() + 0.5))
    return float(np.log((total.sum() or 0.5) / size.sum()))


def _error(reference: Dense, groups: Any, posterior: Posterior) -> float:
    worst = 0.0
    columns = list(groups.columns().values())
    for i, (total, size) in enumerate(zip(*columns, strict=True)):
        lo, hi = (reference.quantile(total, size, p) for p in (0.025, 0.975))
        away = max(abs(posterior.lo[i] - lo), abs(posterior.hi[i] - hi))
        worst = max(worst, away / (hi - lo))
    return worst


if __name__ == "__main__":
    main()
