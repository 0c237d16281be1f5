"""The metrics: which statistic each one keeps, and which family of models reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_hb.models.covariates.registry import COVARIATE_FAMILIES
from stream_hb.models.family import Family
from stream_hb.models.nested.registry import NESTED_FAMILIES
from stream_hb.models.registry import FAMILIES
from stream_hb.settings import ModelSettings
from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.forgetting import as_seen
from stream_hb.statistics.moments import Moments


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is estimated per group.

    Attributes
    ----------
    name
        Its name in configuration, keys and records.
    statistic
        What is kept per group.
    family_name
        Name of its plain family.
    record_model
        The family's name in estimate records.
    size_column
        The statistic's column that says how much data a group has.
    count_columns
        The columns whose growth makes a refit worth while.
    """

    name: str
    statistic: type[Statistic]
    family_name: str
    record_model: str
    size_column: str
    count_columns: tuple[str, ...]

    def model_name(self, model: ModelSettings) -> str:
        """Return the name in ``MODELS`` of the family that its model is, if there is one.

        >>> METRICS["log_order_value"].model_name(ModelSettings(variance="moderated"))
        'normal-moderated'
        """
        described = "-covariates" if model.covariates else "-nested" if model.nested else ""
        variance = "" if model.variance == "common" else f"-{model.variance}"
        return f"{self.family_name}{variance}{described}"

    def sizes(self, groups: Statistic) -> Floats:
        """Return how much data each group has: visits, or orders with a value."""
        return groups.columns()[self.size_column]

    def data_count(self, groups: Statistic) -> float:
        """Return how much data a pool has: visits, conversions and orders that its model sees."""
        columns = groups.columns()
        return float(sum(columns[name].sum() for name in self.count_columns))

    def seen(self, kept: Statistic, age_in_half_lives: Floats | float = 0.0) -> Statistic:
        """Return what is kept as the model may see it, aged by so many half-lives of silence.

        Orders of a group without any visit say nothing of a rate, or a Gamma-Poisson would be told
        of events in no exposure.
        """
        groups = as_seen(kept, age_in_half_lives)
        if isinstance(groups, Exposure):
            return Exposure(np.where(groups.exposure > 0, groups.events, 0.0), groups.exposure)
        return groups


METRICS: dict[str, Metric] = {
    "conversion": Metric(
        name="conversion",
        statistic=Counts,
        family_name="beta-binomial",
        record_model="beta_binomial",
        size_column="trials",
        count_columns=("trials", "successes"),
    ),
    "order_rate": Metric(
        name="order_rate",
        statistic=Exposure,
        family_name="gamma-poisson",
        record_model="gamma_poisson",
        size_column="exposure",
        count_columns=("exposure", "events"),
    ),
    "log_order_value": Metric(
        name="log_order_value",
        statistic=Moments,
        family_name="normal",
        record_model="normal_normal",
        size_column="weight",
        count_columns=("weight",),
    ),
}

OF_MONEY = frozenset({"log_order_value", "revenue_per_visit"})
"""The metrics whose records name a currency."""

MODELS: Mapping[str, Family[Any, Any]] = {
    **FAMILIES,
    **{f"{name}-covariates": family for name, family in COVARIATE_FAMILIES.items()},
    **{f"{name}-nested": family for name, family in NESTED_FAMILIES.items()},
}
"""The families that a metric's model can be."""
