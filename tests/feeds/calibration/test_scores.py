"""Coverage and PIT are what they should be where the prediction is right."""

from functools import cache

import numpy as np

from stream_hb.feeds.calibration.beta_binomial import BetaBinomialKernels
from stream_hb.feeds.calibration.lattice import CountPredictive
from stream_hb.feeds.calibration.pit import uniforms
from stream_hb.feeds.calibration.scores import BINS, LEVELS, Scores, covered, histogram

GROUPS = 40_000


@cache
def few_orders() -> Scores:
    """Counts drawn from their own predictive, of mean 1.5: more than half of them are 0 or 1."""
    random = np.random.default_rng(20261127)
    n = random.integers(5, 55, GROUPS)
    y = random.binomial(n, random.beta(3.0, 57.0, GROUPS)).astype(np.float64)
    one = np.full((1, GROUPS), 3.0), np.full((1, GROUPS), 57.0)
    kernels = BetaBinomialKernels(*one, n.astype(np.float64))
    return CountPredictive(kernels, np.ones(1)).scores(y)


DRAWS = uniforms([str(i) for i in range(GROUPS)], "main", "conversion", 1)


def test_randomised_pits_are_uniform_under_the_truth() -> None:
    """χ² of 20 bins has 19 degrees of freedom: above 43.8 once in 1,000 uniform samples."""
    expected = GROUPS / BINS
    chi2 = ((histogram(few_orders().pit(DRAWS)) - expected) ** 2 / expected).sum()
    assert chi2 < 43.8


def test_pits_that_are_not_randomised_would_not_be_uniform() -> None:
    """The mistake: v = 1 for all. The same test tells."""
    expected = GROUPS / BINS
    chi2 = ((histogram(few_orders().pit(np.ones(GROUPS))) - expected) ** 2 / expected).sum()
    assert chi2 > 1_000


def test_intervals_of_few_counts_cover_what_they_say() -> None:
    """Within 3.5 Monte-Carlo standard errors (.0025 at .5), though counts are 0, 1 or 2 mostly."""
    share = covered(few_orders().pit(DRAWS)).mean(axis=1)
    for level, found in zip(LEVELS, share, strict=True):
        error = np.sqrt(level * (1 - level) / GROUPS)
        assert abs(found - level) < 3.5 * error, f"{found:.4f} of {level}"


def test_a_pit_without_randomisation_covers_something_else() -> None:
    share = covered(few_orders().pit(np.ones(GROUPS))).mean(axis=1)
    assert np.abs(share - np.array(LEVELS)).max() > 0.02


def test_the_truth_scores_best_on_average() -> None:
    """Proper scores: neither a narrower nor a wider belief than the one that drew scores better."""
    random = np.random.default_rng(5)
    n = np.full(20_000, 40.0)
    y = random.binomial(40, random.beta(3.0, 57.0, 20_000)).astype(np.float64)

    def mean_scores(scale: float) -> tuple[float, float]:
        a, b = (np.full((1, len(n)), x * scale) for x in (3.0, 57.0))
        scores = CountPredictive(BetaBinomialKernels(a, b, n), np.ones(1)).scores(y)
        return float(scores.log_score.mean()), float(-scores.crps.mean())

    truth = mean_scores(1.0)
    for scale in (0.4, 3.0):
        wrong = mean_scores(scale)
        assert truth[0] > wrong[0]
        assert truth[1] > wrong[1]
