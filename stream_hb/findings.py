"""What is asked of a pool once it is fitted: does the hyperprior matter, and does the model hold?

Both look at the groups themselves: at all of a small pool, at some of a large one, so that their
time does not grow with it.
"""

from collections.abc import Sequence
from functools import reduce
from zlib import crc32

import numpy as np

from stream_hb.errors import FitError
from stream_hb.metrics import METRICS
from stream_hb.models.checks.nodes import GroupPriors
from stream_hb.models.checks.pool import check_pool
from stream_hb.models.checks.pool_check import PoolCheck
from stream_hb.models.described import Described
from stream_hb.models.sensitivity import most_affected
from stream_hb.models.variance_common import least_variance
from stream_hb.order_variance import order_variance
from stream_hb.pool_fit import AffectedGroup, Pool, PoolFit
from stream_hb.pool_parts import Asked, PoolParts, Sample
from stream_hb.settings import EngineSettings
from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments

GROUPS_MAX = 5_000


def sample(parts: Sequence[PoolParts], asked: Asked) -> Sample:
    """Return at most 5,000 groups of a pool, evenly from its shards' rows."""
    most = sample_size(len(parts))
    found = (part.sample(asked, most) for part in parts)
    whole = reduce(Sample.concatenate, (some for some in found if some is not None))
    return whole.take(np.flatnonzero(METRICS[asked.metric].sizes(whole.groups) > 0))


def sample_size(shards: int) -> int:
    """Return how many groups of a pool are looked at in each of so many shards."""
    return max(1, GROUPS_MAX // shards)


def affected(pool_fit: PoolFit, some: Sample) -> AffectedGroup | None:
    """Return the group that scaling the hyperprior moves most, where a fit has a hyperprior."""
    fit = pool_fit.fit
    if fit.sensitivity is None or not len(some.names):
        return None
    found = most_affected(pool_fit.family, some.asked, fit.hyper, fit.sensitivity)
    return AffectedGroup(some.names[found.row], *found[1:])


def check(
    pool: Pool, pool_fit: PoolFit, some: Sample, settings: EngineSettings
) -> PoolCheck | None:
    """Compare the pool with what its fitted model predicts; None where that cannot be asked.

    Chance is seeded by the pool and its data: the same data are always judged alike.
    """
    chain, metric = pool
    name = METRICS[metric].family_name
    rng = np.random.default_rng([crc32(f"{chain}|{metric}".encode()), int(pool_fit.data_count)])
    groups, size = _measured(pool_fit, some)
    hyper = pool_fit.fit.hyper
    if isinstance(some.asked, Described):
        posterior = pool_fit.family.posterior(some.asked, hyper, settings.level)
        hyper = GroupPriors.of(name, size, posterior)
    covariates, names = _covariates(chain, some, settings)
    try:
        return check_pool(name, groups, hyper, rng, covariates, names)
    except FitError:
        return None


def _measured(pool_fit: PoolFit, some: Sample) -> tuple[Statistic, Floats]:
    """Return the groups with their sampling variances where these are fitted, and their sizes."""
    if not isinstance(some.groups, Moments):
        return some.groups, list(some.groups.columns().values())[1]
    sigma2 = np.maximum(order_variance(pool_fit, some.groups)[0], least_variance(some.groups))
    variance = sigma2 / some.groups.weight
    return Measured(some.groups.mean, variance), 1 / variance


def _covariates(
    chain: str, some: Sample, settings: EngineSettings
) -> tuple[Floats | None, tuple[str, ...]]:
    """Return every column of the stores table that varies: any of them may explain something."""
    stores = settings.stores
    if stores is None or not stores.covariates:
        return None, ()
    values = stores.covariates_at(some.places, chain, stores.columns_of)
    names = [name for columns in stores.columns_of.values() for name in columns]
    varies = np.ptp(values, axis=0) > 0 if len(values) else np.zeros(len(names), dtype=bool)
    return values[:, varies], tuple(n for n, v in zip(names, varies, strict=True) if v)
