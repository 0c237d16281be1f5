import numpy as np

from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure


def test_counts_stay_exact_where_a_float_holds_every_whole_number() -> None:
    many = Counts(np.array([2.0**52]), np.array([2.0**53 - 1]))
    one = Counts(np.array([1.0]), np.array([1.0]))
    assert many.merge(one).trials[0] == 2**53
    assert many.merge(one).remove(one).successes[0] == 2**52


def test_events_may_exceed_their_exposure() -> None:
    exposure = Exposure.of(np.array([0, 0]), np.array([5.0, 2.0]), np.array([1.0, 0.5]), 1)
    assert (exposure.events[0], exposure.exposure[0]) == (7, 1.5)
