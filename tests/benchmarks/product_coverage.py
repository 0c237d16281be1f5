"""``python -m tests.benchmarks.product_coverage``: how often revenue per visit's interval covers.

The whole chain: stores drawn from their priors, visits and orders drawn, both pools fitted without
knowing anything, both posteriors multiplied. The interval is compared with those of a log-normal
and a gamma that have the product's mean and variance. Minutes a cell.
"""

import argparse
import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.special import gammaincinv, ndtri

from stream_hb.models.product import Product, revenue
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.moments import Moments

LEVEL = 0.95
SEED = 20_240_602
SIGMA = 0.8
LOG_VALUE = 8.0


class Cell(NamedTuple):
    """A kind of pool: its number of stores, and how much they differ."""

    stores: int
    logit_sd: float
    tau: float
    visits: float
    rate: float = 0.05


class Coverage(NamedTuple):
    """Shares of the stores' intervals that cover, with Monte-Carlo errors, and errors' squares.

    Replicates are the unit: the stores of one pool share its fit.
    """

    share: dict[str, tuple[float, float]]
    mse_ratio: float


CELLS = (
    Cell(20, 0.0, 0.0, 400),
    Cell(20, 0.3, 0.2, 400),
    Cell(20, 1.0, 0.6, 400),
    Cell(20, 0.3, 0.2, 60),
    Cell(20, 0.3, 0.2, 4_000),
    Cell(5, 0.3, 0.2, 400),
    Cell(100, 0.3, 0.2, 400),
)


def coverage(cell: Cell, replicates: int, method: str, seed: int) -> Coverage:
    """Return how often each interval covers, and the squared error relative to raw revenue's."""
    rng = np.random.default_rng([seed, cell.stores, round(100 * cell.logit_sd), int(cell.visits)])
    shares: dict[str, list[float]] = {}
    ours, raws = 0.0, 0.0
    for _ in range(replicates):
        truth, raw, product = _replicate(cell, method, rng)
        for name, (lo, hi) in _intervals(product):
            shares.setdefault(name, []).append(float(((lo <= truth) & (truth <= hi)).mean()))
        ours += float(((product.mean - truth) ** 2).sum())
        raws += float(((raw - truth) ** 2).sum())
    error = 1 / math.sqrt(replicates)
    found = {name: (float(np.mean(s)), float(np.std(s)) * error) for name, s in shares.items()}
    return Coverage(found, ours / raws)


def _replicate(cell: Cell, method: str, rng: np.random.Generator) -> tuple[Floats, Floats, Product]:
    logit = math.log(cell.rate / (1 - cell.rate)) + cell.logit_sd * rng.standard_normal(cell.stores)
    rate = 1 / (1 + np.exp(-logit))
    theta = LOG_VALUE + cell.tau * rng.standard_normal(cell.stores)
    visits = np.rint(cell.visits * np.exp(rng.standard_normal(cell.stores))) + 5
    orders = rng.binomial(visits.astype(np.int64), rate)
    rows = np.repeat(np.arange(cell.stores), orders)
    log_amounts = theta[rows] + SIGMA * rng.standard_normal(len(rows))
    values = Moments.of(rows, log_amounts, cell.stores)
    total = np.bincount(rows, np.exp(log_amounts), cell.stores)
    product = fitted(Counts(orders.astype(float), visits), values, method)
    return rate * np.exp(theta + SIGMA**2 / 2), total / visits, product


def fitted(counts: Counts, values: Moments, method: str) -> Product:
    """Fit both pools and multiply."""
    rates, logs = FAMILIES["beta-binomial"], FAMILIES["normal"]
    conversion = rates.posterior(counts, rates.fit(counts, method).hyper, LEVEL)
    hyper = logs.fit(values, "reml" if method == "ml" else method).hyper
    degrees = float(values.weight.sum()) - np.count_nonzero(values.weight)
    sigma2 = logs.parameters(hyper)["sigma2"]
    value = logs.posterior(values, hyper, LEVEL)
    return revenue(conversion, value, sigma2, max(degrees, 1.0), LEVEL)


def _intervals(product: Product) -> Iterator[tuple[str, tuple[Floats, Floats]]]:
    yield "ours", (product.lo, product.hi)
    mean, relative = product.mean, (product.sd / product.mean) ** 2
    log_sd, z = np.sqrt(np.log1p(relative)), float(ndtri((1 + LEVEL) / 2))
    median = mean / np.sqrt(1 + relative)
    yield "log-normal", (median * np.exp(-z * log_sd), median * np.exp(z * log_sd))
    tails = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    low, high = (gammaincinv(1 / relative, p) * mean * relative for p in tails)
    yield "gamma", (low, high)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--replicates", type=int, default=2_000)
    parser.add_argument("--method", default="bayes")
    every = range(len(CELLS))
    parser.add_argument("--cells", type=int, nargs="+", choices=every, default=every)
    options = parser.parse_args()
    print(
        f"nominal {LEVEL}, method {options.method}, seed {SEED}, {options.replicates:,} replicates"
    )
    for cell in (CELLS[i] for i in options.cells):
        start = time.perf_counter()
        found = coverage(cell, options.replicates, options.method, SEED)
        line = "  ".join(f"{name} {p:.4f} ± {e:.4f}" for name, (p, e) in found.share.items())
        seconds = time.perf_counter() - start
        print(f"{cell}: {line}  MSE/raw's {found.mse_ratio:.3f}  ({seconds:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
