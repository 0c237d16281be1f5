"""Many stores are tested at once: which of them fire (e-detectors under Benjamini-Hochberg)."""

import numpy as np

from stream_hb.feeds.drift.columns import Bools
from stream_hb.statistics.columns import Floats


def firing(log_statistic: Floats, log_threshold: float, peers_max: int) -> tuple[Bools, float]:
    r"""Return which stores fire, and the (log) threshold that they had to reach.

    The k largest fire, k the largest number with :math:`k S_{(k)} \ge A` (e-BH,
    doi:10.1111/rssb.12489, on e-detectors, doi:10.48550/arXiv.2501.04130). The share of false ones
    among those that fire is then no more than J t/A on average after t ticks. A store that fires
    alone does so no more than once in A ticks, one of k no more than once in A/k; k counts for no
    more than ``peers_max``, so that many true drifts do not open the door to false ones.

    >>> firing(np.log([100.0, 30.0, 60.0, 1.0]), np.log(100.0), peers_max=10)[0]
    array([ True, False,  True, False])
    >>> firing(np.log([100.0, 30.0, 60.0, 1.0]), np.log(100.0), peers_max=1)[0]
    array([ True, False, False, False])
    """
    order = np.argsort(-log_statistic, kind="stable")
    rank = np.log(np.minimum(np.arange(1, len(order) + 1), peers_max))
    enough = np.flatnonzero(rank + log_statistic[order] >= log_threshold)
    if not len(enough):
        return np.zeros(len(order), bool), log_threshold
    last = int(enough[-1])
    fires = np.zeros(len(order), bool)
    fires[order[: last + 1]] = True
    return fires, float(log_threshold - rank[last])
