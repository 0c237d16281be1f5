"""Posterior predictive checks of a pool (Gelman, Meng & Stern 1996, Statistica Sinica 6:733)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stream_hb.errors import FitError
from stream_hb.models.checks.nodes import GroupPriors
from stream_hb.models.checks.pool_check import Check, CovariateCheck, PoolCheck
from stream_hb.models.checks.predicted import Predicted, predict, sizes
from stream_hb.statistics.columns import Floats

GROUPS_MAX = 1_000
DRAWS_MIN, DRAWS_MAX = 99, 999
_CELLS_MAX = 100_000
"""Groups times draws: what bounds the time."""

_TINY = 1e-300


def check_pool(
    family_name: str,
    groups: Any,
    hyper: Any,
    rng: np.random.Generator,
    covariates: Floats | None = None,
    names: Sequence[str] = (),
) -> PoolCheck:
    """Compare a pool with pools that its fitted model would make.

    Parameters
    ----------
    family_name
        ``beta-binomial``, ``gamma-poisson`` or ``normal``.
    groups
        The family's statistic (for ``normal`` :class:`Moments`, or :class:`Measured`). Of more
        than 1,000 groups with data a sample of 1,000 is looked at.
    hyper
        The point hyperparameters, the nodes of an integrated fit, or :class:`GroupPriors` where
        covariates or regions give every group a prior of its own (``groups`` is then what is
        described, not the description).
    rng
        The only source of chance: the same generator gives the same answer.
    covariates
        Shape (groups, p): what might explain the groups' differences. NaN is not allowed.
    names
        Of the p covariates.

    Raises
    ------
    FitError
        No such family, no group with data, or covariates that do not fit the groups and names.

    Examples
    --------
    Forty stores in two regions, one converting 3 % and the other 9 %. The rates' spread is in the
    prior, so nothing looks wrong until one asks which stores they are:

    >>> from stream_hb.models.beta_binomial import BetaBinomial
    >>> from stream_hb.statistics.counts import Counts
    >>> north = np.repeat([0.0, 1.0], 20)
    >>> stores = Counts(np.where(north > 0, 90.0, 30.0), np.full(40, 1000.0))
    >>> hyper = BetaBinomial().fit(stores, "ml").hyper
    >>> rng = np.random.default_rng(1)
    >>> check = check_pool("beta-binomial", stores, hyper, rng, north[:, None], ["north"])
    >>> check.variance.too_large, check.exchangeable, check.covariates[0].name
    (False, False, 'north')
    """
    covariates = _checked(groups, covariates, names)
    rows = _rows(sizes(family_name, groups), rng)
    draws = min(max(_CELLS_MAX // len(rows) - 1, DRAWS_MIN), DRAWS_MAX)
    priors = hyper.take(rows) if isinstance(hyper, GroupPriors) else hyper
    predicted = predict(family_name, groups.take(rows), priors, draws, rng)
    deviations = _deviations(predicted)
    return PoolCheck(
        groups_count=len(rows),
        draws=draws,
        variance=_compared_scale(_variances(predicted)),
        largest=_compared_scale(np.abs(deviations).max(axis=1)),
        zeros=_compared((predicted.rates == 0).mean(axis=1)) if predicted.has_zeros else None,
        shape=_compared_scale(_shape_distances(deviations)),
        covariates=_explained(deviations, covariates[rows], names),
    )


def _checked(groups: Any, covariates: Floats | None, names: Sequence[str]) -> Floats:
    if covariates is None:
        covariates = np.zeros((len(groups), 0))
    if covariates.shape != (len(groups), len(names)):
        expected = (len(groups), len(names))
        raise FitError(f"expected covariates of shape {expected}, got {covariates.shape}")
    if not np.isfinite(covariates).all():
        raise FitError("a covariate is NaN or infinite")
    return covariates


def _rows(size: Floats, rng: np.random.Generator) -> Any:
    """Return the groups with data, or a sample of them."""
    rows = np.flatnonzero(size > 0)
    if len(rows) == 0:
        raise FitError("no group has data yet: there is nothing to check")
    if len(rows) > GROUPS_MAX:
        rows = np.sort(rng.choice(rows, GROUPS_MAX, replace=False, shuffle=False))
    return rows


def _deviations(predicted: Predicted) -> Floats:
    """Return deviations from the pooled mean in sds; 0 where nothing can deviate."""
    away = predicted.rates - predicted.centre
    out: Floats = np.divide(away, predicted.sd, out=np.zeros_like(away), where=predicted.sd > 0)
    return out


def _variances(predicted: Predicted) -> Floats:
    """Return each pool's variance between raw estimates, by the precisions that the model gives."""
    precision = np.divide(
        1.0, predicted.sd**2, out=np.ones_like(predicted.sd), where=predicted.sd > 0
    )
    share = precision / precision.sum()
    away = predicted.rates - predicted.centre
    away -= (share * away).sum(axis=1, keepdims=True)
    freedom = 1 - (share**2).sum()
    # One group, or one with all the weight, has no variance.
    variances: Floats = (share * away**2).sum(axis=1) / max(float(freedom), 1e-9)
    return variances


def _shape_distances(deviations: Floats) -> Floats:
    """Return each pool's mean squared distance of sorted deviations from those of all pools.

    Each order statistic by its own variance, so that the tails do not drown the middle. Of a pool
    whose groups do not vary nothing can be said: it gets 1, what is expected.
    """
    ordered = np.sort(_studentised(deviations), axis=1)
    away = ordered - ordered.mean(axis=0)
    variance = (away**2).mean(axis=0)
    squares = np.divide(away**2, variance, out=np.ones_like(away), where=variance > 1e-20)
    varies = ordered[:, -1] > ordered[:, 0]
    distances: Floats = np.where(varies, squares.mean(axis=1), 1.0)
    return distances


def _explained(
    deviations: Floats, covariates: Floats, names: Sequence[str]
) -> tuple[CovariateCheck, ...]:
    """Return each covariate's squared correlation with the deviations, the largest first."""
    if not names or len(covariates) < 3:
        return ()
    columns = _studentised(covariates.T)
    shares = (_studentised(deviations) @ columns.T / len(covariates)) ** 2
    largest = shares.max(axis=1)
    found = [
        CovariateCheck(name, float(share), float((largest >= share).mean()))
        for name, share in zip(names, shares[0], strict=True)
    ]
    return tuple(sorted(found, key=lambda covariate: -covariate.share))


def _studentised(rows: Floats) -> Floats:
    """Return each row less its mean, in its own sds; 0 where it does not vary."""
    away = rows - rows.mean(axis=1, keepdims=True)
    sd = np.sqrt((away**2).mean(axis=1, keepdims=True))
    out: Floats = np.divide(away, sd, out=np.zeros_like(away), where=sd > 1e-12)
    return out


def _compared_scale(values: Floats) -> Check:
    """Compare the first with all, its distance by logarithms."""
    return _compared(values, np.log(np.maximum(values, _TINY)))


def _compared(values: Floats, scores: Floats | None = None) -> Check:
    """Compare the first with all."""
    observed, simulated = values[0], values[1:]
    scores = values if scores is None else scores
    away, sd = scores[0] - scores[1:].mean(), scores[1:].std()
    return Check(
        observed=float(observed),
        predicted=float(simulated.mean()),
        predicted_sd=float(simulated.std()),
        # A statistic that never varies is very far away as soon as it differs.
        distance_sd=float(away / max(sd, 1e-9 * abs(away))) if away else 0.0,
        p_above=float((values >= observed).mean()),
        p_below=float((values <= observed).mean()),
    )
