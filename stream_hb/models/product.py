"""Revenue per visit: conversion times order value, of every group.

The two factors are independent given what is known. The value is log-normal in the pool, so the
mean of an order is m = exp(θ + σ²/2) with θ the group's mean of logs, and σ² is itself estimated.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import gammaincinv, psi

from stream_hb.errors import FitError
from stream_hb.models.family import Posterior
from stream_hb.statistics.columns import Floats


@dataclass(frozen=True, slots=True)
class Product:
    """Posterior of a product of two of the groups' parameters: arrays, one row per group.

    A product has no weight on its pooled value: the estimate is not a line between raw and pooled.

    Attributes
    ----------
    raw
        Product of the raw estimates; NaN while either factor has no data.
    pooled
        Product of what the factors are drawn to.
    mean, sd
        Posterior mean and standard deviation.
    lo, hi
        Ends of the credible interval.
    """

    raw: Floats
    pooled: Floats
    mean: Floats
    sd: Floats
    lo: Floats
    hi: Floats


def revenue(
    conversion: Posterior,
    log_value: Posterior,
    sigma2: float | Floats,
    sigma2_df: float | Floats,
    level: float,
) -> Product:
    r"""Return revenue per visit, in the unit whose logarithm was kept (minor units of currency).

    Mean and variance are those of a product of independent factors,

    .. math:: E = E_pE_m, \quad V = E_p^2V_m + E_m^2V_p + V_pV_m,

    the value's from the log-normal that has the mean and variance of θ + σ²/2, that is
    :math:`E_m = \exp(\hat θ + \hat σ^2/2 + v/2)`, :math:`V_m = E_m^2(e^v - 1)`,
    :math:`v = sd^2(θ) + \hat σ^4/2ν`. (Under σ²'s exact posterior, an inverse χ², the mean of an
    order is infinite.) The logarithm of the product is a sum; its interval is put together from
    those of its terms, so that their skewness and tails are kept. With :math:`m_i` the mean,
    :math:`c_i` the middle of the interval and :math:`h_i` half its width,

    .. math:: \sum m_i + \sum r_i^2(c_i - m_i) \pm h, \quad
              h^2 = \sum h_i^2, \quad r_i = h_i/h

    is the Cornish-Fisher expansion to its second term (doi:10.2307/1400905), and exact where one
    factor has all the uncertainty. The ends lie within .5 % of the width of those of the exact
    product from three orders on, and within 5 % with one order in fifty visits and 20 degrees of
    freedom of σ² (a log-normal of the product's mean and variance: 2-12 %). With 5 degrees of
    freedom they are up to 4.4 % off on the log scale, with 2 up to 8.4 % (against a million draws).

    Parameters
    ----------
    conversion
        Posterior of orders per visit, its interval at ``level``.
    log_value
        Posterior of the mean of log order values, of the same groups in the same order and at the
        same level. A group without an order has the pool's predictive here.
    sigma2
        Variance σ² of the log value of one order, of the pool or of each group.
    sigma2_df
        Degrees of freedom ν that σ² was estimated with; infinite where it is known.
    level
        Probability of the interval, in (0, 1).

    Raises
    ------
    FitError
        The two posteriors are not of equally many groups, or σ² has no degree of freedom.

    Examples
    --------
    The mean order is not exp(θ), the geometric mean:

    >>> one = np.ones(1)
    >>> known = lambda x: Posterior(x * one, x * one, 0 * one, x * one, 0 * one, x * one, x * one)
    >>> product = revenue(known(0.05), known(8.0), sigma2=0.81, sigma2_df=np.inf, level=0.95)
    >>> product.mean.round(1), (0.05 * np.exp(8.0 * one)).round(1)
    (array([223.5]), array([149.]))
    """
    _check(conversion, log_value, sigma2_df)
    half_sigma2 = np.asarray(sigma2) / 2
    rate, log_mean = (conversion.mean, conversion.sd), (log_value.mean, log_value.sd)
    mean, sd = mean_and_sd(rate, log_mean, sigma2, sigma2_df)
    lo, hi = _interval_of_sum(
        _log_rate(conversion),
        _Term(log_value.mean, log_value.lo, log_value.hi),
        _variance_term(half_sigma2, np.asarray(sigma2_df), level),
    )
    with np.errstate(over="ignore"):
        return Product(
            raw=conversion.raw * np.exp(log_value.raw + half_sigma2),
            pooled=conversion.pooled * np.exp(log_value.pooled + half_sigma2),
            mean=mean,
            sd=sd,
            lo=np.exp(lo),
            hi=np.exp(hi),
        )


def _check(conversion: Posterior, log_value: Posterior, sigma2_df: float | Floats) -> None:
    if len(conversion.mean) != len(log_value.mean):
        counts = f"{len(conversion.mean)} rates and {len(log_value.mean)} values"
        raise FitError(f"a product needs both factors of every group, got {counts}")
    if not np.all(np.asarray(sigma2_df) > 0):
        raise FitError(f"sigma2 needs degrees of freedom above 0, got {sigma2_df}")


def mean_and_sd(
    rate: tuple[Floats, Floats],
    log_value: tuple[Floats, Floats],
    sigma2: float | Floats,
    sigma2_df: float | Floats,
) -> tuple[Floats, Floats]:
    """Return mean and sd of the product by those of its factors, as :func:`revenue` has them.

    Two orders of one mean log are worth more on average where orders vary more:

    >>> rate, log_value = (np.array([0.05]), np.zeros(1)), (np.array([8.0]), np.zeros(1))
    >>> [mean_and_sd(rate, log_value, s2, np.inf)[0].round(1).item() for s2 in (0.0, 0.81)]
    [149.0, 223.5]
    """
    half_sigma2 = np.asarray(sigma2) / 2
    variance = log_value[1] ** 2 + 2 * np.divide(half_sigma2**2, sigma2_df)
    # A pool that knows next to nothing of its values has infinite revenue: not an error here.
    with np.errstate(over="ignore"):
        value = np.exp(log_value[0] + half_sigma2 + variance / 2)
        value_sd = value * np.sqrt(np.expm1(variance))
        squares = (rate[0] * value_sd) ** 2 + (rate[1] * value) ** 2 + (rate[1] * value_sd) ** 2
        return rate[0] * value, np.sqrt(squares)


class _Term(NamedTuple):
    """One independent term of a sum: its mean and the ends of its interval."""

    mean: Floats
    lo: Floats
    hi: Floats


def _log_rate(conversion: Posterior) -> _Term:
    """Return ln p; its mean is that of the Gamma with the mean and variance of p."""
    relative = np.maximum((conversion.sd / conversion.mean) ** 2, 1e-12)
    mean = np.log(conversion.mean) + psi(1 / relative) + np.log(relative)
    # A rate that may as well be zero has a logarithm of minus infinity.
    return _Term(mean, *(np.log(np.maximum(end, 1e-300)) for end in (conversion.lo, conversion.hi)))


def _variance_term(half_sigma2: Floats, df: Floats, level: float) -> _Term:
    """Return σ²/2, of which νσ̂²/σ² is χ² with ν degrees of freedom.

    Its mean to the order 1/ν: the mean itself is infinite where ν is 2 or less.
    """
    known = np.isinf(df)
    half_df = np.where(known, 1.0, df) / 2
    tail = (1 - level) / 2
    lo, hi = (
        half_sigma2 * np.where(known, 1.0, half_df / gammaincinv(half_df, share))
        for share in (1 - tail, tail)
    )
    return _Term(half_sigma2 * (1 + 2 / df), lo, hi)


def _interval_of_sum(*terms: _Term) -> tuple[Floats, Floats]:
    """Return both ends of the sum's interval, from those of its terms at the same level."""
    halves = [(term.hi - term.lo) / 2 for term in terms]
    total = sum((half**2 for half in halves), np.zeros(()))
    centre = np.zeros(())
    for term, half in zip(terms, halves, strict=True):
        share = np.divide(half**2, total, out=np.zeros_like(total + half), where=total > 0)
        centre = centre + term.mean + share * ((term.lo + term.hi) / 2 - term.mean)
    return centre - np.sqrt(total), centre + np.sqrt(total)
