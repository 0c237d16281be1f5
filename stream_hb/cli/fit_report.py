"""What ``fit`` prints: a fitted pool and its groups, for people or as JSON."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, Self

import numpy as np
from rich.text import Text

from stream_hb.cli.output import exact, new_table, note, print_table, short
from stream_hb.models.family import Family, Fit, Posterior
from stream_hb.models.sensitivity import Affected, most_affected
from stream_hb.statistics.columns import Floats

# What a person still reads; all the rest is in --json.
_ROWS_SHOWN = 200
_ROWS_AT_ONCE = 10_000

# Made once: json.dumps would make an encoder for every row.
_dumps = json.JSONEncoder(allow_nan=False).encode

# Shift of the spread (in posterior sds) under the prior to the power ½ or 2 that is worth a remark.
_PRIOR_MATTERS_SD = 0.3

_NO_MORE = "differ no more than chance makes them"

_NEW_GROUP = ("estimate", "sd", "interval")


@dataclass(frozen=True, slots=True)
class FittedPool:
    """One pool under one fit.

    Attributes
    ----------
    family
        The name of its family.
    fit
        The hyperparameters and how they came about.
    parameters
        The hyperparameters by name (``bayes``: their posterior means).
    uncertainty
        Posterior sd and interval ends of each, where they are integrated over; else empty.
    level
        Probability inside the intervals.
    names, groups
        The groups and their posteriors, in the table's order.
    new_group
        The posterior of a group that is not in the table.
    above, probability_above
        A value, and each group's posterior probability of lying above it; None: not asked for.
    affected
        The group whose estimate the hyperprior moves most; None for plug-in fits.
    """

    family: str
    fit: Fit[Any]
    parameters: dict[str, float]
    uncertainty: Mapping[str, tuple[float, float, float]]
    level: float
    names: Sequence[str]
    groups: Posterior
    new_group: Posterior
    above: float | None
    probability_above: Floats | None
    affected: Affected | None

    @classmethod
    def of(
        cls,
        family: Family[Any, Any],
        names: Sequence[str],
        groups: Any,
        fit: Fit[Any],
        level: float,
        above: float | None,
    ) -> Self:
        """Work out every group's posterior under ``fit``."""
        return cls(
            family.name,
            fit,
            family.parameters(fit.hyper),
            family.uncertainty(fit.hyper, level),
            level,
            names,
            family.posterior(groups, fit.hyper, level),
            family.new_group(fit.hyper, level),
            above,
            None if above is None else family.tail_probability(groups, fit.hyper, above),
            None
            if fit.sensitivity is None
            else most_affected(family, groups, fit.hyper, fit.sensitivity),
        )


def print_pools(pools: Sequence[FittedPool]) -> None:
    """Print one pool in full, or several fits of the same one side by side."""
    if len(pools) == 1:
        _print_pool(pools[0])
    else:
        _print_side_by_side(pools)
    remarks: dict[str, list[str]] = {}
    for pool in pools:
        for remark in _remarks(pool):
            remarks.setdefault(remark, []).append(pool.fit.method)
    for remark, methods in remarks.items():
        note(f"{', '.join(methods)}: {remark}")


def _print_pool(pool: FittedPool) -> None:
    count = _counted(pool.fit.groups_count, "group")
    known = "taken as known (plug-in)" if pool.fit.plug_in else "integrated over"
    print(f"{pool.family}, {pool.fit.method}: {count}, hyperparameters {known}")
    print(_parameters(pool))
    for called, (sd, lo, hi) in pool.uncertainty.items():
        interval = f"{100 * pool.level:.4g} % {short(lo)} to {short(hi)}"
        print(f"  {called}: sd {short(sd)}, {interval}")
    interval, tail = f"{100 * pool.level:.4g} % interval", pool.probability_above
    beyond = [] if tail is None else [f"P(> {pool.above:.4g})"]
    table = new_table("group", "raw", "estimate", "sd", interval, "weight\non pooled", *beyond)
    for row, name in enumerate(_shown(pool.names)):
        beyond = [] if tail is None else [_probability(tail[row])]
        table.add_row(name, *_cells(pool.groups, row), *beyond)
    table.add_section()
    table.add_row("a new group", *_cells(pool.new_group, 0))
    print_table(table)
    _say_what_is_left_out(pool)


