"""The families of nested pools by name, as ``models.registry`` names the plain ones."""

from collections.abc import Mapping
from typing import Any

from stream_hb.models.family import Family
from stream_hb.models.nested.counts import NestedBetaBinomial, NestedGammaPoisson
from stream_hb.models.nested.normal import NestedNormalFromObservations, NestedNormalKnownVariance

NESTED_FAMILIES: Mapping[str, Family[Any, Any]] = {
    "beta-binomial": NestedBetaBinomial(),
    "gamma-poisson": NestedGammaPoisson(),
    "normal": NestedNormalFromObservations(),
    "normal-known-variance": NestedNormalKnownVariance(),
}
"""Over ``Described`` groups of the statistic that the plain family of the same name takes."""
