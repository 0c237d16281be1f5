"""Scaling the hyperprior by powers: the same nodes, weighted anew."""

import numpy as np
import pytest

from stream_hb.models.sensitivity import Sensitivity

GRID = np.linspace(1e-4, 12, 20_001)


def test_a_posterior_that_is_its_prior_scales_as_the_prior_does() -> None:
    """A half-normal to the power p is a half-normal with its scale divided by √p."""
    log_prior = -0.5 * GRID**2
    weight = np.exp(log_prior) / np.exp(log_prior).sum()
    sensitivity = Sensitivity.of(GRID, weight, log_prior)
    mean = np.sqrt(2 / np.pi)
    assert sensitivity.spread == pytest.approx(mean, rel=1e-3)
    assert sensitivity.halved == pytest.approx(mean * np.sqrt(2), rel=1e-3)
    assert sensitivity.doubled == pytest.approx(mean / np.sqrt(2), rel=1e-3)
    sd = np.sqrt(1 - 2 / np.pi)
    assert sensitivity.shift_halved == pytest.approx(mean * (np.sqrt(2) - 1) / sd, rel=1e-3)
    assert sensitivity.shift_doubled == pytest.approx(mean * (np.sqrt(0.5) - 1) / sd, rel=1e-3)


def test_a_flat_prior_moves_nothing() -> None:
    weight = np.array([[0.2, 0.3], [0.1, 0.4]])
    sensitivity = Sensitivity.of(np.array([[1.0, 2.0], [3.0, 4.0]]), weight, np.zeros((2, 2)))
    np.testing.assert_allclose(sensitivity.halved_weight, weight)
    assert sensitivity.shift_halved == pytest.approx(0)
    assert sensitivity.shift_doubled == pytest.approx(0)


def test_nodes_that_the_prior_excludes_stay_out() -> None:
    log_prior = np.array([0.0, -np.inf, -1.0])
    sensitivity = Sensitivity.of(np.arange(3.0), np.array([0.5, 0.0, 0.5]), log_prior)
    assert sensitivity.halved_weight[1] == 0
    assert sensitivity.halved_weight.sum() == pytest.approx(1)


def test_one_node_alone_has_nothing_to_shift() -> None:
    sensitivity = Sensitivity.of(np.array([0.3]), np.array([1.0]), np.array([-2.0]))
    assert (sensitivity.shift_halved, sensitivity.shift_doubled) == (0, 0)
