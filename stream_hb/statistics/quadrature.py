"""Few nodes that stand for all values of a bin: they integrate every low power exactly."""

import numpy as np

from stream_hb.statistics.columns import Floats

_ONE_VALUE = 1e-12
"""Relative variance below which a bin's values count as equal: a rule's error is then as small."""

MOMENTS = 5
"""The moments 0 to 4 are kept of every bin."""

_ANGLES = (2 * np.arange(MOMENTS) + 1) * (np.pi / (2 * MOMENTS))
CHEBYSHEV: Floats = np.array([-np.cos(angle) for angle in _ANGLES], dtype=np.float64)
"""Nodes in (-1, 1) at which a function's quartic interpolant errs least, ascending."""

_FROM_MOMENTS = np.linalg.inv(np.vander(CHEBYSHEV, MOMENTS, increasing=True)).T


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


def three_nodes(
    mass: Floats, mean: Floats, variance: Floats, third: Floats, fourth: Floats
) -> tuple[Floats, Floats]:
    """Return a positive rule with the moments 0 to 4: nodes and weights, shapes (bins, 3).

    It is the Gauss rule whose fifth moment is as if the distribution leaned to neither side in
    what the first four do not say (Golub & Welsch 1969, doi:10.1090/S0025-5718-69-99647-1). One or
    two distinct values are given back as they are, the spare nodes without weight.

    Parameters
    ----------
    mass, mean, variance, third, fourth
        Of each measure: its total, and mean and central moments of the distribution.

    Examples
    --------
    Two values, and evenly spread ones (the Gauss-Legendre rule):

    >>> moments = [3.0, 3.0], [0.0, 0.0], [2.0, 1 / 3], [2.0, 0.0], [6.0, 0.2]
    >>> both = three_nodes(*(np.array(m) for m in moments))
    >>> both[0].round(6) + 0.0, both[1].round(6)
    (array([[-1.      ,  0.      ,  2.      ],
           [-0.774597,  0.      ,  0.774597]]), array([[2.      , 0.      , 1.      ],
           [0.833333, 1.333333, 0.833333]]))
    """
    alike = variance <= _ONE_VALUE
    spread = np.where(alike, 1.0, variance)
    skew = np.where(alike, 0.0, third / spread)
    rest = np.where(alike, 0.0, np.maximum(fourth / spread - spread - skew**2, 0.0))
    jacobi = np.zeros((len(mass), 3, 3))
    jacobi[:, 0, 0] = jacobi[:, 2, 2] = mean
    jacobi[:, 1, 1] = mean + skew
    jacobi[:, 1, 0] = np.where(alike, 0.0, np.sqrt(spread))
    jacobi[:, 2, 1] = np.sqrt(rest)
    nodes, vectors = np.linalg.eigh(jacobi)  # of the lower triangle
    return nodes, mass[:, np.newaxis] * vectors[:, 0] ** 2


def interpolated(moments: Floats) -> Floats:
    """Return the weights at ``CHEBYSHEV`` of measures on (-1, 1) with the moments 0 to 4.

    The rule integrates the quartic through the nodes. It is linear in the moments, so it serves
    measures of any sign, and one set of nodes serves many measures.

    Parameters
    ----------
    moments
        Shape (..., 5, bins).

    Returns
    -------
    Weights, shape (..., 5, bins); some may be negative.

    Examples
    --------
    A unit mass at 1/2, and the function x⁴ of it:

    >>> weights = interpolated(np.array([[1.0], [0.5], [0.25], [0.125], [0.0625]]))
    >>> round(float(CHEBYSHEV**4 @ weights[:, 0]), 12)
    0.0625
    """
    weights: Floats = np.einsum("ik,...kb->...ib", _FROM_MOMENTS, moments)
    return weights