def _print_side_by_side(pools: Sequence[FittedPool]) -> None:
    names = pools[0].names
    print(f"{pools[0].family}: {_counted(len(names), 'group')}")
    for pool in pools:
        print(f"{pool.fit.method:8}{_parameters(pool)}")
    table = new_table("group", "raw", *(pool.fit.method for pool in pools))
    for row, name in enumerate(_shown(names)):
        means = (short(pool.groups.mean[row]) for pool in pools)
        table.add_row(name, short(pools[0].groups.raw[row]), *means)
    print_table(table)
    _say_what_is_left_out(pools[0])


def _shown(names: Sequence[str]) -> Iterator[Text]:
    return map(Text, names[:_ROWS_SHOWN])  # Text: brackets in a name are no markup


def _parameters(pool: FittedPool) -> str:
    numbers = [f"{name} {short(value)}" for name, value in pool.parameters.items()]
    if not isnan(pool.fit.log_likelihood):
        called = "log-likelihood" if pool.fit.plug_in else "log evidence"
        numbers.append(f"{called} {round(pool.fit.log_likelihood, 4) + 0.0:.4f}")
    return "  ".join(numbers)


def _cells(posterior: Posterior, row: int) -> tuple[str, ...]:
    return (
        short(posterior.raw[row]),
        short(posterior.mean[row]),
        short(posterior.sd[row]),
        f"{short(posterior.lo[row])} to {short(posterior.hi[row])}",
        short(posterior.weight[row]),
    )


def _probability(value: float) -> str:
    """Write a probability: how small it is below a millionth tells nobody anything.

    >>> _probability(0.0), _probability(3e-94), _probability(0.0521)
    ('0', '<1e-06', '0.0521')
    """
    return "<1e-06" if 0 < value < 1e-6 else short(value)


def _say_what_is_left_out(pool: FittedPool) -> None:
    left_out = len(pool.names) - _ROWS_SHOWN
    if left_out > 0:
        note(f"{_counted(left_out, 'more group')}: --json prints all")


def print_pools_json(pools: Sequence[FittedPool]) -> None:
    """Print the object of one pool, or of several fits under ``fits``, a line for each group."""
    if len(pools) == 1:
        sys.stdout.writelines(_json(pools[0]))
    else:
        print(f'{{"family": "{pools[0].family}", "method": "all", "fits": [')
        for place, pool in enumerate(pools):
            sys.stdout.write(", " if place else "")
            sys.stdout.writelines(_json(pool))
        sys.stdout.write("]}")
    print()


def _json(pool: FittedPool) -> Iterator[str]:
    """Yield the object in pieces: a table of millions of rows is not built a second time."""
    yield _dumps(_head(pool))[:-1] + ', "groups": [\n'
    for place, group in enumerate(_groups(pool)):
        yield (",\n" if place else "") + _dumps(group)
    new_group = next(_estimates(pool.new_group))
    yield '],\n"new_group": ' + _dumps({key: new_group[key] for key in _NEW_GROUP}) + "}"


def _head(pool: FittedPool) -> dict[str, Any]:
    fit = pool.fit
    head = {
        "family": pool.family,
        "method": fit.method,
        "groups_count": fit.groups_count,
        "hyperparameters": {name: _hyperparameter(pool, name) for name in pool.parameters},
        "log_likelihood": exact(fit.log_likelihood),
        "boundary": fit.boundary,
        "bimodal": fit.bimodal,
        "converged": fit.converged,
        "iterations": fit.iterations,
    }
    if pool.affected is not None:
        head["sensitivity"] = _sensitivity(pool, pool.affected)
    return head if pool.above is None else {**head, "above": pool.above}


