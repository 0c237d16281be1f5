"""Thousands of groups with their own variances: few looks give what looking everywhere gives."""

import math

import numpy as np
import pytest

from stream_hb.models import variance_own
from stream_hb.models.hyperprior import DEFAULT
from stream_hb.models.normal_nodes import NormalNodes
from stream_hb.models.normal_own import NormalModerated, NormalSeparate
from stream_hb.models.variance_own import EXACT_GROUPS_MAX, integrate_own
from stream_hb.statistics.moments import Moments


def _world(groups: int, spread: float, rng: np.random.Generator) -> Moments:
    """Three to five observations a group, variances 4 over a χ² with four degrees of freedom."""
    count = rng.integers(3, 6, groups).astype(float)
    variance = 4 / rng.chisquare(4, groups)
    noise = np.sqrt(variance / count) * rng.standard_normal(groups)
    m2 = variance * rng.chisquare(count - 1)
    return Moments(count, spread * rng.standard_normal(groups) + noise, m2)


def _told(nodes: NormalNodes) -> list[float]:
    """Mean and sd of the spread, mean of the location in units of its sd (0 is its usual value)."""
    mean, square = (float((nodes.weight * nodes.concentration**k).sum()) for k in (1, 2))
    location = float((nodes.weight * nodes.location).sum())
    location_sd = float((nodes.weight * nodes.location_sd).sum())
    return [mean, math.sqrt(square - mean**2), location / location_sd]


@pytest.mark.parametrize("family", [NormalSeparate(), NormalModerated()])
@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
def test_curves_through_few_looks_are_the_integral_over_all_groups(
    family: NormalSeparate, spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = _world(EXACT_GROUPS_MAX + 100, spread, np.random.default_rng(20261124))
    variances = family.variance_prior(groups)
    few_looks = integrate_own(groups, variances, DEFAULT)
    monkeypatch.setattr(variance_own, "EXACT_GROUPS_MAX", len(groups))
    everywhere = integrate_own(groups, variances, DEFAULT)
    assert few_looks.log_evidence == pytest.approx(everywhere.log_evidence, abs=1e-3)
    np.testing.assert_allclose(
        _told(few_looks.nodes), _told(everywhere.nodes), rtol=1e-4, atol=1e-3
    )


def test_variances_taken_as_known_would_make_the_spread_too_large() -> None:
    groups = _world(10_000, 1.0, np.random.default_rng(20261124))
    fit = NormalModerated().fit(groups, "bayes")
    spread, sd, *_ = _told(fit.hyper)
    assert abs(spread - 1.0) < 4 * sd < 0.06
    assert NormalModerated().fit(groups, "reml").hyper.tau2 ** 0.5 > 1.0 + 4 * sd


def test_the_evidence_of_a_part_of_the_groups_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = _world(EXACT_GROUPS_MAX + 100, 1.0, np.random.default_rng(20261124))
    whole = NormalModerated().fit(groups, "bayes")
    monkeypatch.setattr(variance_own, "SEEN_MAX", 1_100)
    part = NormalModerated().fit(groups, "bayes")
    assert math.isfinite(whole.log_likelihood)
    assert math.isnan(part.log_likelihood)
    assert part.hyper.means()["mu"] == pytest.approx(whole.hyper.means()["mu"], abs=0.1)
