"""How often does a rule ever stop an experiment that is looked at after every batch?

Every look goes through the feed itself (``analysis.look``) with its own memory in between.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from stream_hb.feeds.experiments.analysis import Look, Seen, look
from stream_hb.feeds.experiments.declaration import Experiment
from stream_hb.feeds.experiments.outcomes import METRICS
from stream_hb.feeds.experiments.state import State
from tests.study_experiments.worlds import DAY_MS, START_MS, Traffic, declared, rows_of

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Ever:
    """Which experiments were ever stopped, by metric; arrays of shape (experiments,).

    Attributes
    ----------
    sequence
        By the feed: always-valid p at most alpha.
    fixed
        By the z rule: a fixed p below alpha at some look.
    shipped
        By a decision to ship or to roll back.
    """

    sequence: dict[str, Bools] = field(default_factory=dict)
    fixed: dict[str, Bools] = field(default_factory=dict)
    shipped: dict[str, Bools] = field(default_factory=dict)


def watch_stores(
    experiment: Experiment, traffic: Traffic, looks: int, random: np.random.Generator
) -> Ever:
    """Watch as many experiments as there are rows: one in each store, whose evidence is its own."""
    state, rows = State.fresh(experiment), len(traffic.rates)
    fixed = {metric: np.zeros(rows, np.bool_) for metric in METRICS}
    for day, statistics in enumerate(traffic.looks(looks, random), 2):
        seen = Seen(statistics, statistics.units, START_MS + day * DAY_MS)
        state, found = look(experiment, state, seen)
        for metric in METRICS:
            fixed[metric] |= _fixed(found, metric, experiment.alpha)[1:]
    p = {metric: state.p[i, 1:, 0] for i, metric in enumerate(experiment.analysed)}
    return Ever({metric: p[metric] <= experiment.alpha for metric in METRICS}, fixed)


def watch_guardrail(
    margin: float, traffic: Traffic, looks: int, random: np.random.Generator
) -> tuple[Bools, Bools]:
    """Tell which experiments' guardrail on conversion ever passed, and which ever failed."""
    experiment = replace(declared(), metrics=("conversion",))
    state, rows = State.fresh(experiment), len(traffic.rates)
    passed, failed = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
    for day, statistics in enumerate(traffic.looks(looks, random), 2):
        seen = Seen(statistics, statistics.units, START_MS + day * DAY_MS)
        state, found = look(experiment, state, seen)
        lower, upper = (end[1:, 0] for end in found.metrics["conversion"].evidence.bounds)
        passed |= lower > -margin
        failed |= upper < -margin
    return passed, failed


def watch_chains(
    experiment: Experiment,
    traffic: Traffic,
    stores: int,
    looks: int,
    random: np.random.Generator,
) -> Ever:
    """Watch experiments of several stores each: their evidence is the chain's."""
    count = len(traffic.rates) // stores
    states = [State.fresh(experiment)] * count
    fixed = {metric: np.zeros(count, np.bool_) for metric in METRICS}
    shipped = np.zeros(count, np.bool_)
    for day, statistics in enumerate(traffic.looks(looks, random), 2):
        for i in range(count):
            mine = rows_of(statistics, slice(i * stores, (i + 1) * stores))
            seen = Seen(mine, mine.units, START_MS + day * DAY_MS)
            states[i], found = look(experiment, states[i], seen)
            shipped[i] |= found.decision.action in ("ship", "rollback")
            for metric in METRICS:
                fixed[metric][i] |= _fixed(found, metric, experiment.alpha)[0]
    p = np.array([state.p[:, 0, 0] for state in states])
    sequence = {metric: p[:, i] <= experiment.alpha for i, metric in enumerate(METRICS)}
    return Ever(sequence, fixed, {experiment.metrics[0]: shipped})


def _fixed(found: Look, metric: str, alpha: float) -> Bools:
    evidence = found.metrics[metric].evidence
    variance = np.where(evidence.enough[:, 0], evidence.absolute.variance[:, 0], np.inf)
    z = np.nan_to_num(evidence.absolute.effect[:, 0]) / np.sqrt(variance)
    rejected: Bools = 2 * ndtr(-np.abs(z)) < alpha
    return rejected
