"""Is a posterior right about its errors where its prior is? (§1.5 item 4.)"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from stream_hb.feeds.experiments.analysis import Seen, look
from stream_hb.feeds.experiments.belief import believed_lift
from stream_hb.feeds.experiments.lift import LiftPrior
from stream_hb.feeds.experiments.state import State
from tests.study_experiments.worlds import DAY_MS, START_MS, Traffic, declared

PRIOR = LiftPrior(0.0, 0.1)
SURE = 0.95


@dataclass(frozen=True, slots=True)
class Stops:
    """Experiments with effects drawn from the prior, each stopped once its sign is 95 % sure.

    Attributes
    ----------
    stopped, wrong
        How many of how many stopped, and how many of these with the wrong sign, by prior.
    """

    experiments: int
    stopped: dict[str, int]
    wrong: dict[str, int]

    def share(self, prior: str) -> float:
        """Return the share of wrong signs among the stops."""
        return self.wrong[prior] / max(self.stopped[prior], 1)


def run_stops(experiments: int, looks: int, seed: int) -> Stops:
    """Look daily at conversion, and stop at the first look at which P(best) is above .95."""
    random = np.random.default_rng(seed)
    effects = random.normal(PRIOR.mean, PRIOR.sd, experiments)
    traffic = Traffic.of(experiments, 667.0, relative=effects)
    experiment = replace(declared(), metrics=("conversion",), prior=PRIOR)
    state = State.fresh(experiment)
    sign = {"right": np.zeros(experiments), "flat": np.zeros(experiments)}
    for day, statistics in enumerate(traffic.looks(looks, random), 2):
        seen = Seen(statistics, statistics.units, START_MS + day * DAY_MS)
        state, found = look(experiment, state, seen)
        means = found.metrics["conversion"].evidence
        for name, prior in (("right", PRIOR), ("flat", None)):
            believing = replace(experiment, prior=prior)
            posterior = believed_lift(believing, means.control, means.arm, is_log=False)
            best = ndtr(posterior.effect / np.sqrt(posterior.variance))[1:, 0]
            now = np.where(best > SURE, 1, np.where(best < 1 - SURE, -1, 0))
            sign[name] = np.where(sign[name] == 0, now, sign[name])
    stopped = {name: int((one != 0).sum()) for name, one in sign.items()}
    wrong = {name: int((one * np.sign(effects) < 0).sum()) for name, one in sign.items()}
    return Stops(experiments, stopped, wrong)
