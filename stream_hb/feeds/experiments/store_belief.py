"""What is believed of an arm's effect in every store: contrasts, pooled, and turned into rates."""

from dataclasses import dataclass

import numpy as np

from stream_hb.feeds.experiments.absolute import (
    ArmRates,
    log_odds_level,
    log_rate_level,
    rates_of_arms,
)
from stream_hb.feeds.experiments.arm_statistics import ArmStatistics
from stream_hb.feeds.experiments.contrasts import (
    difference,
    log_odds_ratio,
    log_rate_ratio,
    log_ratio,
)
from stream_hb.feeds.experiments.declaration import Experiment
from stream_hb.feeds.experiments.lift import ArmMean
from stream_hb.feeds.experiments.multisite import MultiSite, pool_sites
from stream_hb.feeds.experiments.outcomes import arm_mean
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured

SCALES = {
    "conversion": "log_odds_ratio",
    "order_rate": "log_rate_ratio",
    "log_order_value": "difference_of_logs",
    "revenue_per_visit": "log_ratio",
}
"""On which scale a metric's effects are pooled over stores."""


@dataclass(frozen=True, slots=True)
class StoreBelief:
    """One comparison in every store; None of ``sites`` where no store has a contrast.

    Attributes
    ----------
    contrasts
        Effects as measured, on the scale of :data:`SCALES`.
    sites
        Effects as pooled.
    rates
        Rates of control and arm; None for metrics that are none.
    """

    contrasts: Measured
    sites: MultiSite | None
    rates: ArmRates | None


def store_beliefs(
    experiment: Experiment, statistics: ArmStatistics, metric: str, comparison: int
) -> StoreBelief:
    """Return what is believed of one comparison in every store."""
    pair = experiment.control_index, experiment.treatments[comparison]
    contrasts = _contrasts(statistics, metric, *pair)
    units = statistics.units[:, list(pair)].sum(axis=1)
    sites = pool_sites(contrasts, units, 1 - experiment.alpha)
    rates = None if sites is None else _rates(statistics, metric, pair, sites.stores.mean)
    return StoreBelief(contrasts, sites, rates)


def all_store_beliefs(
    experiment: Experiment, statistics: ArmStatistics
) -> dict[str, list[StoreBelief]]:
    """Return the same for every metric and comparison: the costly part of a record, done once."""
    comparisons = range(len(experiment.treatments))
    return {
        metric: [store_beliefs(experiment, statistics, metric, i) for i in comparisons]
        for metric in experiment.analysed
    }


def _contrasts(statistics: ArmStatistics, metric: str, control: int, arm: int) -> Measured:
    if metric == "conversion":
        y, n = statistics.conversions, statistics.units
        return log_odds_ratio(y[:, arm], n[:, arm], y[:, control], n[:, control])
    if metric == "order_rate":
        k, t = statistics.orders, statistics.visits
        found = log_rate_ratio(k[:, arm], t[:, arm], k[:, control], t[:, control])
        return Measured(found.mean, found.variance * _overdispersion(statistics, [control, arm]))
    means = arm_mean(statistics, metric)
    one, other = (
        ArmMean(means.mean[:, i], means.variance[:, i], means.units[:, i]) for i in (arm, control)
    )
    return difference(one, other) if metric == "log_order_value" else log_ratio(one, other)


def _overdispersion(statistics: ArmStatistics, arms: list[int]) -> float:
    """Return how many times the Poisson variance the orders of a unit have, 1 at least."""
    if statistics.joint is None:
        return 1.0
    chain = statistics.chain()
    known = arm_mean(chain, "order_rate").variance[0, arms]
    poisson = chain.orders[0, arms] / np.maximum(chain.visits[0, arms], 1.0) ** 2
    usable = np.isfinite(known) & (poisson > 0)
    return max(1.0, float(known[usable].sum() / poisson[usable].sum())) if usable.any() else 1.0


def _rates(
    statistics: ArmStatistics, metric: str, pair: tuple[int, int], effect: Floats
) -> ArmRates | None:
    """Return both arms' rates about the store's level, for metrics that are rates."""
    both = list(pair)
    top, bottom = {
        "conversion": (statistics.conversions, statistics.units),
        "order_rate": (statistics.orders, statistics.visits),
    }.get(metric, (None, None))
    if top is None or bottom is None:
        return None
    y, n = top[:, both].sum(axis=1), bottom[:, both].sum(axis=1)
    share = np.divide(bottom[:, pair[1]], n, out=np.full(len(n), 0.5), where=n > 0)
    is_logit = metric == "conversion"
    level = log_odds_level(y, n) if is_logit else log_rate_level(y, n)
    return rates_of_arms(level, effect, share, logit=is_logit)
