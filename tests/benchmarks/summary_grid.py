"""Fits from binned summaries against exact ones over a seeded grid of pools.

Run: ``python -m tests.benchmarks.summary_grid [groups_max]`` (default 1,000,000: some minutes). It
prints, per family and method, the worst relative error of the spread's hyperparameter and of the
location, and how many boundary decisions differed. The tests run the small end of the same grid.
"""

import math
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.counts_summary import CountsSummary
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.exposure_summary import ExposureSummary
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.measured_summary import MeasuredSummary
from stream_hb.statistics.moments import Moments
from stream_hb.statistics.moments_summary import MomentsSummary
from stream_hb.statistics.summary import ExactSummary

BINNED: dict[type[Statistic], Any] = {
    Counts: CountsSummary,
    Exposure: ExposureSummary,
    Measured: MeasuredSummary,
    Moments: MomentsSummary,
}

SIZES: dict[str, tuple[float, float]] = {
    "equal": (5.0, 0.0),
    "small": (1.0, 1.0),
    "mixed": (5.0, 2.5),
    "large": (10.0, 1.5),
}
"""Mean and sd of ln n; n is kept between 1 and 1e6."""

SPREADS = (0.02, 0.3, 1.5)
"""Between groups: on the logit scale, of the rate, or over the sd of one observation."""


class Case(NamedTuple):
    """One pool of the grid."""

    family: str
    method: str
    name: str
    groups: Any


class Outcome(NamedTuple):
    """A summary's fit against the exact one: relative errors, and whether boundaries agree."""

    location: float
    spread: float
    log_likelihood: float
    boundary_agrees: bool


def cases(groups_counts: tuple[int, ...], seed: int = 17) -> Iterator[Case]:
    """Draw the pools of the grid."""
    rng = np.random.default_rng(seed)
    for count in groups_counts:
        for size in SIZES:
            for spread in SPREADS:
                for fractional in (False, True):
                    n = _sizes(rng, count, size, fractional)
                    name = f"J={count} n={size} spread={spread} fractional={fractional}"
                    yield from _pools(rng, n, spread, fractional, name)


def compare(case: Case) -> Outcome:
    """Fit a pool both ways."""
    family = FAMILIES[case.family]
    exact = family.fit(ExactSummary(case.groups), case.method)
    binned = family.fit(BINNED[type(case.groups)].of(case.groups), case.method)
    location, spread = map(_relative, _hyper(binned), _hyper(exact))
    apart = abs(binned.log_likelihood - exact.log_likelihood) / (abs(exact.log_likelihood) + 1)
    return Outcome(location, spread, apart, exact.boundary == binned.boundary)


def _hyper(fit: Any) -> tuple[float, float]:
    hyper = fit.hyper
    if hasattr(hyper, "tau2"):
        return hyper.mu, hyper.tau2
    return hyper.mean, hyper.concentration if hasattr(hyper, "concentration") else hyper.shape


def _relative(got: float, want: float) -> float:
    return 0.0 if got == want else abs(got / want - 1) if want and math.isfinite(want) else math.inf


def _sizes(rng: np.random.Generator, count: int, name: str, fractional: bool) -> Floats:
    n = np.clip(np.exp(rng.normal(*SIZES[name], count)), 1, 1e6)
    return n if fractional else np.round(n)


def _pools(
    rng: np.random.Generator, n: Floats, spread: float, fractional: bool, name: str
) -> Iterator[Case]:
    """Draw one pool of each family; fractional counts as Kish's effective sizes make them."""
    whole = np.round(n)
    theta = 1 / (1 + np.exp(-rng.normal(-2.5, spread, len(n))))
    y = rng.binomial(whole.astype(np.int64), theta) * (n / whole)
    yield Case("beta-binomial", "ml", name, Counts(y, n))
    t = n / 24 if fractional else n
    rate = rng.gamma(spread**-2, 0.3 * spread**2, len(n))
    yield Case("gamma-poisson", "ml", name, Exposure(rng.poisson(rate * t).astype(float), t))
    mean = 40 + spread * rng.standard_normal(len(n)) + rng.standard_normal(len(n)) / np.sqrt(n)
    for method in ("dl", "pm", "ml", "reml"):
        yield Case("normal-known-variance", method, name, Measured(mean, 1 / n))
    m2 = rng.chisquare(np.maximum(n - 1, 1e-9))
    for method in ("ml", "reml"):
        yield Case("normal", method, name, Moments(n, mean, m2))


def main(groups_max: int = 1_000_000) -> None:
    """Print the worst errors of the whole grid."""
    counts = tuple(j for j in (10, 100, 1_000, 10_000, 100_000, 1_000_000) if j <= groups_max)
    worst: dict[tuple[str, str], list[Outcome]] = {}
    for case in cases(counts):
        outcome = compare(case)
        worst.setdefault((case.family, case.method), []).append(outcome)
        if outcome.spread > 1e-7 or not outcome.boundary_agrees:
            print(case.family, case.method, case.name, outcome, flush=True)
    for (family, method), outcomes in worst.items():
        location, spread, likelihood, _ = (max(column) for column in zip(*outcomes, strict=True))
        differing = sum(not outcome.boundary_agrees for outcome in outcomes)
        print(
            f"{family} {method}: {len(outcomes)} pools, worst location {location:.1e}, spread"
            f" {spread:.1e}, log-likelihood {likelihood:.1e}; {differing} boundaries differ"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
