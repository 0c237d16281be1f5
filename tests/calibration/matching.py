"""Posteriors as mixtures against posteriors as one kernel, by the predictions that they make."""

import numpy as np
from numpy.random import Generator

from stream_hb.feeds.calibration.beta_binomial import BetaBinomialKernels
from stream_hb.feeds.calibration.lattice import CountPredictive
from stream_hb.models.beta_binomial import BetaBinomial
from stream_hb.models.beta_kernels import BetaKernels
from stream_hb.statistics.counts import Counts

TICK_VISITS = (20.0, 400.0, 2000.0)
_TAILS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


def matched_errors(stores: int, visits: int, random: Generator) -> tuple[int, float, float]:
    """Return the kernels of a fit, and the errors for stores with data and for one without."""
    family = BetaBinomial()
    theta = random.beta(0.05 * 120, 0.95 * 120, stores)
    n = np.append(np.full(stores, float(visits)), 0.0)
    y = np.append(random.binomial(visits, theta).astype(np.float64), 0.0)
    groups = Counts(y, n)
    hyper = family.fit(groups.take(slice(stores)), "bayes").hyper
    kernels, weight = family.kernels(groups, hyper)
    mean, sd = family.screen(groups, hyper)
    one = BetaKernels.matched(mean[None], sd[None] ** 2)
    worst = np.zeros(stores + 1)
    for tick in TICK_VISITS:
        trials = np.full(stores + 1, tick)
        whole = CountPredictive(BetaBinomialKernels.of(kernels, trials), weight)
        matched = CountPredictive(BetaBinomialKernels.of(one, trials), np.ones(1))
        for tail in _TAILS:
            at = whole.quantile(tail)
            error = np.abs(whole.distribution(at) - matched.distribution(at))
            worst = np.maximum(worst, error)
    return len(weight), float(worst[:-1].max()), float(worst[-1])
