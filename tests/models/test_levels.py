"""An interval has the level that was asked for: of groups, of hyperparameters, in every family."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from stream_hb.models.covariates.registry import COVARIATE_FAMILIES
from stream_hb.models.described import Described
from stream_hb.models.nested.registry import NESTED_FAMILIES
from stream_hb.models.registry import FAMILIES
from tests.models.covariates.pools import pool

Case = tuple[str, Any, Any]


def cases() -> list[Case]:
    """Return every family with a pool of twelve groups, plain, with a covariate and in regions."""
    found: list[Case] = []
    for kind, families in (
        ("plain", FAMILIES),
        ("covariates", COVARIATE_FAMILIES),
        ("regions", NESTED_FAMILIES),
    ):
        for name, family in families.items():
            statistic = name.removesuffix("-moderated").removesuffix("-separate")
            groups = pool(statistic, seed=3)
            if kind == "plain":
                found.append((f"{kind} {name}", family, groups.groups))
            elif kind == "covariates":
                found.append((f"{kind} {name}", family, groups))
            else:
                regions = np.repeat(np.arange(4), 3)
                found.append((f"{kind} {name}", family, Described.of(groups.groups, None, regions)))
    return found


CASES = {name: (family, groups) for name, family, groups in cases()}


@cache
def fitted(name: str, method: str) -> tuple[Any, Any, Any]:
    family, groups = CASES[name]
    return family, groups, family.fit(groups, method).hyper


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", ["ml", "bayes"])
def test_as_much_of_the_posterior_lies_in_an_interval_as_was_asked_for(
    name: str, method: str
) -> None:
    """Would fail if the level were ignored somewhere, or P(θ > c) were P(θ < c)."""
    family, groups, hyper = fitted(name, method)
    for level in (0.5, 0.9):
        posterior = family.posterior(groups, hyper, level)
        for row in (0, 5, 11):
            for end, expected in ((posterior.lo, 1 + level), (posterior.hi, 1 - level)):
                above = family.tail_probability(groups, hyper, float(end[row]))[row]
                assert above == pytest.approx(expected / 2, abs=0.01), (level, row)


@pytest.mark.parametrize("name", CASES)
def test_a_hyperparameters_interval_of_less_probability_lies_inside(name: str) -> None:
    family, _, hyper = fitted(name, "bayes")
    half, most = (family.uncertainty(hyper, level) for level in (0.5, 0.95))
    assert half.keys() == most.keys()
    for parameter, (sd, lo, hi) in half.items():
        most_sd, lowest, highest = most[parameter]
        assert sd == most_sd
        assert lowest < lo < hi < highest, parameter


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", ["ml", "bayes"])
def test_so_much_of_a_new_groups_predictive_lies_in_its_interval(name: str, method: str) -> None:
    family, groups, hyper = fitted(name, method)
    nothing = type(groups).zeros(1) if not isinstance(groups, Described) else unseen(groups)
    for level in (0.5, 0.9):
        new = family.posterior(nothing, hyper, level)
        for end, expected in ((new.lo, 1 + level), (new.hi, 1 - level)):
            above = family.tail_probability(nothing, hyper, float(end[0]))[0]
            assert above == pytest.approx(expected / 2, abs=0.01), level


def unseen(groups: Described[Any]) -> Described[Any]:
    """Return a group without data, of average covariates, in a region that is not known."""
    average = groups.covariates.mean(axis=0, keepdims=True)
    return Described.of(type(groups.groups).zeros(1), average)
