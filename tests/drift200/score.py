"""What a detector's alerts are worth: false ones a store-year, their share, and delays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_hb.statistics.columns import Floats
from tests.drift200.world import WARM_UP_DAYS, World

FOUND_DAYS = 45
DAYS_A_YEAR = 365.0


@dataclass(frozen=True)
class Score:
    """One replicate's.

    Attributes
    ----------
    false_rate
        Alerts a year and store, of stores that do not drift, after the warm-up.
    false_share
        Of all stores' alerts, those false ones: of the drifting stores each counts once.
    size, delay
        Of each drift: its size, and the day on which it is told, the first being 1; infinite
        where it never is.
    during_promotions
        False alerts on the days of promotions.
    """

    false_rate: float
    false_share: float
    size: Floats
    delay: Floats
    during_promotions: int


def score(world: World, alerts: NDArray[np.bool_]) -> Score:
    """Judge alerts, (days, stores): true where an alert begins."""
    quiet = np.setdiff1d(np.arange(alerts.shape[1]), world.drifting)
    false = alerts[WARM_UP_DAYS:, quiet]
    delay = np.array(
        [_delay(alerts[:, row], day) for row, day in zip(world.drifting, world.day, strict=True)]
    )
    count, found = int(false.sum()), int(np.isfinite(delay).sum())
    return Score(
        count * DAYS_A_YEAR / false.size,
        count / max(count + found, 1),
        np.abs(world.shift),
        delay,
        int(alerts[np.ix_(world.promotion, quiet)].sum()),
    )


def _delay(alerts: NDArray[np.bool_], day: int) -> float:
    told = np.flatnonzero(alerts[day:])
    return float(told[0] + 1) if len(told) else float("inf")


@dataclass(frozen=True)
class Row:
    """Several replicates': means, and their Monte-Carlo standard errors."""

    false_rate: tuple[float, float]
    false_share: tuple[float, float]
    cells: dict[float, tuple[float, float]]
    quiet_promotions: float


def row(scores: list[Score]) -> Row:
    """Sum up."""
    size = np.concatenate([one.size for one in scores])
    delay = np.concatenate([one.delay for one in scores])
    in_time = np.where(delay <= FOUND_DAYS, delay, np.inf)
    cells = {}
    for each in np.unique(size).tolist():
        days = in_time[size == each]
        cells[each] = (float(np.isfinite(days).mean()), float(np.median(days)))
    return Row(
        _mean([one.false_rate for one in scores]),
        _mean([one.false_share for one in scores]),
        cells,
        float(np.mean([one.during_promotions == 0 for one in scores])),
    )


def _mean(values: list[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values) / np.sqrt(len(values)))


def line(name: str, found: Row) -> str:
    """Return one line of the table."""
    cells = " | ".join(f"{share:.2f}, {days:4.1f}" for share, days in found.cells.values())
    rate = f"{found.false_rate[0]:.3f} ±{found.false_rate[1]:.3f}"
    share = f"{found.false_share[0]:.3f} ±{found.false_share[1]:.3f}"
    return f"| {name} | {rate} | {share} | {cells} | {found.quiet_promotions:.2f} |"
