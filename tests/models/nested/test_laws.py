"""Laws of every answer of a nested pool, over pools so small and odd that nothing is known."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stream_hb.models.described import Described
from stream_hb.models.family import Posterior
from stream_hb.models.nested.registry import NESTED_FAMILIES
from stream_hb.statistics.columns import Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.measured import Measured

STATISTICS: dict[str, Any] = {
    "beta-binomial": Counts,
    "gamma-poisson": Exposure,
    "normal-known-variance": Measured,
}
SIZES = st.sampled_from([0.0, 1.0, 3.0, 20.0, 100.0, 1000.0, 50_000.0])
SHARES = st.sampled_from([0.0, 0.01, 0.05, 0.3, 1.0])
STORE = st.tuples(SIZES, SHARES, st.integers(-1, 3))
POOLS = st.lists(STORE, min_size=1, max_size=6).filter(lambda pool: any(n for n, _, _ in pool))
# A region whose stores differ widely, one without a name, one of a single store; and all successes,
# where rates next to 1 have no digits left.
ODD = [(100.0, 0.05, 0), (100.0, 0.05, 0), (100.0, 0.01, 1), (100.0, 0.3, 1), (100.0, 0.01, -1)]
FULL = [(20.0, 1.0, 1), (3.0, 1.0, 1)]


def described(pool: list[tuple[float, float, int]], name: str) -> Described[Statistic]:
    n, share, regions = (np.array(column) for column in zip(*pool, strict=True))
    if name == "normal-known-variance":
        return Described.of(Measured(100 * share, 1 / (n + 0.1)), regions=regions)
    return Described.of(STATISTICS[name](np.floor(n * share), n), regions=regions)


def answer(stores: Described[Statistic], name: str, method: str) -> Posterior:
    family = NESTED_FAMILIES[name]
    return family.posterior(stores, family.fit(stores, method).hyper, 0.95)


@pytest.mark.parametrize("method", ["ml", "bayes"])
@pytest.mark.parametrize("name", STATISTICS)
@settings(
    max_examples=1,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@example(pool=ODD)
@example(pool=FULL)
@given(pool=POOLS)
def test_an_answer_is_between_raw_and_pooled(
    name: str, method: str, pool: list[tuple[float, float, int]]
) -> None:
    stores = described(pool, name)
    found = answer(stores, name, method)
    raw = np.where(np.isnan(found.raw), found.pooled, found.raw)
    room = 1e-9 * np.maximum(np.abs(raw), np.abs(found.pooled))
    assert (found.mean >= np.minimum(raw, found.pooled) - room).all()
    assert (found.mean <= np.maximum(raw, found.pooled) + room).all()
    assert ((found.weight >= 0) & (found.weight <= 1 + 1e-12)).all()
    assert (np.isfinite(found.sd) & (found.lo <= found.hi)).all()


@pytest.mark.parametrize("method", ["ml", "bayes"])
@pytest.mark.parametrize("name", STATISTICS)
def test_an_answer_ignores_the_order_of_stores_and_the_labels_of_regions(
    name: str, method: str
) -> None:
    stores = described(ODD, name)
    found = answer(stores, name, method)
    renamed = np.where(stores.regions >= 0, 7 - stores.regions, -1)
    turned = np.arange(len(ODD))[::-1]
    other = answer(Described.of(stores.groups, regions=renamed).take(turned), name, method)
    width = found.hi - found.lo
    for one, two in ((found.mean, other.mean), (found.lo, other.lo), (found.hi, other.hi)):
        assert (np.abs(one - two[turned]) / width).max() < 1e-5
