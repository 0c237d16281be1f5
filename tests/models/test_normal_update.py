"""The incremental posterior is the batch posterior, in any order and in any portions."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_hb.models.normal import NormalFromObservations
from stream_hb.models.normal_update import NormalBelief, prior_belief, update
from stream_hb.statistics.moments import Moments

FAMILY = NormalFromObservations()
values = st.lists(st.floats(-100, 100), min_size=1, max_size=20)


@settings(deadline=None)
@given(values, st.floats(-100, 100), st.floats(1e-3, 1e3), st.floats(1e-2, 1e2), st.data())
def test_updates_one_by_one_and_in_batches_equal_the_batch_posterior(
    observed: list[float], mu: float, tau2: float, sigma2: float, data: st.DataObject
) -> None:
    hyper = FAMILY.condition({"mu": mu, "tau2": tau2, "sigma2": sigma2})
    groups = Moments.of(np.zeros(len(observed), dtype=np.intp), np.array(observed), 1)
    (mean,), (sd,) = FAMILY.screen(groups, hyper)
    cut = data.draw(st.integers(0, len(observed) - 1))
    belief = prior_belief(hyper)
    for value in observed[:cut]:
        belief = update(belief, value, sigma2)
    rest = observed[cut:]
    belief = update(belief, float(np.mean(rest)), sigma2, count=len(rest))
    np.testing.assert_allclose(belief.mean, mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(belief.variance, sd**2, rtol=1e-9)


def test_a_certain_belief_is_not_moved() -> None:
    assert update(NormalBelief(3.0, 0.0), 100.0, sigma2=1.0, count=9) == NormalBelief(3.0, 0.0)


def test_many_groups_are_updated_at_once() -> None:
    belief = update(
        NormalBelief(np.array([10.0, 10.0]), np.array([4.0, 4.0])),
        np.array([12.0, 8.0]),
        sigma2=9.0,
        count=np.array([10.0, 2.0]),
    )
    np.testing.assert_allclose(belief.mean, [11.633, 9.059], atol=5e-4)
    np.testing.assert_allclose(belief.variance, [0.7347, 2.1176], atol=5e-5)
