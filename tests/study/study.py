"""One cell of the study: pools are drawn, fitted from their summary, and judged by the truth."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_hb.models.family import Family, Posterior
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.columns import Floats
from tests.study.worlds import World, pooled_mean

LEVELS = (0.5, 0.8, 0.95)


@dataclass(frozen=True, slots=True)
class Replicates:
    """What the pools of a cell gave.

    Attributes
    ----------
    world
        What they were drawn from.
    covered
        By method: share of a pool's groups whose interval holds the truth, shape (pools, levels).
    squared_error
        By estimator (the methods, ``raw``, ``pooled``, ``oracle``): mean over a pool's groups,
        shape (pools,).
    """

    world: World
    covered: dict[str, Floats]
    squared_error: dict[str, Floats]

    def coverage(self, method: str) -> tuple[Floats, Floats]:
        """Return coverage and its standard error by level; the error is over pools, not groups."""
        shares = self.covered[method]
        return shares.mean(0), shares.std(0, ddof=1) / np.sqrt(len(shares))

    def mean_squared_error(self, estimator: str) -> float:
        """Return an estimator's mean squared error."""
        return float(self.squared_error[estimator].mean())


def run(world: World, pools: int, seed: tuple[int, ...]) -> Replicates:
    """Draw and judge the pools of a cell; the answer is a function of the arguments."""
    random = np.random.default_rng(seed)
    judged = [_judge(world, random) for _ in range(pools)]
    covered = {
        method: np.array([one[0][method] for one in judged]) for method in world.kind.methods
    }
    errors = {name: np.array([one[1][name] for one in judged]) for name in judged[0][1]}
    return Replicates(world, covered, errors)


def _judge(world: World, random: np.random.Generator) -> tuple[dict[str, Floats], dict[str, float]]:
    """Return one pool's covered shares by method and its squared errors by estimator."""
    family, drawn = FAMILIES[world.family], world.draw(random)
    # Binned at any number of groups: what a stream's large pools are fitted from.
    summary = world.kind.summary.of(drawn.groups)
    covered, means = {}, {"pooled": np.full(len(drawn.theta), pooled_mean(drawn.groups))}
    for method in world.kind.methods:
        hyper = family.fit(summary, method, world.prior).hyper
        posteriors = [family.posterior(drawn.groups, hyper, level) for level in LEVELS]
        covered[method] = np.array([_share(one, drawn.theta) for one in posteriors])
        means[method], means["raw"] = posteriors[-1].mean, posteriors[-1].raw
    means["oracle"] = _knowing(family, drawn.groups, drawn.given)
    return covered, {
        name: float(((mean - drawn.theta) ** 2).mean()) for name, mean in means.items()
    }


def _share(posterior: Posterior, theta: Floats) -> float:
    return float(((posterior.lo <= theta) & (theta <= posterior.hi)).mean())


def _knowing(family: Family[Any, Any], groups: Any, given: dict[str, float]) -> Floats:
    """Return the estimates of the oracle that knows the hyperparameters."""
    return family.screen(groups, family.condition(given))[0]
