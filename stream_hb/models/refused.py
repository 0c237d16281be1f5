"""What no fit can be made of: groups whose statistics are not numbers, or below zero."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stream_hb.errors import FitError
from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure

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


def consistent(groups: S) -> S:
    """Return the groups; successes beyond their trials, or events without exposure, are refused.

    Examples
    --------
    >>> from stream_hb.statistics.counts import Counts
    >>> consistent(Counts(np.array([2.0]), np.array([1.0])))
    Traceback (most recent call last):
    stream_hb.errors.FitError: row 0 has successes = 2: expected at most its trials, 1
    """
    if isinstance(groups, Counts):
        beyond = groups.successes > groups.trials + _residue(groups.trials)
        _refuse(beyond, "successes", groups.successes, "at most its trials", groups.trials)
    if isinstance(groups, Exposure):
        beyond = (groups.exposure <= 0) & (groups.events > _residue(groups.events))
        _refuse(beyond, "events", groups.events, "none without exposure", groups.exposure)
    return groups


def _residue(values: Floats) -> float:
    return _RESIDUE * float(values.max(initial=0.0))


def _refuse(
    wrong: NDArray[np.bool_], name: str, values: Floats, expected: str, beside: Floats
) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        found = f"row {row} has {name} = {values[row]:g}"
        raise FitError(f"{found}: expected {expected}, {beside[row]:g}")


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
