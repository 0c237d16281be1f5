"""From a table's columns to the statistic of a family: which columns, and what they must hold."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_hb.cli.tables import Table, TableReader
from stream_hb.errors import TableError, UsageError, nearest
from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments

# Above it the quadrature has no digits left: a rate is then known to more of them than a spread.
_LARGEST_COUNT = 1e12

# Below it the squares of weights overflow.
_SMALLEST = 1e-100


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of table: its family, its columns, and the statistic that they make.

    ``model`` is the family's name in the registry, which has one for each statistic.
    """

    family: str
    model: str
    columns: tuple[str, ...]
    groups: Callable[[Table], Statistic]


def counts(table: Table) -> Counts:
    """Make counts of ``successes,trials``."""
    successes, trials = _not_negative(table, "successes"), _not_negative(table, "trials")
    table.require("successes", successes <= trials, "should be at most the trials")
    return Counts(successes, trials)


def exposure(table: Table) -> Exposure:
    """Make counts over an exposure of ``events,exposure``."""
    events, exposed = _not_negative(table, "events"), _not_negative(table, "exposure")
    table.require(
        "exposure", (exposed > 0) | (events == 0), "should be above 0 where there are events"
    )
    return Exposure(events, exposed)


def measured(table: Table) -> Measured:
    """Make means with known variances of ``mean,variance``."""
    table.require_finite("mean")
    return Measured(table.columns["mean"], _positive(table, "variance"))


def measured_with(sigma2: float) -> Callable[[Table], Measured]:
    """Make means with known variances of ``mean,n``: each observation's variance is given."""

    def groups(table: Table) -> Measured:
        n = _not_negative(table, "n")
        with np.errstate(divide="ignore"):  # no observation: infinite variance
            return Measured(_mean_where(table, n > 0), sigma2 / n)

    return groups


def moments(table: Table) -> Moments:
    """Make moments of ``n,mean,sample_variance``."""
    n, variance = _not_negative(table, "n"), table.columns["sample_variance"]
    table.require_finite("sample_variance", where=n > 1)
    table.require("sample_variance", (variance >= 0) | (n <= 1), "should not be negative")
    return Moments(n, _mean_where(table, n > 0), np.where(n > 1, (n - 1) * variance, 0.0))


def moments_each(table: Table) -> Moments:
    """Make moments of ``n,mean,sample_variance`` where each group needs a variance of its own."""
    n = _not_negative(table, "n")
    table.require("n", (n == 0) | (n >= 2), "should be 2 or more for a variance of its own")
    return moments(table)


def _mean_where(table: Table, seen: NDArray[np.bool_]) -> Floats:
    table.require_finite("mean", where=seen)
    return np.where(seen, table.columns["mean"], 0.0)


def _not_negative(table: Table, column: str) -> Floats:
    table.require_finite(column)
    values = table.columns[column]
    table.require(column, values >= 0, "should not be negative")
    table.require(column, values <= _LARGEST_COUNT, f"should be at most {_LARGEST_COUNT:g}")
    return values


def _positive(table: Table, column: str) -> Floats:
    table.require_finite(column)
    values = table.columns[column]
    table.require(column, values > 0, "should be above 0")
    table.require(column, values >= _SMALLEST, f"should be at least {_SMALLEST:g}")
    return values


_COUNTS = Form("beta-binomial", "beta-binomial", ("successes", "trials"), counts)
_EXPOSURE = Form("gamma-poisson", "gamma-poisson", ("events", "exposure"), exposure)
_MEASURED = Form("normal", "normal-known-variance", ("mean", "variance"), measured)
_COMMON = Form("normal", "normal", ("n", "mean", "sample_variance"), moments)
_SEPARATE = Form("normal", "normal-separate", ("n", "mean", "sample_variance"), moments_each)
_MODERATED = Form("normal", "normal-moderated", ("n", "mean", "sample_variance"), moments)
_VARIANCES = {"common": _COMMON, "moderated": _MODERATED, "separate": _SEPARATE}

FAMILIES = ("beta-binomial", "gamma-poisson", "normal")


def choose_form(
    reader: TableReader, family: str | None, sigma2: float | None, variance: str | None
) -> Form:
    """Choose the kind of table by the options, and what they leave open by the header."""
    if family not in {None, *FAMILIES}:
        raise UsageError(f"no family {family!r}; {nearest(str(family), FAMILIES)}")
    forms = _allowed(family, sigma2, variance)
    missing = {form: {*form.columns} - {*reader.header} for form in forms}
    complete = [form for form in forms if not missing[form]]
    # Reading a table that is all but one column right names the column and the nearest.
    nearly = [form for form in forms if len(missing[form]) == 1]
    if complete:
        return complete[0]
    if len(nearly) == 1 or len(forms) == 1:
        return (nearly or forms)[0]
    has = f"{reader.source}: has the columns {','.join(reader.header)}"
    raise TableError(f"{has}\none of these is needed: {' | '.join(map(_described, forms))}")


def _allowed(family: str | None, sigma2: float | None, variance: str | None) -> list[Form]:
    if sigma2 is None and variance is None:
        forms = [_COUNTS, _EXPOSURE, _MEASURED, _COMMON]
        return [form for form in forms if family in {None, form.family}]
    if family not in {None, "normal"}:
        raise UsageError("--sigma2 and --variance belong to --family normal")
    if variance is None:
        assert sigma2 is not None
        return [Form("normal", "normal-known-variance", ("mean", "n"), measured_with(sigma2))]
    if sigma2 is not None:
        raise UsageError("--sigma2 gives the variance: leave --variance out")
    return [_variance_form(variance)]


def _variance_form(variance: str) -> Form:
    if variance not in _VARIANCES:
        raise UsageError(f"no --variance {variance!r}; {nearest(variance, _VARIANCES)}")
    return _VARIANCES[variance]


def _described(form: Form) -> str:
    alternative = " or group,mean,n with --sigma2" if form is _MEASURED else ""
    return f"{','.join(('group', *form.columns))}{alternative} ({form.family})"
