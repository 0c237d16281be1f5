"""Hyperparameters that are given instead of fitted: checked by name and by value."""

import math
from collections.abc import Collection, Mapping

from stream_hb.errors import UsageError, nearest


def take_given(
    given: Mapping[str, float],
    names: Collection[str],
    may_be_zero: Collection[str] = (),
    real: Collection[str] = (),
) -> list[float]:
    """Return the values in the order of ``names``; all must be there, and nothing else.

    Parameters
    ----------
    names
        Every name that must be given; positive and finite unless in one of the next two.
    may_be_zero
        Names that may also be zero.
    real
        Names that may be any finite number.

    Examples
    --------
    >>> take_given({"beta": 95, "alpha": 5}, ("alpha", "beta"))
    [5.0, 95.0]
    """
    for name in given:
        if name not in names:
            raise UsageError(f"unknown hyperparameter {name!r}: {nearest(name, names)}")
    missing = [name for name in names if name not in given]
    if missing:
        raise UsageError(f"give {', '.join(names)} together; missing: {', '.join(missing)}")
    values = {name: float(given[name]) for name in names}
    for name, value in values.items():
        lowest = -math.inf if name in real else 0.0
        if not (lowest < value < math.inf or (name in may_be_zero and value == 0)):
            raise UsageError(f"{name} = {value}: {_expected(name, may_be_zero, real)}")
    return list(values.values())


def _expected(name: str, may_be_zero: Collection[str], real: Collection[str]) -> str:
    if name in real:
        return "expected a finite number"
    return f"expected a finite number {'>=' if name in may_be_zero else '>'} 0"
