"""The chains that the benchmark simulates.

What the benchmark's description leaves open is read so that its published rows come out: the
oracle's, and CUSUM's on the published innovation (README):

- weekday multipliers of visits and effects on log-odds rise in equal steps from Monday to Sunday;
- a store's mean number of visits and its weekday deviations stay for ever, its day noise is new;
- promotions begin anywhere from day 45 on and may overlap;
- a drift's size is one of the three with equal probability, its sign too;
- the oracle knows the day's noise too (without that it has twice the published false alerts).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from stream_hb.statistics.columns import Floats

WEEKDAY_VISITS = np.linspace(0.8, 1.4, 7)
WEEKDAY_EFFECT = np.linspace(-0.05, 0.25, 7)
WARM_UP_DAYS = 42


@dataclass(frozen=True)
class Plan:
    """What is simulated; the defaults are DRIFT-200."""

    stores: int = 200
    days: int = 180
    drifting: int = 20
    sizes: tuple[float, ...] = (0.2, 0.4, 0.8)
    first_day: int = 70
    last_day: int = 130
    visits_median: float = 400.0
    visits_sd: float = 0.8
    base: float = 0.05
    noise_sd: float = 0.05
    gradual_days: int = 0
    half_shifts: float = 0.0
    closes_on: int | None = None


@dataclass(frozen=True)
class World:
    """One simulated chain; (days, stores) where there are two axes.

    Attributes
    ----------
    visits, orders
        What is counted.
    truth
        True log-odds but for the drift.
    promotion
        Days of promotions.
    drifting, shift, day
        Rows of the stores that drift, by how much, and from which day on.
    """

    visits: NDArray[np.int64]
    orders: NDArray[np.int64]
    truth: Floats
    promotion: NDArray[np.bool_]
    drifting: NDArray[np.intp]
    shift: Floats
    day: NDArray[np.int64]
    plan: Plan = field(default_factory=Plan)


def world(seed: int, plan: Plan | None = None) -> World:
    """Simulate a chain."""
    plan = plan or Plan()
    rng = np.random.default_rng(seed)
    days, stores = np.arange(plan.days), plan.stores
    mean_visits = np.exp(rng.normal(np.log(plan.visits_median), plan.visits_sd, stores))
    store = rng.normal(0, 0.3, stores)
    weekday = rng.normal(0, 0.05, (stores, 7))
    walk = np.cumsum(rng.normal(0, 0.02, plan.days))
    promotion = _promotions(rng, plan.days)
    drifting = rng.choice(stores, plan.drifting, replace=False)
    shift = rng.choice(plan.sizes, plan.drifting) * rng.choice([-1, 1], plan.drifting)
    day = rng.integers(plan.first_day, plan.last_day + 1, plan.drifting)
    chain = logit(plan.base) + walk + WEEKDAY_EFFECT[days % 7] + 0.4 * promotion
    link = chain[:, None] + store + weekday[:, days % 7].T
    drift = _drift(plan, drifting, shift, day)
    link += rng.normal(0, plan.noise_sd, (plan.days, stores))
    visits = rng.poisson(mean_visits * WEEKDAY_VISITS[days % 7, None])
    if plan.closes_on is not None:
        visits[plan.closes_on :, 0] = 0
    orders = rng.binomial(visits, expit(link + drift))
    return World(visits, orders, link, promotion, drifting, shift, day, plan)


def _promotions(rng: np.random.Generator, days: int) -> NDArray[np.bool_]:
    promotion = np.zeros(days, bool)
    for first in rng.choice(np.arange(45, days - 4), 3, replace=False):
        promotion[first : first + 4] = True
    return promotion


def _drift(plan: Plan, drifting: NDArray[np.intp], shift: Floats, day: NDArray[np.int64]) -> Floats:
    drift = np.zeros((plan.days, plan.stores))
    for row, size, first in zip(drifting, shift, day, strict=True):
        age = np.arange(plan.days) - first
        share = np.clip((age + 1) / max(plan.gradual_days, 1), 0, 1)
        drift[:, row] = size * np.where(age >= 0, share, 0.0)
    if plan.half_shifts:
        drift[100:, : plan.stores // 2] += plan.half_shifts
    return drift
