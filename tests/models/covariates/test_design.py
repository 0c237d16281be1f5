"""Covariates that no fit can use are refused by the name of their column."""

import numpy as np
import pytest

from stream_hb.errors import FitError
from stream_hb.models.covariates.design import Design
from stream_hb.models.covariates.registry import COVARIATE_FAMILIES
from stream_hb.models.described import Described
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured

X = np.array([[1.0, 5.0], [2.0, 4.0], [3.0, 9.0], [4.0, 1.0]])
NAMES = ("size", "age")


def _refused(x: Floats, names: tuple[str, ...], match: str) -> None:
    with pytest.raises(FitError, match=match):
        Design.of(x, names)


def test_a_constant_is_named() -> None:
    _refused(np.column_stack([X[:, 0], np.full(4, 7.1)]), NAMES, r"covariate 2 \(age\) is 7.1 for")


def test_a_combination_of_earlier_columns_is_named() -> None:
    x = np.column_stack([X, 3 - X[:, 0] + 2 * X[:, 1]])
    _refused(x, (), "covariate 3 is a linear combination")


def test_a_missing_value_is_named_with_its_group() -> None:
    x = X.copy()
    x[2, 1] = np.nan
    _refused(x, NAMES, r"covariate 2 \(age\) is nan for group 3")


def test_more_covariates_than_groups_are_refused() -> None:
    _refused(X[:2], (), "2 covariates and an intercept need at least 3 groups")


def test_names_are_one_for_each_and_distinct() -> None:
    _refused(X, ("size",), "1 names for 2 covariates")
    _refused(X, ("size", "size"), "one name")


def test_groups_of_another_shape_are_refused_after_the_fit() -> None:
    family = COVARIATE_FAMILIES["normal-known-variance"]
    groups = Measured(np.array([1.0, 2, 3, 5]), np.ones(4))
    hyper = family.fit(Described.of(groups, X, names=NAMES), "reml").hyper
    assert {"intercept", "size", "age"} < family.parameters(hyper).keys()
    with pytest.raises(FitError, match="expected 2 covariates"):
        family.posterior(Described.of(groups, X[:, :1]), hyper, 0.95)


def test_a_group_without_data_does_not_move_the_centre() -> None:
    family = COVARIATE_FAMILIES["normal-known-variance"]
    groups = Measured(np.array([1.0, 2, 3, 0]), np.array([1.0, 1, 1, np.inf]))
    hyper = family.fit(Described.of(groups, X[:, :1]), "reml").hyper
    assert hyper.centre[0] == 2.0


def test_rows_and_coefficients_of_both_scales_give_one_prior_mean() -> None:
    design = Design.of(X)
    beta = np.array([0.3, -1.0, 2.0])
    given = design.on_given_scale(beta)
    np.testing.assert_allclose(given[0] + X @ given[1:], design.rows(X) @ beta)
