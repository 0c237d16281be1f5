"""What a model is told of a pool's groups besides their data."""

from collections.abc import Sequence
from typing import Any

from stream_hb.models.described import Described
from stream_hb.settings import EngineSettings, ModelSettings
from stream_hb.statistics.columns import Rows, Statistic
from stream_hb.stores import Stores


def described(
    groups: Statistic, chain: str, metric: str, places: Rows, settings: EngineSettings
) -> Statistic | Described[Any]:
    """Return the groups as the metric's model takes them.

    Parameters
    ----------
    groups
        Groups of one chain.
    chain, metric
        Their pool.
    places
        Their rows in the stores table, -1 where they have none.
    settings
        With the metric's model, and the table where that needs one.
    """
    model, stores = settings.model(metric), settings.stores
    if stores is None or not (model.covariates or model.nested):
        return groups
    if model.nested:
        return Described.of(groups, regions=stores.regions_at(places))
    names = columns(stores, model)
    return Described.of(groups, stores.covariates_at(places, chain, model.covariates), names=names)


def columns(stores: Stores, model: ModelSettings) -> tuple[str, ...]:
    """Return the names of the covariates, a column of texts having one for each text but one."""
    named: Sequence[Sequence[str]] = [stores.columns_of[name] for name in model.covariates]
    return tuple(column for some in named for column in some)
