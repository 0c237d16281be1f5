"""The families of models by name."""

from collections.abc import Mapping
from typing import Any

from stream_hb.models.beta_binomial import BetaBinomial
from stream_hb.models.family import Family
from stream_hb.models.gamma_poisson import GammaPoisson
from stream_hb.models.normal import NormalFromObservations, NormalKnownVariance
from stream_hb.models.normal_own import NormalModerated, NormalSeparate

FAMILIES: Mapping[str, Family[Any, Any]] = {
    "beta-binomial": BetaBinomial(),
    "gamma-poisson": GammaPoisson(),
    "normal": NormalFromObservations(),
    "normal-known-variance": NormalKnownVariance(),
    "normal-moderated": NormalModerated(),
    "normal-separate": NormalSeparate(),
}
"""By the names of :class:`Family`; ``normal`` from observations whose variance is common to all
groups, two more where each has its own, and one from published means."""
