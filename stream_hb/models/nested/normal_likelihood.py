"""The marginal likelihood of means in regions in a chain, from sufficient statistics.

y_j ~ N(m_r + store effect, v_j): with s_j = v_j + τ²_store and A_r = Σ 1/s_j the covariance of a
region's stores is diag(s) + τ²_region·11', so by Woodbury's identity
ln det = Σ ln s_j + ln(1 + τ²_region·A_r), and the region's mean has the precision
W_r = A_r/(1 + τ²_region·A_r) about the chain's. One evaluation costs O(stores).
"""

import math
from typing import NamedTuple

import numpy as np

from stream_hb.models.nested.layout import Layout
from stream_hb.statistics.columns import Floats

_LOG_2PI = math.log(2 * math.pi)


class Chain(NamedTuple):
    """Everything that the two levels give at O points of the variances.

    Attributes
    ----------
    store_variance
        s, shape (O, stores).
    tau2_region
        Shape (O, 1).
    precision, mean
        A_r and the regions' own weighted means, shape (O, regions).
    weight
        W_r, shape (O, regions).
    total
        Precision of the chain's mean: ΣW, with what its prior adds; shape (O,).
    mu
        The chain's mean, shape (O,).
    log_det
        ln det of the covariance, shape (O,).
    q
        Weighted sum of squares about mu, that of the prior included; shape (O,).
    """

    store_variance: Floats
    tau2_region: Floats
    precision: Floats
    mean: Floats
    weight: Floats
    total: Floats
    mu: Floats
    log_det: Floats
    q: Floats


def chain(
    y: Floats,
    variance: Floats,
    tau2_store: Floats,
    tau2_region: Floats,
    layout: Layout,
    prior_mean: float = 0.0,
    prior_precision: float = 0.0,
) -> Chain:
    """Evaluate both levels.

    Parameters
    ----------
    y
        The stores' means sorted by region, shape (stores,).
    variance
        Their sampling variances, shape (stores,) or (O, stores).
    tau2_store, tau2_region
        Shape (O,).
    prior_mean, prior_precision
        Normal prior of the chain's mean; a precision of 0 is flat.
    """
    # Deviations from one store: nothing cancels, however far the means lie from zero.
    origin = float(y[0])
    away = y - origin
    s = variance + tau2_store[:, np.newaxis]
    tau2 = tau2_region[:, np.newaxis]
    precision = layout.sums(1 / s)
    mean = layout.sums(away / s) / precision
    within = ((away - layout.spread_out(mean)) ** 2 / s).sum(axis=-1)
    weight = precision / (1 + tau2 * precision)
    total = weight.sum(axis=-1) + prior_precision
    prior_away = prior_mean - origin
    mu = ((weight * mean).sum(axis=-1) + prior_precision * prior_away) / total
    between = (weight * (mean - mu[:, np.newaxis]) ** 2).sum(axis=-1)
    log_det = np.log(s).sum(axis=-1) + np.log1p(tau2 * precision).sum(axis=-1)
    q = within + between + prior_precision * (mu - prior_away) ** 2
    return Chain(s, tau2, precision, mean + origin, weight, total, mu + origin, log_det, q)


class Slopes(NamedTuple):
    """Derivatives in (τ²_store, τ²_region) at one point, each of shape (2,)."""

    log_det: Floats
    q: Floats
    log_total: Floats


def slopes(y: Floats, at: Chain, layout: Layout) -> Slopes:
    """Return the derivatives of ln det, Q and ln ΣW at the first point of a chain (flat prior).

    With V the covariance: tr V⁻¹V', -y'PV'Py and -1'V⁻¹V'V⁻¹1/ΣW, of diagonal and rank-one V'.
    """
    s, away = at.store_variance[0], at.mean[0] - at.mu[0]
    pull = at.tau2_region[0] * at.weight[0] * away
    left = (y - at.mu[0] - layout.spread_out(pull)) / s
    share = layout.spread_out(at.weight[0] / at.precision[0]) / s
    shared = layout.spread_out(at.tau2_region[0] * at.weight[0] / at.precision[0])
    diagonal = (1 - shared / s) / s
    weight = at.weight[0]
    return Slopes(
        np.array([diagonal.sum(), weight.sum()]),
        -np.array([(left**2).sum(), ((weight * away) ** 2).sum()]),
        -np.array([(share**2).sum(), (weight**2).sum()]) / at.total[0],
    )


def log_likelihood(at: Chain) -> Floats:
    """Return the log density of the stores' means at the chain's own mu, shape (O,)."""
    stores = at.store_variance.shape[-1]
    value: Floats = -(stores * _LOG_2PI + at.log_det + at.q) / 2
    return value


def integrated(at: Chain, prior_precision: float = 0.0) -> Floats:
    """Return the log density with the chain's mean integrated out, shape (O,).

    With a flat prior this is the restricted likelihood as lme4 has it; the prior's constant is 1.
    """
    prior = math.log(prior_precision) if prior_precision > 0 else _LOG_2PI
    value: Floats = log_likelihood(at) + (prior - np.log(at.total)) / 2
    return value


def of_observations(value: Floats, n: Floats, m2: float, sigma2: Floats) -> Floats:
    """Turn the log density of the stores' means (variances σ²/n) into that of observations."""
    degrees = float(np.maximum(n - 1, 0).sum())
    within = degrees * (_LOG_2PI + np.log(sigma2)) + np.log(n).sum() + m2 / sigma2
    out: Floats = value - within / 2
    return out
