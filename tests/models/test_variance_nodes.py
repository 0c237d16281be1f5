"""Nodes of each group's own variance: what is known, what is capped, what is borrowed."""

import math

import numpy as np
import pytest

from stream_hb.models.moderation import VariancePrior
from stream_hb.models.variance_nodes import own_variances, sampling_variance, variance_nodes
from stream_hb.statistics.moments import Moments

GROUPS = Moments(np.array([4.0, 11.0, 1.0]), np.array([1.0, 2.0, 3.0]), np.array([6.0, 40.0, 0.0]))


def test_variances_that_a_prior_knows_for_sure_are_one_node() -> None:
    """d0 infinite, and the degrees of freedom not known to be few: nothing is left to integrate."""
    nodes = variance_nodes(GROUPS, VariancePrior(math.inf, 3.0))
    assert nodes.variance.tolist() == [[0.75], [3 / 11], [3.0]]
    assert nodes.log_share is not None
    assert nodes.log_share.tolist() == [[0.0]] * 3


def test_no_variance_is_known_better_than_all_groups_together_know_it() -> None:
    """limma's eBayes: df.total is at most the pooled degrees of freedom, 3 + 10 here."""
    for prior_degrees in (8.0, 1e3, math.inf):
        _, degrees = own_variances(GROUPS, VariancePrior(prior_degrees, 3.0, 13.0))
        assert degrees.tolist() == [min(d + prior_degrees, 13.0) for d in (3.0, 10.0, 0.0)]


def test_a_group_without_a_variance_borrows_the_pools_with_all_its_degrees() -> None:
    variance, degrees = own_variances(GROUPS, VariancePrior(0.0, 3.0, 13.0))
    assert variance.tolist() == [2.0, 4.0, 3.0]
    assert degrees.tolist() == [3.0, 10.0, 13.0]


@pytest.mark.parametrize("prior_degrees", [0.0, 5.0])
def test_the_nodes_are_the_scaled_inverse_chi_squared(prior_degrees: float) -> None:
    """Precisions: E[1/σ²] is 1/s² whatever the degrees; their mass is 1."""
    prior = VariancePrior(prior_degrees, 3.0, 13.0)
    nodes = variance_nodes(GROUPS, prior)
    assert nodes.log_share is not None
    share = np.exp(nodes.log_share)
    np.testing.assert_allclose(share.sum(axis=1), 1.0, rtol=2e-3)
    mean = (share / nodes.variance).sum(axis=1)
    np.testing.assert_allclose(mean, 1 / sampling_variance(GROUPS, prior), rtol=5e-3)
