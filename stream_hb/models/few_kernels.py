"""Fewer kernels that give the same intervals: many groups know their hyperparameters well.

The weights over the spread are a discrete measure; its Gauss rule with n nodes integrates every
polynomial of degree 2n - 1 as the measure itself does (Golub & Welsch 1969,
doi:10.1090/S0025-5718-69-99647-1). The least n is taken at which the interval ends of groups of
every kind agree with those of all nodes.
"""

import numpy as np

from stream_hb.models.normal_nodes import Kernels
from stream_hb.models.normal_shrinkage import Variances, interval, shrink
from stream_hb.statistics.columns import Floats

_COUNTS = (1, 2, 3, 5, 8, 12, 16)
_ERROR_MAX = 5e-4
"""Of an interval end, in widths of the interval."""

_WEIGHT_LEAST = 1e-7
_NO_WEIGHT = 1e-12
_LEVEL = 0.95
_PRECISIONS = np.array([1e-3, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, np.inf])
_DISTANCES = np.array([-3.0, -1.5, 0.0, 1.5, 3.0])
"""Groups to try: their sampling variance in E[τ²], and how far they lie in sds from μ."""

_LOW_SHARES, _LOW_PRECISIONS = np.array([0.05, 0.5]), np.array([0.03, 0.3, 3.0])
"""And in the τ² below which this much of its mass lies: it may span ten powers of ten."""


def few_kernels(mu: Floats, mu_sd: Floats, tau: Floats, sigma2: Floats, weight: Floats) -> Floats:
    """Return the fewest kernels that are as good as all nodes, shape (5, kernels).

    Parameters
    ----------
    mu, mu_sd, tau, sigma2, weight
        Nodes of shape (O, I): along a column the spread changes and all else with it.
    """
    # About its middle, so that a μ far from zero takes no digits of intervals much narrower.
    origin = mu[0, 0]
    nodes = mu - origin, mu_sd, tau, sigma2, weight
    whole = Kernels(*(column.ravel() for column in nodes))
    columns = Kernels(*(column.T for column in nodes))
    mean, variance = _probes(whole)
    lo, hi = _ends(mean, variance, whole, whole)
    for count in _COUNTS:
        few = _gauss(count, columns)
        ends = _ends(mean, variance, whole, Kernels(*few))
        error = max(
            float((np.abs(a - b) / (hi - lo)).max()) for a, b in zip(ends, (lo, hi), strict=True)
        )
        if error <= _ERROR_MAX:
            break
    else:
        few = np.stack(whole)
    few[0] += origin
    return few[:, few[-1] > _WEIGHT_LEAST]


def _probes(kernels: Kernels) -> tuple[Floats, Variances]:
    """Groups of every precision, near to the pool and far from it."""
    tau2 = np.append(
        np.full(len(_PRECISIONS), (kernels.weight * kernels.tau**2).sum()),
        np.repeat(_low(kernels.tau, kernels.weight) ** 2, len(_LOW_PRECISIONS)),
    )
    precisions = np.append(_PRECISIONS, np.tile(_LOW_PRECISIONS, len(_LOW_SHARES)))
    tau2, precisions = (np.repeat(column, len(_DISTANCES)) for column in (tau2, precisions))
    sigma2 = float((kernels.weight * kernels.sigma2).sum())
    mu = float((kernels.weight * kernels.mu).sum())
    variance = precisions * tau2
    distance = np.tile(_DISTANCES, len(precisions) // len(_DISTANCES))
    away = np.where(np.isfinite(variance), np.sqrt(variance + tau2), 0.0) * distance
    return mu + away, Variances((variance / sigma2)[:, None])


def _low(tau: Floats, weight: Floats) -> Floats:
    order = np.argsort(tau)
    below = np.cumsum(weight[order])
    at = np.searchsorted(below, _LOW_SHARES * below[-1])
    low: Floats = tau[order][np.minimum(at, len(tau) - 1)]
    return low


def _ends(mean: Floats, variance: Variances, whole: Kernels, few: Kernels) -> tuple[Floats, Floats]:
    centre, sd = shrink(mean, variance, whole).mixture.moments()
    return interval(shrink(mean, variance, few).mixture, centre, sd, _LEVEL)


def _gauss(count: int, nodes: Kernels) -> Floats:
    """Return the Gauss rule of each row of nodes (I, O); what goes with the spread is fitted to it.

    The fit is the projection on the polynomials whose Jacobi matrix gives the rule.
    """
    mass = nodes.weight.sum(axis=-1, keepdims=True)
    share = nodes.weight / np.where(mass > 0, mass, 1.0)
    middle = np.exp((share * np.log(nodes.tau)).sum(axis=-1, keepdims=True))
    x = nodes.tau / (nodes.tau + middle)
    matrix, basis = _lanczos(count, x, np.sqrt(share))
    node, vectors = np.linalg.eigh(matrix)
    node = np.clip(node, x.min(axis=-1, keepdims=True), x.max(axis=-1, keepdims=True))
    first = vectors[:, 0, :]
    there = np.abs(first) > _NO_WEIGHT

    def at_nodes(values: Floats) -> Floats:
        projected = np.einsum("iko,io->ik", basis, np.sqrt(share) * values)
        fitted = np.einsum("ikg,ik->ig", vectors, projected) / np.where(there, first, 1.0)
        low, high = values.min(axis=-1, keepdims=True), values.max(axis=-1, keepdims=True)
        inside: Floats = np.clip(fitted, low, high)
        return inside

    rule = (
        at_nodes(nodes.mu),
        np.sqrt(at_nodes(nodes.mu_sd**2)),
        middle * node / (1 - node),
        at_nodes(nodes.sigma2),
        mass * first**2,
    )
    kept = (rule[-1] > 0).ravel()
    return np.stack([column.ravel()[kept] for column in rule])


def _lanczos(count: int, x: Floats, start: Floats) -> tuple[Floats, Floats]:
    """Return the Jacobi matrices of discrete measures (I, n, n), and their bases (I, n, O).

    Row k of a basis is the orthonormal polynomial of degree k at the points, times √share.
    """
    rows = [start]
    matrix = np.zeros((len(x), count, count))
    for k in range(count):
        rest = x * rows[k]
        matrix[:, k, k] = (rows[k] * rest).sum(axis=-1)
        if k == count - 1:
            break
        for _ in range(2):  # twice: once leaves rounding errors that grow with k
            for row in rows:
                rest = rest - (rest * row).sum(axis=-1, keepdims=True) * row
        size = np.sqrt((rest**2).sum(axis=-1, keepdims=True))
        there = size > _NO_WEIGHT
        rows.append(np.where(there, rest / np.where(there, size, 1.0), 0.0))
        matrix[:, k, k + 1] = matrix[:, k + 1, k] = np.where(there, size, 0.0)[:, 0]
    return matrix, np.stack(rows, axis=1)
