"""The study in short: few cells, seeds fixed in advance, bounds from Monte-Carlo error."""

import numpy as np
import pytest

from tests.study.__main__ import SEED
from tests.study.study import LEVELS, run
from tests.study.targets import LOWEST_COVERAGE
from tests.study.worlds import KINDS, World

POOLS = 30
ERRORS_ALLOWED = 4.0

FAMILIES = pytest.mark.parametrize("family", list(KINDS))


@FAMILIES
@pytest.mark.parametrize(("groups_count", "flagship"), [(5, False), (20, True)])
def test_intervals_cover_what_they_say_where_hyperparameters_come_from_the_prior(
    family: str, groups_count: int, flagship: bool
) -> None:
    cell = run(World(family, groups_count, flagship, None), POOLS, (SEED, groups_count))
    share, error = cell.coverage("bayes")
    assert (np.abs(share - np.array(LEVELS)) < ERRORS_ALLOWED * error).all(), (share, error)


@FAMILIES
def test_bayes_covers_and_gains_where_plug_in_intervals_fail(family: str) -> None:
    """Five groups that differ little: what a plug-in takes for known is not."""
    cell = run(World(family, 5, False, KINDS[family].spreads[1]), POOLS, (SEED, 1))
    share, error = cell.coverage("bayes")
    assert share[-1] > LOWEST_COVERAGE - ERRORS_ALLOWED * error[-1]
    assert cell.coverage("ml")[0][-1] < share[-1]
    assert cell.mean_squared_error("bayes") < cell.mean_squared_error("raw")


def test_a_cell_is_a_function_of_its_seed() -> None:
    world = World("normal", 5, False, None)
    a, b = run(world, 2, (SEED, 7)), run(world, 2, (SEED, 7))
    for method, shares in a.covered.items():
        np.testing.assert_array_equal(shares, b.covered[method])
    for name, errors in a.squared_error.items():
        np.testing.assert_array_equal(errors, b.squared_error[name])
