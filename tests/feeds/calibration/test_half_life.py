"""Which half-life is chosen, and what it takes to change it."""

import numpy as np
from numpy.testing import assert_allclose

from stream_hb.feeds.calibration.half_life import Candidates, chosen
from stream_hb.statistics.columns import Floats

DAY_MS = 86_400_000
MEMORY_MS = 30 * DAY_MS


def summed(log_scores: Floats) -> Candidates:
    """Sums over days of scores (days, half-lives, groups)."""
    state = Candidates.zeros(MEMORY_MS, log_scores.shape[1])
    for day, scores in enumerate(log_scores):
        state = state.merge(Candidates.of(MEMORY_MS, (day + 1) * DAY_MS, scores))
    return state


def noisy(random: np.random.Generator, days: int, better: float, shared: float) -> Floats:
    """Two half-lives whose scores differ by ``better`` and noise that the day's stores share."""
    base = random.normal(-3.0, 1.0, (days, 1, 50))
    noise = random.normal(0.0, shared, (days, 1, 1)) + random.normal(0.0, 0.1, (days, 1, 50))
    return np.concatenate([base, base + better + noise], axis=1)


def test_equals_do_not_take_turns_though_their_stores_share_each_days_luck() -> None:
    """Two standard errors: of 60 comparisons of equals about 2.3 % may be wrong."""
    random = np.random.default_rng(8)
    wrong = sum(chosen(summed(noisy(random, 90, 0.0, 0.1)), 0) for _ in range(60))
    assert wrong <= 6


def test_the_better_one_is_found() -> None:
    random = np.random.default_rng(9)
    found = sum(chosen(summed(noisy(random, 90, 0.06, 0.1)), 0) for _ in range(20))
    assert found >= 18


def test_the_standard_error_is_that_of_the_mean_over_ticks() -> None:
    """Against the plain formula, days of one size and no fading to speak of."""
    random = np.random.default_rng(10)
    scores = noisy(random, 400, 0.02, 0.1)
    state = Candidates.zeros(10**7 * DAY_MS, 2)
    for day, one in enumerate(scores):
        state = state.merge(Candidates.of(10**7 * DAY_MS, (day + 1) * DAY_MS, one))
    gain, error = state.gain(0)
    daily = (scores[:, 1] - scores[:, 0]).mean(axis=1)
    assert_allclose(gain[1], daily.mean(), rtol=1e-4)
    assert_allclose(error[1], daily.std() / np.sqrt(400), rtol=1e-3)
    assert gain[0] == error[0] == 0.0


def test_what_one_has_is_kept_before_there_are_ticks_to_judge_by() -> None:
    assert chosen(Candidates.zeros(MEMORY_MS, 3), 2) == 2
    assert chosen(summed(noisy(np.random.default_rng(1), 3, 5.0, 0.1)), 0) == 0


def test_the_choice_follows_the_stream() -> None:
    """After a change the other becomes better: the sums fade, and the choice is reversed."""
    random = np.random.default_rng(11)
    scores = np.concatenate([noisy(random, 90, 0.1, 0.1), noisy(random, 120, -0.1, 0.1)])
    assert chosen(summed(scores[:90]), 0) == 1
    assert chosen(summed(scores), 1) == 0
