"""A short run of the coverage benchmark: bounds are its own Monte-Carlo error."""

import pytest

from tests.benchmarks.variance_coverage import TRUTHS, coverage


@pytest.mark.parametrize(
    ("model", "truth"),
    [
        ("normal", "one variance"),
        ("normal-moderated", "one variance"),
        ("normal-moderated", "own variances"),
        ("normal-separate", "own variances"),
    ],
)
def test_intervals_cover_at_three_to_five_observations(model: str, truth: str) -> None:
    found = coverage(model, "bayes", TRUTHS[truth], replicates=30, seed=7)
    assert abs(found.share - 0.95) <= 4 * found.error
