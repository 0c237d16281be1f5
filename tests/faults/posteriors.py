"""The posteriors of point fits, straight from the conjugate formulas, and records against them.

A record names its hyperparameters only where they are a point (flag ``plug_in``). Of one whose
hyperparameters were integrated the size and the raw estimate are compared.
"""

import math
from typing import Any

import numpy as np
from scipy import stats

from tests.reference.event_rules import PlainGroup

CLOSE = 1e-9
CLOSE_ENDS = 1e-7
"""Quantiles by another program."""

Numbers = tuple[float, float, float, float]
"""Mean, sd, and the interval's ends."""


def differs(record: dict[str, Any], group: PlainGroup) -> str | None:
    """Say how a record differs from what it should be given what counts; None if it does not."""
    size, raw = _data(record["metric"], group)
    if record["n_eff"] != size:
        return f"n_eff {record['n_eff']}, not {size}"
    if not np.isclose(_number(record["raw"]), _number(raw), rtol=CLOSE, equal_nan=True):
        return f"raw {record['raw']}, not {raw}"
    expected = _expected(record, group) if "plug_in" in record["flags"] else None
    if expected is None:
        return None
    ends = record["interval"]
    found = record["estimate"], record["sd"], ends["lo"], ends["hi"]
    close = [CLOSE, CLOSE, CLOSE_ENDS, CLOSE_ENDS]
    same = np.isclose(found, expected, rtol=close, atol=1e-12)
    return None if same.all() else f"{found}, not {expected}"


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _values(group: PlainGroup) -> list[int]:
    return [value for _, value in group.orders if value > 0]


def _data(metric: str, group: PlainGroup) -> tuple[int, float | None]:
    """Return how much a group has of a metric, and what that says without a pool."""
    values, visits = _values(group), len(group.visits)
    match metric:
        case "conversion":
            return visits, len(group.conversions) / visits if visits else None
        case "order_rate":
            return visits, len(group.orders) / visits if visits else None
        case _:
            return len(values), float(np.log(values).mean()) if values else None


def _expected(record: dict[str, Any], group: PlainGroup) -> Numbers | None:
    hyper = {name: float(value) for name, value in record["hyper"]["params"].items()}
    level = record["interval"]["level"]
    match record["metric"]:
        case "conversion":
            return _rate(hyper, group, level)
        case "order_rate":
            return _orders(hyper, group, level)
        case _:
            return _value(hyper, _values(group), level)


def _rate(hyper: dict[str, float], group: PlainGroup, level: float) -> Numbers | None:
    """Beta(α + y, β + n - y); None where the stores do not differ: that has rules of its own."""
    if not (math.isfinite(hyper["alpha"]) and math.isfinite(hyper["beta"])):
        return None
    y, n = len(group.conversions), len(group.visits)
    beta = stats.beta(hyper["alpha"] + y, hyper["beta"] + n - y)
    return beta.mean(), beta.std(), *beta.interval(level)


def _orders(hyper: dict[str, float], group: PlainGroup, level: float) -> Numbers | None:
    """Gamma(shape + k, rate + n)."""
    if not math.isfinite(hyper["shape"]):
        return None
    gamma = stats.gamma(
        hyper["shape"] + len(group.orders), scale=1 / (hyper["rate"] + len(group.visits))
    )
    return gamma.mean(), gamma.std(), *gamma.interval(level)


def _value(hyper: dict[str, float], values: list[int], level: float) -> Numbers | None:
    """N((1-B)·ȳ + B·μ, B·τ² + B²·se²) with B = σ²/n / (σ²/n + τ²)."""
    if not values:
        weight, raw = 1.0, 0.0
    elif hyper["tau2"] == 0:
        return None
    else:
        variance = hyper["sigma2"] / len(values)
        weight, raw = variance / (variance + hyper["tau2"]), float(np.log(values).mean())
    mean = (1 - weight) * raw + weight * hyper["mu"]
    within = hyper["tau2"] if not values else weight * hyper["tau2"]
    sd = math.sqrt(within + (weight * hyper["se_mu"]) ** 2)
    return mean, sd, *stats.norm(mean, sd).interval(level)
