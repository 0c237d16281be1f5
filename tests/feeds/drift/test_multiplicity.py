import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_hb.feeds.drift.multiplicity import firing

STATISTICS = st.lists(st.floats(-5, 15), min_size=1, max_size=30)


@given(STATISTICS, st.floats(0, 12), st.integers(1, 30))
def test_the_largest_number_fires_that_may(
    logs: list[float], log_threshold: float, peers_max: int
) -> None:
    values = np.array(logs)
    fires, reached = firing(values, log_threshold, peers_max)
    ordered = np.sort(values)[::-1]
    most = 0
    for k in range(1, len(values) + 1):
        if np.log(min(k, peers_max)) + ordered[k - 1] >= log_threshold:
            most = k
    assert fires.sum() == most
    if most:
        assert values[fires].min() >= np.max(values[~fires], initial=-np.inf)
        assert reached >= log_threshold - np.log(peers_max)


@given(STATISTICS, st.floats(0, 12))
def test_no_store_fires_below_a_tenth_of_its_own_threshold(
    logs: list[float], log_threshold: float
) -> None:
    values = np.array(logs)
    fires, _ = firing(values, log_threshold, peers_max=10)
    assert (values[fires] >= log_threshold - np.log(10) - 1e-12).all()
