import numpy as np

from stream_hb.statistics.counts import Counts
from stream_hb.statistics.summary import ExactSummary


def summary(*trials: float) -> ExactSummary[Counts]:
    return ExactSummary(Counts(np.zeros(len(trials)), np.array(trials)))


def test_a_merge_keeps_every_group() -> None:
    merged = summary(3, 1).merge(summary()).merge(summary(2))
    assert merged.groups.trials.tolist() == [3, 1, 2]
    assert merged.groups_count == 3
