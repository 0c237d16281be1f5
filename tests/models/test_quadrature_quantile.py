"""Few nodes of a rule show the quantiles of what they integrate: against scipy.stats'."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from stream_hb.models.quadrature_quantile import interval_of_nodes

DENSITIES: dict[str, Any] = {
    "half-normal": stats.halfnorm(),
    "log-normal": stats.lognorm(0.3),
    "gamma": stats.gamma(2),
}


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("name", DENSITIES)
def test_ends_lie_within_half_a_percent_of_the_width_of_the_densitys_own(
    name: str, level: float
) -> None:
    """17 nodes of Gauss-Legendre's in arsinh, reaching up to twice as far as there is mass."""
    density = DENSITIES[name]
    lo, hi = density.ppf([(1 - level) / 2, (1 + level) / 2])
    x, share = np.polynomial.legendre.leggauss(17)
    for reach in (1.0, 1.5, 2.0):
        u = np.arcsinh(10 * reach * density.isf(3e-7)) * (1 + x) / 2
        weight = share * np.cosh(u) * density.pdf(np.sinh(u) / 10)
        found = interval_of_nodes(np.sinh(u) / 10, weight / weight.sum(), level)
        assert found == pytest.approx((lo, hi), abs=5e-3 * (hi - lo))


def test_a_gap_between_two_modes_is_not_bridged() -> None:
    values = np.array([1.0, 1.1, 1.2, 1.3, 9.0, 9.1, 9.2, 9.3])
    weight = np.array([1.0, 3, 3, 1, 1, 3, 3, 1]) / 16
    lo, hi = interval_of_nodes(values, weight, 0.9)
    assert 1.0 <= lo < 1.1
    assert 9.2 < hi <= 9.3
