"""Local false sign and discovery rates under a mixture of normals about zero (Stephens 2017)."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, ndtr

from stream_hb.feeds.drift.columns import Bools
from stream_hb.statistics.columns import Floats


@dataclass(frozen=True, slots=True)
class SignRates:
    """What the mixture says of each estimate's truth.

    Attributes
    ----------
    mean
        Posterior mean.
    lfsr
        Local false sign rate: the probability that the likelier sign is wrong.
    lfdr
        Local false discovery rate: the probability of exactly zero.
    svalue, qvalue
        Mean of the lfsr (lfdr) over the estimates that are at least as clear.
    """

    mean: Floats
    lfsr: Floats
    lfdr: Floats
    svalue: Floats
    qvalue: Floats


def sign_rates(estimate: Floats, se: Floats, proportion: Floats, sd: Floats) -> SignRates:
    r"""Return posterior means and error rates, given the mixture.

    The truths are drawn from :math:`\sum_k π_k N(0, σ_k^2)`, σ = 0 among them; as R's ``ashr``
    has them (doi:10.1093/biostatistics/kxw041), when given its ``fitted_g``.

    Parameters
    ----------
    estimate, se
        Of each store.
    proportion, sd
        Of each component of the mixture.

    Examples
    --------
    One component at zero takes its share of the doubt, and a sign of it is always wrong:

    >>> one = np.ones(1)
    >>> rates = sign_rates(0 * one, one, np.array([0.5, 0.5]), np.array([0.0, 1e-9]))
    >>> rates.lfdr.round(6), rates.lfsr.round(6)
    (array([0.5]), array([0.75]))
    """
    component, mean, spread = _posterior(estimate, se, proportion, sd)
    null = sd[:, np.newaxis] == 0
    zero = (component * null).sum(axis=0)
    standard = np.divide(mean, spread, out=np.zeros_like(mean), where=spread > 0)
    below = (component * np.where(null, 0.0, ndtr(-standard))).sum(axis=0)
    above = (component * np.where(null, 0.0, ndtr(standard))).sum(axis=0)
    lfsr = zero + np.minimum(below, above)
    return SignRates(
        (component * mean).sum(axis=0), lfsr, zero, running_mean(lfsr), running_mean(zero)
    )


def running_mean(error: Floats) -> Floats:
    """Return for each estimate the mean error of all that err no more than it.

    >>> running_mean(np.array([0.3, 0.1, 0.2]))
    array([0.2 , 0.1 , 0.15])
    """
    order = np.argsort(error, kind="stable")
    out = np.empty_like(error)
    out[order] = np.cumsum(error[order]) / np.arange(1, len(error) + 1)
    return out


def bayesian_fdr_set(error: Floats, share: float) -> Bools:
    """Return the largest set, clearest first, of which no more than a share is expected wrong.

    >>> bayesian_fdr_set(np.array([0.2, 0.01, 0.04]), share=0.05)
    array([False,  True,  True])
    """
    return running_mean(error) <= share


def log_sign_rate(mean: Floats, sd: Floats) -> Floats:
    """Return the logarithm of a normal posterior's local false sign rate."""
    out: Floats = log_ndtr(-np.abs(mean) / sd)
    return out


def _posterior(
    estimate: Floats, se: Floats, proportion: Floats, sd: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return weights, means and standard deviations of the components, (components, stores)."""
    prior, noise = sd[:, np.newaxis] ** 2, se**2
    total = prior + noise
    with np.errstate(divide="ignore"):
        log_weight = np.log(proportion)[:, np.newaxis] - 0.5 * (np.log(total) + estimate**2 / total)
    weight = np.exp(log_weight - log_weight.max(axis=0))
    gain = prior / total
    return weight / weight.sum(axis=0), gain * estimate, np.sqrt(gain * noise)
