"""Fits from binned summaries are those from the groups."""

import math
from typing import Any

import numpy as np
import pytest

from stream_hb.models.beta_binomial import BetaBinomial
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.counts_summary import CountsSummary
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.exposure_summary import ExposureSummary
from stream_hb.statistics.summary import ExactSummary
from tests.benchmarks.summary_grid import Case, cases, compare

GRID = list(cases((10, 300, 4_000), seed=29))


@pytest.mark.parametrize("family", sorted({case.family for case in GRID}))
def test_hyperparameters_are_within_a_millionth_and_boundaries_agree(family: str) -> None:
    for case in GRID:
        if case.family == family:
            outcome = compare(case)
            assert outcome.boundary_agrees, case.name
            assert outcome.location < 1e-6, (case.name, outcome)
            assert outcome.spread < 1e-6, (case.name, outcome)
            assert outcome.log_likelihood < 1e-6, (case.name, outcome)


def test_moments_agree() -> None:
    for case in cases((400,), seed=2):
        if case.method == "ml":
            outcome = compare(Case(case.family, "moments", case.name, case.groups))
            assert outcome.boundary_agrees
            assert max(outcome.location, outcome.spread) < 1e-9, (case, outcome)


def test_boundary_decisions_agree_near_the_boundary() -> None:
    rng = np.random.default_rng(8)
    seen = 0
    for _ in range(60):
        n = np.ceil(np.exp(rng.normal(4, 1.5, 40)))
        groups = Counts(rng.binomial(n.astype(int), rng.beta(40, 400, 40)).astype(float), n)
        exact = BetaBinomial().fit(ExactSummary(groups), "ml")
        binned = BetaBinomial().fit(CountsSummary.of(groups), "ml")
        assert (exact.boundary, exact.bimodal) == (binned.boundary, binned.bimodal)
        seen += exact.boundary
    assert 5 < seen < 55


def test_two_modes_are_found_from_a_summary() -> None:
    y = np.append(np.tile([0.0, 0.0, 4.0, 0.0], 10), 2_500.0)
    groups = Counts(y, np.append(np.full(40, 20.0), 50_000.0))
    fit = BetaBinomial().fit(CountsSummary.of(groups), "ml")
    assert fit.bimodal
    assert fit.hyper.concentration == pytest.approx(3.63, abs=0.01)


@pytest.mark.parametrize("name", ["beta-binomial", "gamma-poisson"])
def test_a_pool_without_any_event_is_at_the_boundary(name: str) -> None:
    family: Any = FAMILIES[name]
    n = np.arange(1.0, 50)
    pools: dict[str, Any] = {
        "beta-binomial": CountsSummary.of(Counts(np.zeros(49), n)),
        "gamma-poisson": ExposureSummary.of(Exposure(np.zeros(49), n)),
    }
    fit = family.fit(pools[name], "ml")
    assert fit.boundary
    assert math.isfinite(fit.log_likelihood)


def test_a_large_pool_is_fitted_from_its_summary_unless_it_is_made_exact() -> None:
    n = np.arange(1.0, 2_502)
    groups = Counts(np.floor(n * (0.1 + 0.05 * np.cos(n))), n)
    default, exact, binned = (
        BetaBinomial().fit(pool, "ml")
        for pool in (groups, ExactSummary(groups), CountsSummary.of(groups))
    )
    assert default == binned
    assert default.hyper != exact.hyper
    assert default.groups_count == exact.groups_count == 2_501
