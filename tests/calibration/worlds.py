"""Stores whose ticks are drawn: what is right of a model, and what is wrong, is set here."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.special import expit, logit

from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.moments import Moments

RATE, LOG_VALUE = 0.05, 4.0
MEDIAN_VISITS, VISITS_SD = 400.0, 0.8
VALUE_SD = 0.9
"""The chain: conversion (or orders a visit), log order value, visits a day, sd of log values."""


@dataclass(frozen=True, slots=True)
class World:
    """What ticks are drawn from.

    Attributes
    ----------
    metric
        ``conversion``, ``order_rate`` or ``log_order_value``.
    spread
        Sd of the stores, on the scale of the logit, the log rate or the log value.
    drift
        Sd of a store's random walk in a day, on the same scale.
    dispersion
        Variance of a day's counts in units of the binomial's or Poisson's.
    shock
        Sd of what a day does to all stores at once.
    stores, days
        Their numbers.
    """

    metric: str
    spread: float = 0.3
    drift: float = 0.0
    dispersion: float = 1.0
    shock: float = 0.0
    stores: int = 200
    days: int = 90

    def draw(self, random: Generator) -> Iterator[Statistic]:
        """Yield the days' increments."""
        visits = MEDIAN_VISITS * np.exp(random.normal(0.0, VISITS_SD, self.stores))
        away = random.normal(0.0, self.spread, self.stores)
        for _ in range(self.days):
            n = random.poisson(visits).astype(np.float64)
            yield self._day(random, n, away + random.normal(0.0, self.shock))
            away = away + random.normal(0.0, self.drift, self.stores)

    def _day(self, random: Generator, n: Floats, away: Floats) -> Statistic:
        if self.metric == "conversion":
            return self._conversions(random, n, expit(logit(RATE) + away))
        if self.metric == "order_rate":
            return self._orders(random, n, RATE * np.exp(away))
        return _values(random, random.poisson(RATE * n).astype(np.float64), LOG_VALUE + away)

    def _conversions(self, random: Generator, n: Floats, theta: Floats) -> Counts:
        if self.dispersion > 1:
            # n visits vary as one does that many times over: 1 + (n - 1)/(κ + 1).
            concentration = np.maximum(n - 1, 1e-9) / (self.dispersion - 1) - 1
            concentration = np.maximum(concentration, 1e-3)
            theta = random.beta(theta * concentration, (1 - theta) * concentration)
        return Counts(random.binomial(n.astype(np.int64), theta).astype(np.float64), n)

    def _orders(self, random: Generator, n: Floats, theta: Floats) -> Exposure:
        mean = n * theta
        if self.dispersion > 1:
            shape = np.maximum(mean, 1e-9) / (self.dispersion - 1)
            mean = random.gamma(shape, self.dispersion - 1)
        return Exposure(random.poisson(mean).astype(np.float64), n)


def _values(random: Generator, k: Floats, mu: Floats) -> Moments:
    some = k > 0
    mean = np.where(some, random.normal(mu, VALUE_SD / np.sqrt(np.maximum(k, 1.0))), 0.0)
    m2 = VALUE_SD**2 * 2 * random.standard_gamma(np.maximum(k - 1, 0.0) / 2)
    return Moments(k, mean, m2)
