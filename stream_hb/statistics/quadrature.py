"""Few nodes that stand for all values of a bin: they integrate every cubic exactly."""

import numpy as np

from stream_hb.statistics.columns import Floats

_ONE_VALUE = 1e-12
"""Relative variance below which a bin's values count as equal: a rule's error is then as small."""

_ANGLES = (2 * np.arange(4) + 1) * (np.pi / 8)
CHEBYSHEV: Floats = np.array([-np.cos(angle) for angle in _ANGLES], dtype=np.float64)
"""Nodes in (-1, 1) at which a function's cubic interpolant errs least, ascending."""

_FROM_MOMENTS = np.linalg.inv(np.vander(CHEBYSHEV, 4, increasing=True)).T


def two_nodes(mass: Floats, mean: Floats, variance: Floats, third: Floats) -> tuple[Floats, Floats]:
    """Return the Gauss rule of each positive measure: nodes and weights, shapes (bins, 2).

    Parameters
    ----------
    mass, mean, variance, third
        Of each measure: its total, and mean and central moments of the distribution. Where the
        variance is negligible both nodes are the mean, and the second has no weight.

    Examples
    --------
    Three values at 1 and one at 5:

    >>> nodes, weights = two_nodes(*(np.array([m]) for m in (4.0, 2.0, 3.0, 6.0)))
    >>> nodes.round(12), weights.round(12)
    (array([[1., 5.]]), array([[3., 1.]]))
    """
    alike = variance <= _ONE_VALUE
    sd = np.where(alike, 1.0, np.sqrt(np.where(alike, 1.0, variance)))
    half_skew = np.where(alike, 0.0, third / (2 * sd**3))
    root = np.sqrt(1 + half_skew**2)
    share = np.where(alike, 0.0, (1 - half_skew / root) / 2)
    reach = np.where(alike, 0.0, sd)
    nodes = np.stack((mean + reach * (half_skew - root), mean + reach * (half_skew + root)), axis=1)
    return nodes, np.stack((mass * (1 - share), mass * share), axis=1)


def interpolated(moments: Floats) -> Floats:
    """Return the weights at ``CHEBYSHEV`` of measures on (-1, 1) with the moments 0 to 3.

    The rule integrates the cubic through the nodes. It is linear in the moments, so it serves
    measures of any sign, and one set of nodes serves many measures.

    Parameters
    ----------
    moments
        Shape (..., 4, bins).

    Returns
    -------
    Weights, shape (..., 4, bins); some may be negative.

    Examples
    --------
    A unit mass at 1/2, and the function x³ of it:

    >>> weights = interpolated(np.array([[1.0], [0.5], [0.25], [0.125]]))
    >>> round(float(CHEBYSHEV**3 @ weights[:, 0]), 12)
    0.125
    """
    weights: Floats = np.einsum("ik,...kb->...ib", _FROM_MOMENTS, moments)
    return weights