def _sensitivity(pool: FittedPool, affected: Affected) -> dict[str, Any]:
    """Say what the prior to the powers ½ and 2 makes of the spread, and of whom most."""
    spread = pool.fit.sensitivity
    assert spread is not None
    return {
        "spread": {"mean": spread.spread, "sd": spread.spread_sd},
        "prior_halved": spread.halved,
        "prior_doubled": spread.doubled,
        "most_affected": {
            "group": pool.names[affected.row],
            "power": affected.power,
            "estimate": affected.mean,
            "becomes": affected.moved,
        },
    }


def _hyperparameter(pool: FittedPool, name: str) -> Any:
    mean = exact(pool.parameters[name])
    if name not in pool.uncertainty:
        return mean
    sd, lo, hi = map(exact, pool.uncertainty[name])
    return {"mean": mean, "sd": sd, "interval": [lo, hi]}


def _groups(pool: FittedPool) -> Iterator[dict[str, Any]]:
    groups = zip(pool.names, _estimates(pool.groups), strict=True)
    if pool.probability_above is None:
        yield from ({"group": name, **group} for name, group in groups)
    else:
        tails = _rows(pool.probability_above)
        for (name, group), (tail,) in zip(groups, tails, strict=True):
            yield {"group": name, **group, "probability_above": tail}


def _estimates(posterior: Posterior) -> Iterator[dict[str, Any]]:
    columns = (posterior.raw, posterior.mean, posterior.sd, posterior.lo, posterior.hi)
    for raw, mean, sd, lo, hi, weight in _rows(*columns, posterior.weight):
        yield {
            "raw": exact(raw),
            "estimate": exact(mean),
            "sd": exact(sd),
            "interval": [exact(lo), exact(hi)],
            "shrinkage_weight": exact(weight),
        }


def _rows(*columns: Floats) -> Iterator[tuple[float, ...]]:
    """Yield the columns' rows as Python's floats, a slice at a time to keep them few."""
    for start in range(0, len(columns[0]), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        yield from zip(*(column[rows].tolist() for column in columns), strict=True)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _remarks(pool: FittedPool) -> Iterator[str]:
    """Say what a reader of the numbers must know."""
    fit = pool.fit
    if fit.boundary:
        yield _boundary(pool)
    if not pool.new_group.lo[0] <= pool.new_group.mean[0] <= pool.new_group.hi[0]:
        yield "a new group's distribution has so long a tail that only its interval says something"
    if fit.bimodal:
        yield "the likelihood has a second mode nearly as good: read the hyperparameters with care"
    spread = fit.sensitivity
    if spread and max(abs(spread.shift_halved), abs(spread.shift_doubled)) > _PRIOR_MATTERS_SD:
        yield (
            f"the prior matters: the groups' spread, {short(spread.spread)}, would be "
            f"{short(spread.halved)} with half its weight and {short(spread.doubled)} with twice"
        )
    if not fit.converged:
        yield f"did not converge in {fit.iterations} iterations: the last step is shown"


def _boundary(pool: FittedPool) -> str:
    """Say what does not differ, and what that makes of the estimates."""
    pooled = bool((pool.groups.weight[~np.isnan(pool.groups.raw)] > 1 - 1e-6).all())
    if "tau_region" in pool.parameters and not pooled:
        return f"{_alike(pool)} {_NO_MORE}"
    if not (pool.fit.plug_in and pooled):
        return f"the groups {_NO_MORE}"
    mean = "what its covariates foretell" if "intercept" in pool.parameters else "the pooled mean"
    return f"the groups {_NO_MORE}: each estimate is {mean}"


def _alike(pool: FittedPool) -> str:
    """Name the spread of a nested pool that is none; integrated, it may be either."""
    if not pool.fit.plug_in:
        return "regions, or the groups of a region,"
    return "regions" if pool.parameters["tau_region"] == 0 else "the groups of a region"
