"""Groups that are alike are worked out once, and nobody's estimate shows it."""

from typing import Any

import numpy as np
import pytest

from stream_hb.field_names import field_names
from stream_hb.models.distinct import distinct, once_each
from stream_hb.models.family import Posterior
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments

SIZES = np.array([0, 1, 1, 2, 2, 3, 5, 40, 200, 3000], dtype=np.float64)
TOTALS = np.array([0, 0, 1, 0, 1, 0, 1, 3, 9, 180], dtype=np.float64)
MEANS = np.array([0, 3.1, 2.2, 3.1, 4.0, 3.3, 2.9, 3.6, 3.4, 3.5])
SQUARES = np.array([0, 0, 0, 0.4, 0.1, 1.1, 2.0, 30.0, 150.0, 2000.0])
VARIANCES = np.array([np.inf, 1, 1, 0.5, 0.5, 0.3, 0.2, 0.03, 0.005, 3e-4])

POOLS: dict[str, tuple[Any, Statistic]] = {
    "beta-binomial": (FAMILIES["beta-binomial"], Counts(TOTALS, SIZES)),
    "gamma-poisson": (FAMILIES["gamma-poisson"], Exposure(TOTALS, SIZES)),
    "normal": (FAMILIES["normal"], Moments(SIZES, MEANS, SQUARES)),
    "normal-known": (FAMILIES["normal-known-variance"], Measured(MEANS, VARIANCES)),
}
OWN_VARIANCES: dict[str, tuple[Any, Statistic]] = {
    "separate": (FAMILIES["normal-separate"], Moments(SIZES, MEANS, SQUARES)),
    "moderated": (FAMILIES["normal-moderated"], Moments(SIZES, MEANS, SQUARES)),
}


def columns(posterior: Posterior) -> Floats:
    return np.stack([getattr(posterior, name) for name in field_names(Posterior)])


def told(family: Any, groups: Statistic, hyper: Any) -> Floats:
    posterior = columns(family.posterior(groups, hyper, 0.95))
    return np.concatenate([posterior, np.stack(family.screen(groups, hyper))])


@pytest.mark.parametrize("name", POOLS)
def test_a_group_has_the_same_bits_alone_beside_others_and_beside_its_likes(name: str) -> None:
    family, groups = POOLS[name]
    hyper = family.fit(groups, "bayes").hyper
    together = told(family, groups, hyper)
    many = np.tile(np.arange(len(groups)), 30)
    np.testing.assert_array_equal(told(family, groups.take(many), hyper), together[:, many])
    for i in range(len(groups)):
        alone = groups.take(np.array([i]))
        np.testing.assert_array_equal(told(family, alone, hyper)[:, 0], together[:, i])
        likes = groups.take(np.full(40, i))
        np.testing.assert_array_equal(told(family, likes, hyper), together[:, [i] * 40])


@pytest.mark.parametrize("name", OWN_VARIANCES)
def test_a_group_with_its_own_variance_has_the_same_bits_beside_its_likes(name: str) -> None:
    # Not alone: the nodes of the variances are as many as the least known of a batch asks for.
    family, groups = OWN_VARIANCES[name]
    hyper = family.fit(groups, "bayes").hyper
    many = np.tile(np.arange(len(groups)), 30)
    together = told(family, groups, hyper)
    np.testing.assert_array_equal(told(family, groups.take(many), hyper), together[:, many])


def test_the_posteriors_of_many_chunks_are_those_of_one_by_one() -> None:
    family, hyper = FAMILIES["normal"], fitted_normal()
    random = np.random.default_rng(4)
    size = random.integers(1, 60, 2000).astype(np.float64)
    groups = Moments(size, random.normal(3, 1, 2000), size)
    some = np.array([0, 1, 2, 17, 700, 1998, 1999])
    one_by_one = [told(family, groups.take(np.array([i])), hyper)[:, 0] for i in some]
    np.testing.assert_array_equal(told(family, groups, hyper)[:, some].T, one_by_one)


def fitted_normal() -> Any:
    family, groups = POOLS["normal"]
    return family.fit(groups, "bayes").hyper


def test_rows_are_worked_out_once_for_all_that_are_alike() -> None:
    seen = []

    def work(a: Floats, b: Floats) -> tuple[Floats, Floats]:
        seen.append(len(a))
        return a + b, a * b

    a, b = np.tile([1.0, 2.0, 1.0, 1.0, 2.0], 10), np.tile([5.0, 5.0, 5.0, 6.0, 5.0], 10)
    total, product = once_each(work, a, b)
    assert seen == [3]
    np.testing.assert_array_equal(total, a + b)
    np.testing.assert_array_equal(product, a * b)


def test_rows_are_alike_if_all_their_bits_are() -> None:
    zero, nan = np.array([0.0, -0.0, 0.0]), np.array([np.nan, np.nan, np.nan])
    found = distinct(nan, zero)
    assert found is not None
    first, negative, again = found.which
    assert first == again != negative


@pytest.mark.parametrize("column", [np.empty(0), np.ones(1), np.arange(5.0)])
def test_where_no_two_are_alike_nothing_is_gathered(column: Floats) -> None:
    assert distinct(column) is None
    assert distinct(np.ones(len(column)), column) is None
