"""How long a full-Bayes refit takes as a pool grows, and what an update and an interval cost.

Run by ``make bench-refit``. The anchors of the same run are scipy's exact maximum likelihood over
all groups at once and, where R is installed, ``VGAM`` and ``lme4``; a figure without its anchor
says little on a machine that others use too. ``--largest`` ends the series (10,000,000 groups take
4 GB).
"""

import argparse
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln

from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.counts_summary import CountsSummary
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.exposure_summary import ExposureSummary
from stream_hb.statistics.moments import Moments
from stream_hb.statistics.moments_summary import MomentsSummary

SEED = 20261123
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
MEASURES = {"beta-binomial": 3, "gamma-poisson": 3, "normal": 3}
SUMMARIES: dict[str, Any] = {
    "beta-binomial": CountsSummary,
    "gamma-poisson": ExposureSummary,
    "normal": MomentsSummary,
}


def made(family: str, size: int, rng: np.random.Generator) -> Statistic:
    """Make a chain's groups: sizes log-normal about 200, spread 30 % of the mean."""
    n = np.ceil(200 * np.exp(rng.normal(0, 1, size)))
    match family:
        case "beta-binomial":
            return Counts(rng.binomial(n.astype(int), rng.beta(6, 114, size)).astype(float), n)
        case "gamma-poisson":
            return Exposure(rng.poisson(n * rng.gamma(10, 0.006, size)).astype(float), n)
    mean = rng.normal(3.5, 0.3, size) + rng.normal(0, 0.8 / np.sqrt(n))
    return Moments(n, mean, 0.64 * rng.chisquare(np.maximum(n - 1, 1e-9)))


def fastest(times: int, work: Callable[..., Any], *arguments: Any) -> float:
    """Return the seconds of the fastest of several runs."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work(*arguments)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def scipy_exact(groups: Counts) -> None:
    """Fit (logit mean, log κ) over all groups at once, as anybody would with scipy."""
    y, f = groups.successes, groups.trials - groups.successes

    def loss(point: Floats) -> float:
        mean, kappa = 1 / (1 + np.exp(-point[0])), np.exp(point[1])
        a, b = mean * kappa, (1 - mean) * kappa
        return float(-(betaln(y + a, f + b) - betaln(a, b)).sum())

    minimize(loss, np.array([-3.0, 3.0]), method="L-BFGS-B")


R_CODE = {
    "normal": """
        suppressMessages(library(lme4)); d <- read.csv(file("stdin"))
        g <- rep(seq_along(d$n), d$n); y <- rnorm(length(g), d$mean[g], .8)
        cat(system.time(lmer(y ~ 1 + (1 | g)))[["elapsed"]])
    """,
    "beta-binomial": """
        suppressMessages(library(VGAM)); d <- read.csv(file("stdin"))
        cat(system.time(vglm(cbind(y, n - y) ~ 1, betabinomialff, d))[["elapsed"]])
    """,
}


def r_seconds(family: str, groups: Statistic) -> float | None:
    """Return what lme4 or VGAM takes for the point fit; None without R or for other families."""
    if shutil.which("Rscript") is None or family not in R_CODE:
        return None
    match groups:
        case Counts():
            rows = [
                f"{y:.0f},{n:.0f}" for y, n in zip(groups.successes, groups.trials, strict=True)
            ]
            header = "y,n"
        case Moments():
            rows = [f"{n:.0f},{m}" for n, m in zip(groups.weight, groups.mean, strict=True)]
            header = "n,mean"
    ran = subprocess.run(
        ["Rscript", "-e", R_CODE[family]],
        input="\n".join([header, *rows, ""]),
        capture_output=True,
        text=True,
        check=False,
    )
    return float(ran.stdout) if ran.returncode == 0 else None


def refits(sizes: Sequence[int]) -> None:
    """Print the refit's time by family and number of groups."""
    print("| family | groups | bayes, ms | ml, ms | scipy's exact ml, ms | VGAM or lme4, ms |")
    print("|---|---|---|---|---|---|")
    for family in MEASURES:
        times = [_refit(family, size) for size in sizes]
        print(f"\n{family}: {sizes[-1]:,} over {sizes[0]:,} groups: {times[-1] / times[0]:.2f}\n")


def _refit(family: str, size: int) -> float:
    groups = made(family, size, np.random.default_rng(SEED))
    summary = SUMMARIES[family].of(groups)
    model = FAMILIES[family]
    bayes = fastest(5, model.fit, summary, "bayes")
    ml = fastest(5, model.fit, summary, "ml")
    exact = software = None
    if isinstance(groups, Counts):
        exact = fastest(1, scipy_exact, groups)
    if size <= 1_000:  # lme4 takes 80 s for 10,000 groups
        software = r_seconds(family, groups)
    cells = [_ms(seconds) for seconds in (bayes, ml, exact, software)]
    print(f"| {family} | {size:,} | {' | '.join(cells)} |", flush=True)
    return bayes


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:,.1f}"


def updates(changed: int = 10_000) -> None:
    """Print what it costs to take changed groups out of the summary and put them in again."""
    for family, measures in MEASURES.items():
        rng = np.random.default_rng(SEED)
        old, new = made(family, changed, rng), made(family, changed, rng)
        binned = SUMMARIES[family].of
        summary = binned(made(family, 100_000, rng)).merge(binned(old))
        seconds = fastest(5, summary.exchange, old, new)
        cost = 1e6 * seconds / changed / measures
        print(f"update, {family}: {cost:.3f} us per changed group and measure")


def intervals(groups_count: int = 100_000) -> None:
    """Print what mean, sd and both interval ends cost per group, by the size of the pool."""
    for family in MEASURES:
        model = FAMILIES[family]
        for pool in (20, 100, 1_000, 10_000):
            rng = np.random.default_rng(SEED)
            hyper = model.fit(made(family, pool, rng), "bayes").hyper
            groups = made(family, groups_count, rng)
            cost = 1e6 * fastest(2, model.posterior, groups, hyper, 0.95) / groups_count
            plug = model.fit(made(family, pool, rng), "ml").hyper
            anchor = 1e6 * fastest(2, model.posterior, groups, plug, 0.95) / groups_count
            print(
                f"posterior, {family}, pool of {pool:,}: {cost:.1f} us a group "
                f"({cost / anchor:.1f} x plug-in's {anchor:.1f})",
                flush=True,
            )


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="most groups in a pool")
    largest = parser.parse_args().largest
    print(json.dumps({"seed": SEED, "largest": largest}))
    updates()
    intervals()
    refits([size for size in SIZES if size <= largest])


if __name__ == "__main__":
    main()
