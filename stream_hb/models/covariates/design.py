"""The columns of a regression: an intercept, and covariates centred and scaled."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.errors import FitError
from stream_hb.models.described import Described
from stream_hb.models.refused import checked, consistent
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
        _check_enough(groups, columns)
        centre = covariates.mean(axis=0)
        scale = np.sqrt(((covariates - centre) ** 2).mean(axis=0))
        least = 1e-12 * np.abs(covariates).max(axis=0, initial=0.0)
        _check_same(scale <= least, covariates[0], names)
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
    described, seen = replace(described, groups=consistent(checked(described.groups))), size > 0
    if not seen.any():
        raise FitError("no group has data yet: there is nothing to fit")
    return described if seen.all() else described.take(seen)


def check_matrix(covariance: Floats, centre: Floats, groups: int, names: Sequence[str]) -> None:
    """Refuse, by covariates' covariance alone, what :meth:`Design.of` refuses by their values."""
    _check_enough(groups, len(centre))
    variance = np.diag(covariance)
    _check_same(variance <= 1e-14 * np.maximum(centre**2, 1e-300), centre, names)
    scale = np.sqrt(variance)
    correlation = covariance / np.outer(scale, scale)
    for column in range(1, len(centre)):
        before = correlation[:column, :column]
        explained = correlation[column, :column]
        if 1 - explained @ np.linalg.solve(before, explained) <= 1e-10:
            _refuse_combination(column, names)


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


def _check_enough(groups: int, columns: int) -> None:
    if groups < columns + 1:
        raise FitError(
            f"{columns} covariates and an intercept need at least {columns + 1} groups with "
            f"data; there are {groups}"
        )


def _check_same(same: NDArray[np.bool_], values: Floats, names: Sequence[str]) -> None:
    if same.any():
        column = int(same.argmax())
        raise FitError(
            f"{_name(column, names)} is {values[column]:g} for every group: "
            "a constant cannot be told from the intercept"
        )


def _check_independent(columns: Floats, names: Sequence[str]) -> None:
    left_over = np.abs(np.diag(np.linalg.qr(columns, mode="r")))
    same = left_over <= _COLLINEAR * np.sqrt(len(columns))
    if same.any():
        _refuse_combination(int(same.argmax()), names)


def _refuse_combination(column: int, names: Sequence[str]) -> NoReturn:
    raise FitError(
        f"{_name(column, names)} is a linear combination of those before it: leave one of them out"
    )


def _name(column: int, names: Sequence[str]) -> str:
    return f"covariate {column + 1}" + (f" ({names[column]})" if names else "")
