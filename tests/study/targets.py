"""What the study promises of ``bayes``, and where a cell does not keep it."""

import numpy as np

from tests.study.study import LEVELS, Replicates

ERRORS_ALLOWED = 3.0
"""Monte-Carlo errors that a coverage may be off: .27 % of right ones are, so .2 in 72 cells."""

LOWEST_COVERAGE = 0.90
"""Of 95 % intervals at a fixed spread, as measured, without an allowance for error."""

MANY_GROUPS = 20


def misses(cell: Replicates) -> list[str]:
    """Return what a cell misses, each with its figures."""
    coverage = _calibration(cell) if cell.world.spread is None else _lowest(cell)
    return coverage + _squared_error(cell)


def _calibration(cell: Replicates) -> list[str]:
    """Hyperparameters drawn from the prior: every level is covered within Monte-Carlo error."""
    share, error = cell.coverage("bayes")
    off = (share - np.array(LEVELS)) / error
    return [
        f"{level:.0%} intervals cover {s:.4f}, {z:+.1f} errors of {e:.4f}"
        for level, s, z, e in zip(LEVELS, share, off, error, strict=True)
        if abs(z) > ERRORS_ALLOWED
    ]


def _lowest(cell: Replicates) -> list[str]:
    share, error = (float(values[-1]) for values in cell.coverage("bayes"))
    if share >= LOWEST_COVERAGE:
        return []
    return [f"95% intervals cover {share:.4f} ± {error:.4f}, below {LOWEST_COVERAGE:.2f}"]


def _squared_error(cell: Replicates) -> list[str]:
    """Below raw's MSE always; from 20 groups on at most 4/J of it above the oracle's."""
    found = []
    (over_raw, error), (excess, other_error) = _excess(cell, "raw"), _excess(cell, "oracle")
    if over_raw >= 0:
        found.append(f"MSE is {1 + over_raw:.4f} ± {error:.4f} of raw's")
    allowed = 4 / cell.world.groups_count
    if cell.world.groups_count >= MANY_GROUPS and excess > allowed:
        found.append(
            f"MSE exceeds the oracle's by {excess:.4f} ± {other_error:.4f} of raw's, "
            f"allowed {allowed:.4f}"
        )
    return found


def _excess(cell: Replicates, other: str) -> tuple[float, float]:
    """Return bayes's MSE less another's, over raw's, and the error of it; pools are paired."""
    difference = cell.squared_error["bayes"] - cell.squared_error[other]
    raw = cell.mean_squared_error("raw")
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return float(difference.mean()) / raw, float(error) / raw
