"""Normal-Normal with known variances against metafor, method by method."""

from typing import Any

import numpy as np
import pytest

from stream_hb.models.normal import NormalKnownVariance
from stream_hb.statistics.measured import Measured
from tests.oracles.reading import assert_agree, oracle

FAMILY = NormalKnownVariance()

# Ours -> metafor's; Hedges' estimator is what moments of the means give.
METHODS = {"moments": "HE", "dl": "DL", "pm": "PM", "ml": "ML", "reml": "REML"}
CLOSED = ("moments", "dl")


def _case(name: str) -> tuple[Measured, dict[str, Any]]:
    content = oracle(name)
    data, values = content["data"], content["oracle"]["metafor"]["values"]
    if name == "bcg":
        return Measured(np.array(data["yi"]), np.array(data["vi"])), values["intercept_only"]
    return Measured(np.array(data["y"], float), np.array(data["se"], float) ** 2), values


ANSWERED = [
    (name, method)
    for name in ("eight_schools", "eight_schools_3", "bcg")
    for method in METHODS
    if METHODS[method] in _case(name)[1]
]


@pytest.mark.parametrize(("name", "method"), ANSWERED)
def test_every_method_agrees_with_metafor(name: str, method: str) -> None:
    groups, values = _case(name)
    expected = values[METHODS[method]]
    fit = FAMILY.fit(groups, method)
    rtol = 1e-9 if method in CLOSED else 1e-6
    # metafor's own iterations end at 6e-13 where the maximum is at 0.
    assert fit.hyper.tau2 == pytest.approx(expected["tau2"], rel=rtol, abs=1e-12)
    assert fit.hyper.mu == pytest.approx(expected["mu"], rel=rtol)
    assert fit.hyper.se_mu == pytest.approx(expected["se_mu"], rel=rtol)
    likelihood = expected["logLik_REML" if method == "reml" else "logLik_ML"]
    assert fit.log_likelihood == pytest.approx(likelihood, abs=1e-9)
    assert fit.boundary == (expected["tau2"] < 1e-9)
    posterior = FAMILY.posterior(groups, fit.hyper, 0.95)
    for ours, key in ((posterior.mean, "blup"), (posterior.sd, "blup_se_metafor")):
        assert_agree(ours, expected[key], rtol, key)


@pytest.mark.parametrize("method", ["dl", "pm", "ml", "reml"])
def test_a_new_group_has_metafors_prediction_interval(method: str) -> None:
    groups, values = _case("bcg")
    new = FAMILY.new_group(FAMILY.fit(groups, method).hyper, 0.95)
    interval = values[METHODS[method]]["prediction_interval"]
    np.testing.assert_allclose([new.lo[0], new.hi[0]], interval, rtol=1e-6)
    assert new.weight[0] == 1


def test_estimators_disagree_on_three_schools_as_they_should() -> None:
    groups, _ = _case("eight_schools_3")
    tau2 = {method: FAMILY.fit(groups, method).hyper.tau2 for method in METHODS}
    assert tau2 == pytest.approx(
        {"moments": 53.33, "dl": 12.33, "pm": 15.34, "ml": 0, "reml": 0}, abs=0.005
    )
