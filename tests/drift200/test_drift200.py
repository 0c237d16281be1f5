"""One replicate of the benchmark: the world is as hard as published, and the feed finds its way.

``make bench-drift`` has the figures; here is what would show a world that became easy, a feed that
became blind, or a harness that cannot fail.
"""

from functools import cache

import numpy as np
import pytest

from stream_hb.feeds.drift.settings import DriftHyper, DriftSettings
from stream_hb.feeds.drift.tick import Kind
from stream_hb.statistics.columns import Floats
from tests.drift200 import rivals
from tests.drift200.__main__ import UNADJUSTED, unadjusted
from tests.drift200.harness import Run, counts, run, stream_of
from tests.drift200.score import score
from tests.drift200.values import SIGMA, values
from tests.drift200.world import WARM_UP_DAYS, Plan, World, world

SEED = 1_000


@cache
def chain() -> World:
    return world(SEED)


@cache
def ours() -> Run:
    return run(counts(chain()), stream_of(200))


def quiet(z: Floats, simulated: World) -> Floats:
    stores = np.setdiff1d(np.arange(z.shape[1]), simulated.drifting)
    out: Floats = z[WARM_UP_DAYS:, stores]
    return out[np.isfinite(out)]


def test_the_world_gives_published_innovations_their_published_moments() -> None:
    """Published: mean -.03, standard deviation .996, beyond 3 with probability .0032."""
    chains = [world(SEED + seed) for seed in range(8)]
    published = [rivals.published_innovations(one, lag=28, half_life=90.0) for one in chains]
    pairs = zip(published, chains, strict=True)
    z = np.concatenate([quiet(found, one) for found, one in pairs])
    assert z.mean() == pytest.approx(-0.03, abs=0.03)
    assert z.std() == pytest.approx(0.996, abs=0.01)
    assert (np.abs(z) > 3).mean() == pytest.approx(0.0032, abs=0.0006)


def test_the_world_is_as_hard_for_cusum_as_published() -> None:
    """Published: 1.165 false alerts a store-year; one replicate's standard deviation is .2."""
    found = score(chain(), rivals.cusum(rivals.published_innovations(chain()), 0.5, 5.0))
    assert 0.55 < found.false_rate < 1.8


def test_our_innovations_are_standard() -> None:
    z = quiet(ours().z, chain())
    assert z.mean() == pytest.approx(0, abs=0.02)
    assert z.std() == pytest.approx(1, abs=0.02)
    assert (np.abs(z) > 3).mean() < 0.0045


def test_the_feed_finds_large_drifts_within_days_and_cries_wolf_less_than_it_promised() -> None:
    found = score(chain(), ours().alerts)
    assert found.false_rate <= DriftSettings().false_alerts_per_store_year
    large = found.delay[found.size >= 0.4]
    assert (large <= 45).mean() >= 0.9
    assert np.median(found.delay[found.size == 0.8]) <= 3


def test_without_the_chains_offset_every_promotion_is_a_drift() -> None:
    with unadjusted(learns_noise=False):
        blind = run(counts(chain()), stream_of(200), UNADJUSTED)
    assert score(chain(), blind.alerts).false_rate > 2


def test_order_values_with_bulk_orders_have_standard_innovations() -> None:
    stream = stream_of(200, Kind.VALUES, "log_order_value")
    ticks = values(chain(), SEED)
    done = run(ticks, stream, DriftSettings.for_values(), DriftHyper(0.2, sigma2=SIGMA**2))
    z = quiet(done.z, chain())
    # Below 1: these values have no daily noise, and the feed has to learn that.
    assert 0.9 < z.std() < 1.03
    assert (np.abs(z) > 3).mean() <= 0.004
    assert (score(chain(), done.alerts).delay <= 80).mean() >= 0.6


def test_a_store_that_drifts_slowly_is_told_of_too() -> None:
    slow = world(SEED, Plan(stores=40, drifting=8, sizes=(0.8,), gradual_days=30, first_day=75))
    found = score(slow, run(counts(slow), stream_of(40)).alerts)
    assert (found.delay <= 45).mean() >= 0.7


def test_a_chain_of_stores_with_an_order_a_day_does_not_shift_for_want_of_evidence() -> None:
    small = world(SEED, Plan(stores=40, drifting=0, visits_median=20.0, visits_sd=0.3, days=160))
    done = run(counts(small), stream_of(40))
    assert [one for _, one in done.records if one.labels["alertname"] == "ChainShift"] == []
    assert not (done.state.known.drifted).any()
