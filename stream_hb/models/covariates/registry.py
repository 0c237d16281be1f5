"""The families with covariates by name."""

from collections.abc import Mapping
from typing import Any

from stream_hb.models.covariates.counts import CovariateBetaBinomial, CovariateGammaPoisson
from stream_hb.models.covariates.normal import (
    CovariateNormalFromObservations,
    CovariateNormalKnownVariance,
)
from stream_hb.models.family import Family

COVARIATE_FAMILIES: Mapping[str, Family[Any, Any]] = {
    "beta-binomial": CovariateBetaBinomial(),
    "gamma-poisson": CovariateGammaPoisson(),
    "normal": CovariateNormalFromObservations(),
    "normal-known-variance": CovariateNormalKnownVariance(),
}
"""Over :class:`Described` groups, by the names of ``FAMILIES``."""
