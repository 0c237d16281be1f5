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

_COUNTS = (1, 2, 3, 4, 6, 8, 11, 15)
_ERROR_MAX = 5e-4
"""Of an interval end, in widths of the interval."""

_LEVEL = 0.95
_PRECISIONS = np.array([1e-3, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, np.inf])
_DISTANCES = np.array([-3.0, -1.5, 0.0, 1.5, 3.0])
"""Groups to try: their sampling variance in τ², and how far they lie in sds from μ."""


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
    mean, variance = _probes(whole)
    lo, hi = _ends(mean, variance, whole, whole)
    for count in _COUNTS:
        few = np.hstack(
            [_gauss(count, *columns) for columns in zip(*(n.T for n in nodes), strict=True)]
        )
        ends = _ends(mean, variance, whole, Kernels(*few))
        error = max(
            float((np.abs(a - b) / (hi - lo)).max()) for a, b in zip(ends, (lo, hi), strict=True)
        )
        if error <= _ERROR_MAX:
            break
    else:
        few = np.stack(whole)
    few[0] += origin
    return few


def _probes(kernels: Kernels) -> tuple[Floats, Variances]:
    """Groups of every precision, near to the pool and far from it."""
    tau2 = float((kernels.weight * kernels.tau**2).sum())
    sigma2 = float((kernels.weight * kernels.sigma2).sum())
    mu = float((kernels.weight * kernels.mu).sum())
    variance = np.repeat(_PRECISIONS * tau2, len(_DISTANCES))
    distance = np.tile(_DISTANCES, len(_PRECISIONS))
    away = np.where(np.isfinite(variance), np.sqrt(variance + tau2), 0.0) * distance
    return mu + away, Variances((variance / sigma2)[:, None])


def _ends(mean: Floats, variance: Variances, whole: Kernels, few: Kernels) -> tuple[Floats, Floats]:
    centre, sd = shrink(mean, variance, whole).mixture.moments()
    return interval(shrink(mean, variance, few).mixture, centre, sd, _LEVEL)


def _gauss(
    count: int, mu: Floats, mu_sd: Floats, tau: Floats, sigma2: Floats, weight: Floats
) -> Floats:
    """Return one column's Gauss rule; what goes with the spread is a polynomial fitted to it."""
    mass = float(weight.sum())
    if mass <= 0:
        return np.empty((5, 0))
    share = weight / mass
    middle = float(np.exp((share * np.log(tau)).sum()))
    x = tau / (tau + middle)
    diagonal, side, basis = _lanczos(count, x, share)
    if len(side):
        matrix = np.diag(diagonal) + np.diag(side, 1) + np.diag(side, -1)
        node, vectors = np.linalg.eigh(matrix)
    else:
        node, vectors = diagonal, np.ones((1, 1))
    first = vectors[0]
    node = np.clip(node, x.min(), x.max())

    def at_nodes(values: Floats) -> Floats:
        fitted: Floats = (vectors.T @ (basis @ (np.sqrt(share) * values))) / first
        inside: Floats = np.clip(fitted, values.min(), values.max())
        return inside

    return np.stack(
        [
            at_nodes(mu - mu[0]) + mu[0],
            np.sqrt(at_nodes(mu_sd**2)),
            middle * node / (1 - node),
            at_nodes(sigma2),
            mass * first**2,
        ]
    )


def _lanczos(count: int, x: Floats, share: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the Jacobi matrix (diagonal, side) of a discrete measure, and its orthonormal basis.

    Row k of the basis is the polynomial of degree k at the points, times √share.
    """
    rows = [np.sqrt(share)]
    diagonal, side = [], []
    for k in range(count):
        diagonal.append(float((rows[k] ** 2 * x).sum()))
        rest = x * rows[k]
        for _ in range(2):  # twice: once leaves rounding errors that grow with k
            for row in rows:
                rest = rest - (rest * row).sum() * row
        size = float(np.sqrt((rest**2).sum()))
        if k == count - 1 or size < 1e-12:
            break
        side.append(size)
        rows.append(rest / size)
    return np.array(diagonal), np.array(side), np.stack(rows)
