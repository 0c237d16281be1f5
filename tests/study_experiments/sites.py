"""Effects in the stores of a chain: how far are they off, and do their intervals hold the truth?"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from stream_hb.feeds.experiments.arm_statistics import ArmStatistics
from stream_hb.feeds.experiments.store_belief import store_beliefs
from stream_hb.statistics.columns import Floats
from tests.reference.reml_blup import reml_blups
from tests.study_experiments.worlds import declared

EFFECT = 0.05
"""Mean effect of a store, on the logit."""


@dataclass(frozen=True, slots=True)
class Sites:
    """What the chains of one cell gave, an entry each.

    Attributes
    ----------
    stores, tau
        The cell: stores of a chain, and the sd of their effects.
    error
        Mean squared error of the feed's estimates, shape (chains,).
    error_reml, error_integrated, error_cells
        The same of metafor's REML blup, of the posterior with everything integrated, and of cells
        shrunk one by one and subtracted.
    covered
        Share of the stores whose 95 % interval holds the truth.
    covered_plug_in
        The same of blup ± 1.96 se.
    """

    stores: int
    tau: float
    error: Floats
    error_reml: Floats
    error_integrated: Floats
    error_cells: Floats
    covered: Floats
    covered_plug_in: Floats

    def ratio(self, other: Floats) -> float:
        """Return the feed's root mean squared error over another's."""
        return float(np.sqrt(self.error.mean() / other.mean()))

    def coverage(self) -> tuple[float, float]:
        """Return the coverage and its Monte-Carlo error, over chains."""
        return float(self.covered.mean()), float(
            self.covered.std(ddof=1) / len(self.covered) ** 0.5
        )


def run_cell(stores: int, tau: float, chains: int, seed: tuple[int, ...]) -> Sites:
    """Draw and judge the chains of a cell; the answer is a function of the arguments."""
    random = np.random.default_rng(seed)
    judged = np.array([_judge(stores, tau, random) for _ in range(chains)])
    return Sites(stores, tau, *judged.T)


def _judge(stores: int, tau: float, random: np.random.Generator) -> tuple[float, ...]:
    """Return errors and coverages of one chain: 2,000 visits an arm at the median, base .05."""
    n = np.round(random.lognormal(np.log(2_000), 0.8, (stores, 1))) * np.ones((stores, 2)) + 1
    base = logit(0.05) + random.normal(0, 0.3, stores)
    effect = EFFECT + tau * random.normal(size=stores)
    rates = expit(base[:, None] + effect[:, None] * np.array([-0.5, 0.5]))
    y = random.binomial(n.astype(np.int64), rates).astype(np.float64)
    belief = store_beliefs(declared(), ArmStatistics.of_totals(n, y, y), "conversion", 0)
    assert belief.sites is not None
    found, integrated = belief.sites.stores, belief.sites.integrated
    reml = reml_blups(belief.contrasts.mean, belief.contrasts.variance)
    cells = _shrunk_cell(y[:, 1], n[:, 1]) - _shrunk_cell(y[:, 0], n[:, 0])
    estimates = (found.mean, reml.blup, integrated.mean, cells)
    plug_in = np.abs(effect - reml.blup) <= 1.959964 * reml.blup_se
    errors = (float(((estimate - effect) ** 2).mean()) for estimate in estimates)
    inside = (found.lo <= effect) & (effect <= found.hi)
    return (*errors, float(inside.mean()), float(plug_in.mean()))


def _shrunk_cell(y: Floats, n: Floats) -> Floats:
    """Shrink an arm's logits by themselves: what must not be subtracted."""
    level = np.log((y + 0.5) / (n - y + 0.5))
    return reml_blups(level, 1 / (y + 0.5) + 1 / (n - y + 0.5)).blup
