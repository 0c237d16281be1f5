"""The columns of a regression: an intercept, and covariates centred and scaled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from stream_hb.errors import FitError
from stream_hb.models.described import Described
from stream_hb.statistics.columns import Floats

_COLLINEAR = 1e-8
"""A column whose part outside of the earlier columns' span is relatively smaller is theirs."""


@dataclass(frozen=True, slots=True)
class Design:
    """How covariates become columns: (x - centre)/scale behind a column of ones.

    The intercept is then the prior mean at the average covariates, nearly independent of the
    slopes, and every slope is per standard deviation of its covariate.

    Attributes
    ----------
    names
        The slopes' names, ``beta_1``, ``beta_2``, ... where the caller gave none.
    centre, scale
        Mean and standard deviation of each covariate over the groups of the fit, shape (p,).

    Examples
    --------
    >>> latitude = np.array([[44.0], [55.0], [13.0]])
    >>> design = Design.of(latitude)
    >>> design.rows(latitude).round(2)
    array([[ 1.  ,  0.37],
           [ 1.  ,  0.99],
           [ 1.  , -1.37]])
    >>> design.on_given_scale(np.array([[1.0, 0.0]]))  # no slope: the intercept is the mean
    array([[1., 0.]])
    """

    names: tuple[str, ...]
    centre: Floats
    scale: Floats

    @classmethod
    def of(cls, covariates: Floats, names: Sequence[str] = ()) -> Self:
        """Centre and scale by these groups; refuse columns that no fit could tell apart."""
        _check_names(covariates, names)
        check_finite(covariates, names)
        groups, columns = covariates.shape
        if groups < columns + 1:
            raise FitError(
                f"{columns} covariates and an intercept need at least {columns + 1} groups with "
                f"data; there are {groups}"
            )
        centre = covariates.mean(axis=0)
        scale = np.sqrt(((covariates - centre) ** 2).mean(axis=0))
        _check_varying(covariates, scale, names)
        _check_independent((covariates - centre) / scale, names)
        default = tuple(f"beta_{i + 1}" for i in range(columns))
        return cls(tuple(names) or default, centre, scale)

    def rows(self, covariates: Floats) -> Floats:
        """Return the columns of these groups, shape (groups, 1 + p)."""
        if covariates.ndim != 2 or covariates.shape[1] != len(self.names):
            raise FitError(
                f"expected {len(self.names)} covariates as fitted, got shape {covariates.shape}"
            )
        check_finite(covariates, self.names)
        ones = np.ones((len(covariates), 1))
        return np.hstack([ones, (covariates - self.centre) / self.scale])

    @property
    def average(self) -> Floats:
        """The row of a group with average covariates."""
        return np.eye(1, 1 + len(self.names))

    @property
    def transform(self) -> Floats:
        """The matrix that takes coefficients to the given scale, shape (1 + p, 1 + p)."""
        matrix = np.diag(np.concatenate(([1.0], 1 / self.scale)))
        matrix[0, 1:] = -self.centre / self.scale
        return matrix

    def on_given_scale(self, beta: Floats) -> Floats:
        """Return coefficients of the covariates as they were given; the last axis is theirs."""
        given: Floats = beta @ self.transform.T
        return given


def with_data(described: Described[Any], size: Floats) -> Described[Any]:
    """Return the groups that have any data; a pool without one cannot be fitted."""
    seen = size > 0
    if not seen.any():
        raise FitError("no group has data yet: there is nothing to fit")
    return described if seen.all() else described.take(seen)


def check_finite(covariates: Floats, names: Sequence[str]) -> None:
    """Refuse a covariate that is missing or infinite for any group."""
    wrong = ~np.isfinite(covariates)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise FitError(
            f"{_name(column, names)} is {covariates[row, column]} for group {row + 1}: "
            "expected a finite number for every group"
        )


def _check_names(covariates: Floats, names: Sequence[str]) -> None:
    if covariates.ndim != 2:
        raise FitError(f"expected covariates of shape (groups, p), got {covariates.shape}")
    if names and len(names) != covariates.shape[1]:
        raise FitError(f"{len(names)} names for {covariates.shape[1]} covariates")
    if len(set(names)) < len(names):
        raise FitError(f"two covariates have one name: {', '.join(names)}")


def _check_varying(covariates: Floats, scale: Floats, names: Sequence[str]) -> None:
    same = scale <= 1e-12 * np.abs(covariates).max(axis=0, initial=0.0)
    if same.any():
        column = int(same.argmax())
        raise FitError(
            f"{_name(column, names)} is {covariates[0, column]:g} for every group: "
            "a constant cannot be told from the intercept"
        )


def _check_independent(columns: Floats, names: Sequence[str]) -> None:
    left_over = np.abs(np.diag(np.linalg.qr(columns, mode="r")))
    same = left_over <= _COLLINEAR * np.sqrt(len(columns))
    if same.any():
        raise FitError(
            f"{_name(int(same.argmax()), names)} is a linear combination of those before it: "
            "leave one of them out"
        )


def _name(column: int, names: Sequence[str]) -> str:
    return f"covariate {column + 1}" + (f" ({names[column]})" if names else "")
