"""How often does a rule ever stop an experiment that is looked at after every batch?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from stream_hb.feeds.experiments.analysis import Seen, look
from stream_hb.feeds.experiments.outcomes import METRICS
from stream_hb.feeds.experiments.state import State
from stream_hb.statistics.columns import Floats
from tests.study_experiments.worlds import START_MS, Traffic, declared

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Ever:
    """Which experiments a rule ever stopped, by metric; arrays of shape (experiments,).

    Attributes
    ----------
    sequence
        The feed: always-valid p at most alpha at some look.
    fixed
        The z rule: fixed p below alpha at some look.
    chain
        Whether the chain, all experiments taken together, was ever stopped.
    """

    sequence: dict[str, NDArray[np.bool_]]
    fixed: dict[str, NDArray[np.bool_]]
    chain: dict[str, bool]


def watch(
    traffic: Traffic, looks: int, random: np.random.Generator, units: float = 5_000.0
) -> Ever:
    """Drive the feed (``analysis.look``) look after look, with its own state between."""
    experiment = declared(units=units)
    state = State.fresh(experiment)
    fixed = {metric: np.zeros(len(traffic.effects), np.bool_) for metric in METRICS}
    found = None
    for day, statistics in enumerate(traffic.looks(looks, random), 1):
        seen = Seen(statistics, statistics.units, START_MS + (day + 1) * DAY_MS)
        state, found = look(experiment, state, seen)
        for metric in METRICS:
            evidence = found.metrics[metric].evidence
            z = evidence.absolute.effect[1:, 0] / np.sqrt(evidence.absolute.variance[1:, 0])
            fixed[metric] |= evidence.enough[1:, 0] & (2 * ndtr(-np.abs(z)) < experiment.alpha)
    assert found is not None
    p: dict[str, Floats] = {metric: found.metrics[metric].p[:, 0] for metric in METRICS}
    alpha = experiment.alpha
    return Ever(
        {metric: p[metric][1:] <= alpha for metric in METRICS},
        fixed,
        {metric: bool(p[metric][0] <= alpha) for metric in METRICS},
    )
