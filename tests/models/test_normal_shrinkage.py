"""A group's posterior given one kernel, the location's uncertainty in it, against plain sums."""

import numpy as np

from stream_hb.models.normal_nodes import Kernels
from stream_hb.models.normal_shrinkage import Variances, screen
from stream_hb.statistics.columns import Floats

MEAN, MU, MU_SD, TAU = 4.0, 1.0, 1.5, 0.4
KERNEL = Kernels(*(np.array([x]) for x in (MU, MU_SD, TAU, 1.0, 1.0)))
NODES, SHARE = np.array([0.1, 1.0, 12.0]), np.array([0.3, 0.5, 0.2])


def marginal(variance: float) -> float:
    """Return the density of the mean at a variance: θ ~ N(μ, τ²) with μ ~ N(1, 1.5²), on a grid."""
    theta, mu = np.meshgrid(np.linspace(-12, 14, 2601), np.linspace(-9, 11, 401))
    density: Floats = (
        _normal(mu - MU, MU_SD) * _normal(theta - mu, TAU) * _normal(MEAN - theta, variance**0.5)
    )
    return float(density.sum())


def _normal(z: Floats, sd: float) -> Floats:
    density: Floats = np.exp(-0.5 * (z / sd) ** 2) / sd
    return density


def test_a_known_variance_leaves_the_locations_own_in_the_sd() -> None:
    mean, sd = screen(np.array([MEAN]), Variances(np.array([[0.9]])), KERNEL)
    np.testing.assert_allclose(mean, MU + TAU**2 / (TAU**2 + 0.9) * (MEAN - MU), rtol=1e-12)
    # The kernel's μ is what all groups say, this one among them: its sd is added, not updated.
    pull = 0.9 / (0.9 + TAU**2)
    np.testing.assert_allclose(sd, np.sqrt(pull * TAU**2 + (pull * MU_SD) ** 2), rtol=1e-12)


def test_nodes_of_a_variance_are_weighed_by_the_mean_with_the_locations_own_uncertainty() -> None:
    """Would fail if a mean far from μ were laid to its variance alone, and not to μ's error."""
    mean, sd = screen(np.array([MEAN]), Variances(NODES[np.newaxis], np.log(SHARE)[None]), KERNEL)
    weight = SHARE * [marginal(variance) for variance in NODES]
    weight /= weight.sum()
    pull = NODES / (NODES + TAU**2)
    centre = MU + (1 - pull) * (MEAN - MU)
    variance = pull * TAU**2 + (pull * MU_SD) ** 2
    expected = weight @ centre
    np.testing.assert_allclose(mean, expected, rtol=1e-6)
    np.testing.assert_allclose(
        sd, np.sqrt(weight @ (variance + (centre - expected) ** 2)), rtol=1e-6
    )
