"""Gauss rules of discrete measures: few nodes that integrate as many do."""

import numpy as np

from stream_hb.statistics.columns import Floats


def gauss_rule(count: int, x: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return nodes and weights that integrate polynomials of degree 2·count - 1 exactly.

    The Jacobi matrix by Lanczos' method, orthogonalised twice; its eigenvalues are the nodes
    (Golub & Welsch 1969, doi:10.1090/S0025-5718-69-99647-1).

    Parameters
    ----------
    count
        Nodes wanted, fewer than points.
    x, weight
        Points and their weights along the last axis, shape (..., points); the weights are not
        negative and sum to anything positive.

    Returns
    -------
    Nodes and weights, shape (..., count); where fewer points carry weight, nodes repeat with
    weight 0. They lie among the points.

    Examples
    --------
    Two points that stand for a uniform grid, at ±1/√3 of its half width:

    >>> nodes, weights = gauss_rule(2, np.linspace(-1, 1, 2001), np.full(2001, 1 / 2001))
    >>> nodes.round(5), weights.round(5)
    (array([-0.57764,  0.57764]), array([0.5, 0.5]))
    """
    total = weight.sum(axis=-1, keepdims=True)
    share = weight / total
    centre = (share * x).sum(axis=-1, keepdims=True)
    width = np.sqrt((share * (x - centre) ** 2).sum(axis=-1, keepdims=True)) + 1e-300
    z = np.where(share > 0, (x - centre) / width, 0.0)
    matrix = _jacobi_matrix(count, z, np.sqrt(share))
    nodes, vectors = np.linalg.eigh(matrix)
    least = np.where(share > 0, x, np.inf).min(axis=-1, keepdims=True)
    most = np.where(share > 0, x, -np.inf).max(axis=-1, keepdims=True)
    return np.clip(centre + width * nodes, least, most), total * vectors[..., 0, :] ** 2


def _jacobi_matrix(count: int, z: Floats, start: Floats) -> Floats:
    """Return the tridiagonal matrix of the orthonormal polynomials, shape (..., count, count)."""
    rows = [start]
    matrix = np.zeros((*z.shape[:-1], count, count))
    for k in range(count):
        rest = z * rows[k]
        matrix[..., k, k] = (rows[k] * rest).sum(axis=-1)
        if k == count - 1:
            break
        for _ in range(2):  # twice: once leaves rounding errors that grow with k
            for row in rows:
                rest = rest - (rest * row).sum(axis=-1, keepdims=True) * row
        size = np.sqrt((rest**2).sum(axis=-1, keepdims=True))
        there = size > 1e-10
        rows.append(np.where(there, rest / np.where(there, size, 1.0), 0.0))
        matrix[..., k, k + 1] = matrix[..., k + 1, k] = np.where(there, size, 0.0)[..., 0]
    return matrix
