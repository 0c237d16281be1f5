"""A fit refuses what is no number or below zero, and says where it stands."""

from typing import Any

import numpy as np
import pytest

from stream_hb.errors import FitError
from stream_hb.models.covariates.registry import COVARIATE_FAMILIES
from stream_hb.models.described import Described
from stream_hb.models.nested.registry import NESTED_FAMILIES
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.summary import ExactSummary
from tests.models.covariates.pools import pool

FAMILIES_BY_KIND: dict[str, Any] = {
    "plain": FAMILIES,
    "covariates": COVARIATE_FAMILIES,
    "regions": NESTED_FAMILIES,
}
CASES = [(kind, name) for kind, families in FAMILIES_BY_KIND.items() for name in families]


def with_value(name: str, row: int, column: int, value: float) -> tuple[Described[Any], str]:
    """Return a pool with one value changed, and the name of its column."""
    described = pool(name.removesuffix("-moderated").removesuffix("-separate"))
    columns = {key: values.copy() for key, values in described.groups.columns().items()}
    names = list(columns)
    columns[names[column]][row] = value
    groups = type(described.groups)(*columns.values())
    return Described.of(groups, described.covariates, np.repeat(np.arange(4), 3)), names[column]


@pytest.mark.parametrize(("kind", "name"), CASES)
@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("value", [np.nan, -np.inf, -3.0])
def test_a_value_that_no_data_have_is_refused_with_its_row_and_column(
    kind: str, name: str, column: int, value: float
) -> None:
    described, named = with_value(name, 5, column, value)
    if named == "mean" and np.isfinite(value):
        pytest.skip("a mean may be negative")
    groups = described.groups if kind == "plain" else described
    with pytest.raises(FitError, match=f"row 5 has {named} = {value:g}"):
        FAMILIES_BY_KIND[kind][name].fit(groups, "ml")


def test_groups_that_a_summary_keeps_are_looked_at_too() -> None:
    nan = ExactSummary(Counts(np.array([1.0, np.nan]), np.array([3.0, 4.0])))
    with pytest.raises(FitError, match="row 1 has successes = nan"):
        FAMILIES["beta-binomial"].fit(nan, "ml")


@pytest.mark.parametrize("kind", FAMILIES_BY_KIND)
def test_what_rounding_leaves_below_zero_is_zero(kind: str) -> None:
    """A visit taken out again leaves -1e-15 of one: the fit is that of none."""
    family = FAMILIES_BY_KIND[kind]["beta-binomial"]
    fits = []
    for value in (-1e-15, 0.0):
        described, _ = with_value("beta-binomial", 5, 0, value)
        fit = family.fit(described.groups if kind == "plain" else described, "ml")
        fits.append(fit.log_likelihood)
    assert fits[0] == fits[1]


@pytest.mark.parametrize(
    ("name", "groups", "told"),
    [
        (
            "beta-binomial",
            Counts(np.array([1.0, 4.0]), np.array([3.0, 3.0])),
            "row 1 has successes = 4: expected at most its trials, 3",
        ),
        (
            "beta-binomial",
            Counts(np.array([2.0, 1.0]), np.array([0.0, 3.0])),
            "row 0 has successes = 2: expected at most its trials, 0",
        ),
        (
            "gamma-poisson",
            Exposure(np.array([1.0, 2.0]), np.array([3.0, 0.0])),
            "row 1 has events = 2: expected none without exposure, 0",
        ),
    ],
)
@pytest.mark.parametrize("method", ["moments", "ml", "bayes"])
def test_what_two_columns_cannot_both_say_is_refused(
    name: str, groups: Any, told: str, method: str
) -> None:
    with pytest.raises(FitError, match=told):
        FAMILIES[name].fit(groups, method)


def test_decayed_successes_may_exceed_their_trials_by_rounding() -> None:
    groups = Counts(np.array([3.0 * (1 + 1e-14), 1.0]), np.array([3.0, 4.0]))
    assert np.isfinite(FAMILIES["beta-binomial"].fit(groups, "bayes").log_likelihood)
