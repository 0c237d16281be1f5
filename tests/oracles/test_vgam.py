"""Beta-Binomial against VGAM, glmmTMB and R's optim.

A part of every list of answers is held out: compare by what is there.
"""

from typing import Any

import numpy as np
import pytest

from stream_hb.models.beta_binomial import BetaBinomial
from stream_hb.models.family import Fit
from stream_hb.statistics.counts import Counts
from tests.oracles.reading import assert_agree, oracle

COLUMNS = {
    "rat_tumor": ("y", "n"),
    "bball2006": ("hits", "at_bats"),
    "efron_morris": ("Hits", "AB"),
    "surgical": ("r", "n"),
}
# The likelihood of efron_morris is a flat ridge: its concentration is known to 1e-5 only.
TOLERANCE = {"efron_morris": 1e-5}

FAMILY = BetaBinomial()


class Case:
    def __init__(self, name: str) -> None:
        content = oracle(name)
        successes, trials = (np.array(content["data"][c], dtype=float) for c in COLUMNS[name])
        values = content["oracle"]["vgam"]["values"]
        self.values: dict[str, Any] = values.get("all71", values)
        self.groups = Counts(successes, trials)
        self.fit: Fit[Any] = FAMILY.fit(self.groups, "ml")
        self.rtol = TOLERANCE.get(name, 1e-6)


@pytest.fixture(params=COLUMNS, scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def test_hyperparameters_are_those_of_maximum_likelihood(case: Case) -> None:
    hyper = case.fit.hyper
    assert hyper.mean == pytest.approx(case.values["mean"], rel=1e-6)
    assert hyper.concentration == pytest.approx(case.values["kappa"], rel=case.rtol)
    parameters = FAMILY.parameters(hyper)
    for name in ("alpha", "beta"):
        expected = case.values["optim_check"][name]
        assert parameters[name] == pytest.approx(expected, rel=case.rtol)
    assert (case.fit.boundary, case.fit.bimodal, case.fit.converged) == (False, False, True)


def test_log_likelihood_has_all_constants_and_is_not_below_any_program(case: Case) -> None:
    """VGAM's own start stops up to 2e-6 short; what it reports from several starts is converged."""
    values = case.values
    reached = [values["logLik_vgam"], values.get("glmmTMB", {}).get("logLik")]
    reached = [value for value in reached if value is not None]
    assert case.fit.log_likelihood == pytest.approx(max(reached), abs=1e-8)
    assert case.fit.log_likelihood >= values["vgam_default_start"]["logLik"]


def test_posteriors_are_the_plug_in_ones(case: Case) -> None:
    posterior = FAMILY.posterior(case.groups, case.fit.hyper, 0.95)
    for ours, name in (
        (posterior.mean, "plugin_posterior_mean"),
        (posterior.lo, "plugin_q025"),
        (posterior.hi, "plugin_q975"),
        (posterior.weight, "shrinkage_weight_prior"),
    ):
        if name in case.values:
            assert_agree(ours, case.values[name], case.rtol, name)


def test_the_moments_of_rat_tumor_are_near_the_books() -> None:
    """BDA3 §5.1 has (1.4, 8.6) from the 70 historical groups, weighting them all alike."""
    data = oracle("rat_tumor")["data"]
    historical = Counts(*(np.array(data[c][:70], dtype=float) for c in ("y", "n")))
    parameters = FAMILY.parameters(FAMILY.fit(historical, "moments").hyper)
    assert 1 < parameters["alpha"] < 4
    assert 6 < parameters["beta"] < 20
