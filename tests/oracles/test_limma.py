"""Moderated variances against limma's fitFDist and squeezeVar."""

import math

import numpy as np
import pytest

from stream_hb.models.moderation import fit_variance_prior, squeeze
from tests.oracles.reading import assert_agree, oracle

ORACLE = oracle("squeezevar")
ANSWERS = {**ORACLE["oracle"]["limma"]["values"], **ORACLE["oracle"]["limma_zeros"]["values"]}


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_variance_priors_and_squeezed_variances_are_limmas(name: str) -> None:
    data, expected = ORACLE["data"][name], ANSWERS[name]
    variance, degrees = np.array(data["sample_var"], float), np.array(data["df"], float)
    prior = fit_variance_prior(variance, degrees)
    assert prior.degrees == pytest.approx(float(expected["d0"]), rel=1e-6)
    assert prior.variance == pytest.approx(expected["s02"], rel=1e-6)
    assert_agree(squeeze(variance, degrees, prior), expected["var_post"], 1e-6, name)


def test_six_variances_that_differ_by_chance_are_pooled_whole() -> None:
    data = ORACLE["data"]["small_G"]
    prior = fit_variance_prior(np.array(data["sample_var"]), np.array(data["df"], float))
    assert math.isinf(prior.degrees)
