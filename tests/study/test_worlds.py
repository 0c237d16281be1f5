"""The worlds are what they say."""

import numpy as np
import pytest

from tests.study.worlds import KINDS, World

FAMILIES = pytest.mark.parametrize("family", list(KINDS))


@FAMILIES
def test_groups_without_spread_are_equal(family: str) -> None:
    theta = World(family, 20, True, 0.0).draw(np.random.default_rng(1)).theta
    assert np.ptp(theta) == 0


@FAMILIES
def test_groups_differ_by_the_spread_that_the_cell_names(family: str) -> None:
    """Over 4,000 groups: the sd on the logit scale, relative to the mean, or of the means."""
    kind, spread = KINDS[family], 0.25
    drawn = World(family, 4000, False, spread).draw(np.random.default_rng(1))
    scale = {"beta-binomial": 0.1 * 0.9, "gamma-poisson": 0.1, "normal": 1.0}[family]
    if family == "beta-binomial":  # Var θ = m(1-m)/(κ + 1), not m(1-m)/κ
        scale /= np.sqrt(1 + spread**2 * 0.1 * 0.9)
    np.testing.assert_allclose(drawn.theta.std() / scale, spread, rtol=0.06)
    assert kind.family == family


@FAMILIES
def test_the_flagship_has_most_of_the_data(family: str) -> None:
    sizes = World(family, 20, True, 0.1).sizes()
    assert sizes.max() > 5 * (sizes.sum() - sizes.max())
    assert sizes.min() >= 3


@FAMILIES
def test_the_oracle_is_given_what_the_pool_was_drawn_with(family: str) -> None:
    given = World(family, 5, False, 0.25).draw(np.random.default_rng(1)).given
    mean = {
        "beta-binomial": lambda: given["alpha"] / (given["alpha"] + given["beta"]),
        "gamma-poisson": lambda: given["shape"] / given["rate"],
        "normal": lambda: given["mu"],
    }[family]()
    np.testing.assert_allclose(mean, 4.0 if family == "normal" else 0.1, rtol=1e-12)
