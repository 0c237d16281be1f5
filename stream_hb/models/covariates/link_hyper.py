"""Hyperparameters of a pool of counts whose prior mean is a regression on the link scale."""

from dataclasses import dataclass

import numpy as np

from stream_hb.models.covariates.design import Design
from stream_hb.models.normal_mixture import Mixture
from stream_hb.statistics.columns import Floats

JOINT_MAX = 4
"""Coefficients up to which they are integrated jointly, by :func:`cubature`."""

_TENSOR = 7

_GAUSS_HERMITE = (np.sqrt(3.0) * np.array([0.0, 1.0, -1.0]), np.array([4.0, 1.0, 1.0]) / 6)


def cubature(size: int) -> tuple[Floats, Floats]:
    """Return points (K, size) and weights (K,) for a standard normal vector of 1 to 4 components.

    Up to two: the tensor of Gauss-Hermite's seven points, exact to degree 13. Beyond: the origin,
    ±√3 on every axis and ±√3 on every two axes, exact to degree 5, no weight negative (McNamee &
    Stenger 1967, doi:10.1007/BF02162161).

    >>> points, weight = cubature(3)
    >>> len(points), round(float(weight @ points[:, 0] ** 4), 12)  # E z^4 = 3
    (19, 3.0)
    """
    if size <= 2:
        nodes, share = np.polynomial.hermite_e.hermegauss(_TENSOR)
        grid = np.meshgrid(*[nodes] * size, indexing="ij")
        shares = np.meshgrid(*[share / share.sum()] * size, indexing="ij")
        points = np.column_stack([axis.ravel() for axis in grid])
        return points, np.prod([axis.ravel() for axis in shares], axis=0)
    axes = np.eye(size)
    pairs = [(axes[i], axes[j]) for i in range(size) for j in range(i)]
    single = [sign * axis for axis in axes for sign in (1, -1)]
    double = [s * a + t * b for a, b in pairs for s in (1, -1) for t in (1, -1)]
    points = np.sqrt(3.0) * np.array([np.zeros(size), *single, *double])
    counts = (1, len(single), len(double))
    return points, np.repeat([1 + size * (size - 7) / 18, (4 - size) / 18, 1 / 36], counts)


@dataclass(frozen=True, slots=True)
class LinkHyper:
    """Coefficients with their covariance at each node of the spread; a point fit has one node.

    Attributes
    ----------
    names, centre, scale
        The :class:`Design`.
    beta
        Most probable coefficients of the centred and scaled covariates, shape (outer, 1 + p).
    root
        A square root L of their covariance LL' given the concentration, shape
        (outer, 1 + p, 1 + p). A point fit reads it only where the concentration is infinite:
        the coefficients' uncertainty is then all there is.
    concentration
        κ or the shape a, shape (outer, inner), the same along each row.
    weight
        Of the nodes, shape (outer, inner); sums to 1. The inner nodes lie on the coefficients'
        :func:`cubature`, or beyond 4 coefficients on each group's own linear predictor.
    """

    names: tuple[str, ...]
    centre: Floats
    scale: Floats
    beta: Floats
    root: Floats
    concentration: Floats
    weight: Floats

    @property
    def design(self) -> Design:
        """How covariates become columns."""
        return Design(self.names, self.centre, self.scale)

    @property
    def is_point(self) -> bool:
        """Whether the hyperparameters are taken as known."""
        return self.weight.size == 1

    @property
    def location(self) -> Floats:
        """Linear predictor at the average covariates, shape (outer, inner)."""
        return self.predictors(self.design.average)[:, :, 0]

    def predictors(self, rows: Floats) -> Floats:
        """Return linear predictors at the nodes, shape (outer, inner, groups)."""
        eta: Floats = (self.beta @ rows.T)[:, np.newaxis, :]
        if self.is_point:
            return eta
        if rows.shape[1] <= JOINT_MAX:
            away = np.einsum("oid,kd->oki", self.root, cubature(rows.shape[1])[0])
            eta = eta + away @ rows.T
        else:
            eta = eta + _GAUSS_HERMITE[0][:, np.newaxis] * self.predictor_sd(rows)[:, np.newaxis, :]
        return eta

    def predictor_sd(self, rows: Floats) -> Floats:
        """Return the sd √(x'Vx) of every group's linear predictor, shape (outer, groups)."""
        sd: Floats = np.sqrt(((rows @ self.root) ** 2).sum(axis=-1))
        return sd

    def coefficients(self) -> Mixture:
        """Return the coefficients on the given scale, a normal kernel per outer node."""
        # A coefficient is the linear predictor of a row, even if no group has it.
        return self._mixture(self.design.transform)

    @property
    def has_rows_of_locations(self) -> bool:
        """Whether each outer node's locations are those of a rule with seven nodes, not three."""
        return len(self.names) <= 1

    def average_location(self) -> Mixture:
        """Return the linear predictor at the average covariates, a normal kernel per outer node."""
        return self._mixture(self.design.average)

    def _mixture(self, rows: Floats) -> Mixture:
        points = self.predictors(rows)
        share = self.weight / self.weight.sum(axis=1, keepdims=True)
        mean = np.einsum("ok,okc->co", share, points)
        second = np.einsum("ok,okc->co", share, points**2)
        if self.is_point:
            return Mixture(mean, self.predictor_sd(rows).T, np.ones(1))
        sd = np.sqrt(np.maximum(second - mean**2, 0.0))
        return Mixture(mean, sd, self.weight.sum(axis=1))


def inner_weights(size: int) -> tuple[Floats, Floats]:
    """Return points and weights of the inner nodes; points (K, size), or (K, 0) beyond 4."""
    if size <= JOINT_MAX:
        return cubature(size)
    return np.zeros((3, 0)), _GAUSS_HERMITE[1]
