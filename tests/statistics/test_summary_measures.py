"""Every measure that a binned summary keeps, against its groups: a fit may hide a lost one."""

from typing import Any

import numpy as np
import pytest

from stream_hb.statistics.columns import Floats
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.counts_summary import CountsSummary
from stream_hb.statistics.covariate_summary import CovariateSummary
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.exposure_summary import ExposureSummary
from stream_hb.statistics.histogram import Histogram
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.measured_summary import MeasuredSummary
from stream_hb.statistics.moments import Moments
from stream_hb.statistics.moments_summary import MomentsSummary

RNG = np.random.default_rng(17)
N = 10 ** RNG.uniform(1, 2, 200)
Y = N * RNG.uniform(0.1, 0.9, 200)
MEAN = RNG.normal(1e3, 2.0, 200)
X = RNG.normal(50.0, 3.0, (200, 1))
ORIGIN = np.array([48.0, 999.0])

GROUPS: dict[Any, Any] = {
    CountsSummary: Counts(Y, N),
    ExposureSummary: Exposure(Y, N),
    MeasuredSummary: Measured(MEAN, 1 / N),
    MomentsSummary: Moments(N, MEAN, 0.5 * N),
}


def measures(summary: Any) -> list[tuple[Histogram, Floats, list[Floats]]]:
    """Return each histogram of a summary with its values and weights, group by group."""
    one = np.ones_like(N)
    if isinstance(summary, CountsSummary):
        return [
            (summary.successes, Y, [one]),
            (summary.failures, N - Y, [one]),
            (summary.trials, N, [one, Y]),
        ]
    if isinstance(summary, ExposureSummary):
        return [(summary.events, Y, [one]), (summary.exposure, N, [one, Y])]
    z = MEAN - summary.means.origin
    return [(summary.means.histogram, N, [one, z, z**2])]


def assert_is(histogram: Histogram, x: Floats, weights: list[Floats]) -> None:
    """Polynomials to the fourth degree are exact; a lost moment leaves 1e-8 of the fourth."""
    nodes, at_nodes = histogram.weighing()
    assert len(at_nodes) == len(weights)
    for measure, weight in zip(at_nodes, weights, strict=True):
        for power in range(5):
            found, expected = (measure * nodes**power).sum(), (weight * x**power).sum()
            assert abs(found - expected) < 1e-12 * (np.abs(weight) * x**power).sum(), power


@pytest.mark.parametrize("kind", GROUPS)
def test_every_measure_keeps_its_moments_zero_to_four(kind: Any) -> None:
    for histogram, x, weights in measures(kind.of(GROUPS[kind])):
        assert_is(histogram, x, weights)


@pytest.mark.parametrize("kind", GROUPS)
def test_what_is_taken_out_leaves_every_measure_and_every_total(kind: Any) -> None:
    groups = GROUPS[kind]
    more = groups.take(np.arange(0, 200, 3))
    more = type(more)(*(1.3 * column for column in more.columns().values()))
    nothing = groups.take(slice(0))
    before = kind.of(groups)
    after = before.exchange(nothing, more).exchange(more, nothing)
    for histogram, x, weights in measures(after):
        assert_is(histogram, x, weights)
    for name, value in before.totals._asdict().items():
        assert getattr(after.totals, name) == pytest.approx(value, rel=1e-11), name


@pytest.mark.parametrize("groups", [Measured(MEAN, 1 / N), Moments(N, MEAN, 0.5 * N)])
def test_a_summary_with_covariates_keeps_every_product_and_lets_go_of_it(groups: Any) -> None:
    x, z = X[:, 0] - ORIGIN[0], MEAN - ORIGIN[1]
    products = [np.ones_like(x), x, z, x * x, x * z, z * z]
    before = CovariateSummary.empty(ORIGIN).add(groups, X)
    assert_is(before.histogram, N, products)
    more = groups.take(slice(0, 60)), X[:60] + 1.0
    nothing = groups.take(slice(0)), X[:0]
    after = before.exchange(nothing, more).exchange(more, nothing)
    assert_is(after.histogram, N, products)
    np.testing.assert_allclose(after.totals, before.totals, rtol=1e-11)
