"""What no fit can be made of: groups whose statistics are not numbers, or below zero."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stream_hb.errors import FitError
from stream_hb.statistics.columns import Floats, Statistic

S = TypeVar("S", bound=Statistic)

_RESIDUE = 1e-9
_OF_ANY_SIGN = "mean"
_MAY_BE_INFINITE = "variance"
"""A group without data has an infinite sampling variance."""


def checked(groups: S) -> S:
    """Return the groups, residues that removals leave below zero (1e-9 of the column) as zeros.

    Raises
    ------
    FitError
        A value is not a number, infinite or negative; it names the first such row and its column.

    Examples
    --------
    >>> from stream_hb.statistics.counts import Counts
    >>> checked(Counts(np.array([1.0, -1e-15]), np.array([3.0, 0.0]))).successes
    array([1., 0.])
    """
    columns = groups.columns()
    wrong = {name: _wrong(name, values) for name, values in columns.items()}
    first = {name: int(at.argmax()) for name, at in wrong.items() if at.any()}
    if first:
        name = min(first, key=lambda column: first[column])
        row, value = first[name], float(columns[name][first[name]])
        raise FitError(f"row {row} has {name} = {value:g}: expected {_expected(name)}")
    signed = {name: name == _OF_ANY_SIGN or not (at < 0).any() for name, at in columns.items()}
    if all(signed.values()):
        return groups
    return type(groups)(
        *(at if signed[name] else np.maximum(at, 0.0) for name, at in columns.items())
    )


def _wrong(name: str, values: Floats) -> NDArray[np.bool_]:
    wrong: NDArray[np.bool_] = np.isnan(values)
    if name != _MAY_BE_INFINITE:
        wrong = wrong | np.isinf(values)
    if name == _OF_ANY_SIGN:
        return wrong
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if len(finite) else 0.0
    below: NDArray[np.bool_] = values < -_RESIDUE * largest
    return wrong | below


def _expected(name: str) -> str:
    return "a finite number" if name == _OF_ANY_SIGN else "a number from 0 on"
