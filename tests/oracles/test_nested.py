"""Means in regions in a chain against lme4's ``lmer`` and metafor's ``rma.mv``."""

from typing import Any

import numpy as np
import pytest

from stream_hb.models.described import Described
from stream_hb.models.nested.normal import NestedNormalFromObservations, NestedNormalKnownVariance
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments
from tests.oracles.reading import oracle

ORACLE = oracle("nested_normal")
SETS = sorted(ORACLE["data"])
AT_ZERO = 1e-3
"""Spreads that R leaves below this are zero: its optimisers stop short of the edge."""


def _stores(name: str) -> tuple[Described[Moments], Described[Measured]]:
    data = ORACLE["data"][name]
    n, mean, m2, v = (np.array(data[column], float) for column in ("n", "mean", "m2", "vi"))
    regions = np.array(data["region"])
    observed = Described.of(Moments(n, mean, m2), regions=regions)
    return observed, Described.of(Measured(mean, v), regions=regions)


def _assert_spread(ours: float, theirs: float) -> None:
    assert ours == pytest.approx(theirs if theirs > AT_ZERO else 0.0, rel=1e-5)


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("name", SETS)
def test_fits_from_observations_agree_with_lme4(name: str, method: str) -> None:
    expected: dict[str, Any] = ORACLE["data"][name]["lme4"][method]
    stores, _ = _stores(name)
    family = NestedNormalFromObservations()
    fit = family.fit(stores, method)
    found = family.parameters(fit.hyper)
    _assert_spread(found["tau_region"], expected["tau_region"])
    _assert_spread(found["tau_store"], expected["tau_store"])
    assert found["sigma2"] ** 0.5 == pytest.approx(expected["sigma"], rel=1e-5)
    assert found["mu"] == pytest.approx(expected["mu"], rel=1e-6)
    assert fit.hyper.location_sd[0] == pytest.approx(expected["se_mu"], rel=1e-5)
    assert fit.log_likelihood == pytest.approx(expected["logLik"], abs=1e-6)
    assert fit.boundary == (min(expected["tau_region"], expected["tau_store"]) < AT_ZERO)
    posterior = family.posterior(stores, fit.hyper, 0.95)
    np.testing.assert_allclose(posterior.mean, expected["theta"], rtol=1e-6)
    effects = fit.hyper.region_mean[0] - found["mu"]
    np.testing.assert_allclose(effects, expected["region"], atol=1e-6)


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("name", SETS)
def test_fits_with_known_variances_agree_with_metafor(name: str, method: str) -> None:
    expected: dict[str, Any] = ORACLE["data"][name]["metafor"][method]
    _, stores = _stores(name)
    family = NestedNormalKnownVariance()
    fit = family.fit(stores, method)
    found = family.parameters(fit.hyper)
    _assert_spread(found["tau_region"], expected["tau_region"])
    _assert_spread(found["tau_store"], expected["tau_store"])
    assert found["mu"] == pytest.approx(expected["mu"], rel=1e-6)
    assert fit.hyper.location_sd[0] == pytest.approx(expected["se_mu"], rel=1e-5)
    assert fit.log_likelihood == pytest.approx(expected["logLik"], abs=1e-6)


def test_both_edges_are_among_the_sets() -> None:
    spreads = {name: ORACLE["data"][name]["lme4"]["reml"] for name in SETS}
    for spread in ("tau_region", "tau_store"):
        assert any(values[spread] < AT_ZERO for values in spreads.values())
