"""Half-lives side by side: each is kept, served and moved as if it were the only one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_hb.chain_ticks import ChainTick
from stream_hb.engine import Engine
from stream_hb.events.clock import TimeRules
from stream_hb.feeds.estimates import OutRecord
from stream_hb.metrics import METRICS
from stream_hb.pool_fit import Pool
from stream_hb.settings import EngineSettings
from stream_hb.state import pack
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.forgetting import Forgetting, HalfLife
from stream_hb.statistics.half_lives import HalfLives
from stream_hb.statistics.moments import Moments
from stream_hb.tick_feeds import TickMoment
from tests.laws.test_event_laws import HOUR_MS, METHODS, cuts, distinct, fed, logs, seeds
from tests.support.logs import START_MS, feed, refit, shop_log
from tests.support.records import assert_same_estimates, emit

H = (HOUR_MS, HOUR_MS // 5, 4 * HOUR_MS)
FAR = TimeRules(horizon_ms=30 * 24 * HOUR_MS)


def shuffled(log: list[Any], seed: int) -> list[Any]:
    return [log[at] for at in np.random.default_rng(seed).permutation(len(log))]


def world(rule: Forgetting) -> EngineSettings:
    return EngineSettings(METHODS, forgetting=dict.fromkeys(METHODS, rule), time=FAR)


@dataclass(frozen=True)
class Chosen:
    """A feed that has chosen."""

    half_life_ms: Mapping[Pool, int | None] = field(default_factory=lambda: MappingProxyType({}))

    def step(self, tick: ChainTick, moment: TickMoment) -> tuple[Self, list[OutRecord]]:
        raise AssertionError("no tick is closed here")

    def snapshot(self) -> Any:
        return [[*pool, ms] for pool, ms in self.half_life_ms.items()]

    def restored(self, state: Any) -> Self:
        return type(self)({(chain, metric): ms for chain, metric, ms in state})

    def half_lives_ms(self) -> Mapping[Pool, int | None]:
        return self.half_life_ms


def choosing(half_life_ms: int | None, shards: tuple[int, ...] = (0,)) -> Engine:
    wanted = {("c", metric): half_life_ms for metric in METHODS}
    engine = Engine(world(HalfLives(H)), feeds={"chosen": Chosen(wanted)})
    for number in shards:
        engine.open_shard(number, epoch=1)
    return engine


def one(half_life_ms: int) -> Engine:
    engine = Engine(world(HalfLife(half_life_ms)))
    engine.open_shard(0, epoch=1)
    return engine


@given(log=logs, again=st.lists(st.integers(0, 39), max_size=10), seed=seeds, at=cuts)
@settings(max_examples=60, deadline=None)
def test_each_half_life_keeps_what_it_would_alone_in_any_order_and_repeated(
    log: list[dict[str, Any]], again: list[int], seed: int, at: list[int]
) -> None:
    log = distinct(log)
    more = shuffled(log + [log[place] for place in again if place < len(log)], seed)
    table = fed(more, at, settings=world(HalfLives(H))).shards[0].table
    for half_life_ms in H:
        alone = fed(log, settings=world(HalfLife(half_life_ms))).shards[0].table
        rows = np.array([alone.keys.index(key) for key in table.keys], np.intp)
        for metric in METHODS:
            kept = table.statistic(metric)
            rule, mine, mark = table.under(metric, kept, table.marks[metric], half_life_ms)
            assert rule == HalfLife(half_life_ms)
            expected = alone.statistic(metric).take(rows)
            newest_ms = START_MS + 60 * 24 * HOUR_MS
            size = METRICS[metric].size_column
            np.testing.assert_allclose(
                rule.mass(mine.columns()[size], mark, newest_ms),
                rule.mass(expected.columns()[size], alone.marks[metric], newest_ms),
                rtol=1e-9,
            )
            seen, theirs = METRICS[metric].seen(mine), METRICS[metric].seen(expected)
            for name, column in seen.columns().items():
                other = theirs.columns()[name]
                np.testing.assert_allclose(column, other, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("kind", [Counts, Exposure, Moments])
def test_landmarks_that_move_change_no_digit(kind: type[Any]) -> None:
    rule, rng = HalfLives(H), np.random.default_rng(2)
    shape = (50, len(H))
    columns = [rng.uniform(1, 2, shape) for _ in rule.zeros(kind, 1).columns()]
    kept = rule.kind(kind)(*columns)
    moved = rule.advanced(kept, 100, 163)
    for half_life_ms in H:
        before, after = (rule.under(s, m, half_life_ms) for s, m in ((kept, 100), (moved, 163)))
        exponent = after.mark - before.mark
        plain = HalfLife(half_life_ms).advanced(before.statistic, before.mark, after.mark)
        assert exponent == {H[0]: 12, H[1]: 63, H[2]: 3}[half_life_ms]
        for name, column in after.statistic.columns().items():
            assert (column == plain.columns()[name]).all(), name


def test_what_is_ahead_of_the_shortest_waits_for_all_and_what_that_has_lost_others_still_have() -> (
    None
):
    """An observation that waits is put in later: counted now by the others, it would be twice."""
    rule, mark = HalfLives(H), 20_000 * 24 * 5
    reach_ms, long_ago_ms = rule.reach_ms(mark), mark * min(H) - 511 * min(H)
    cells = rule.cells(np.arange(3), np.array([reach_ms + 1, reach_ms, long_ago_ms]), mark)
    found = list(zip(cells.places.tolist(), np.asarray(cells.kept).tolist(), strict=True))
    now, old = 1, 2
    assert sorted(found) == [(3, now), (4, now), (5, now), (6, old), (8, old)]


@pytest.mark.parametrize("half_life_ms", H)
def test_what_was_chosen_is_fitted_and_served_as_if_it_were_the_only_one(half_life_ms: int) -> None:
    log = shop_log(visits=120)
    now_ms = START_MS + 4 * HOUR_MS
    found = []
    for engine in (choosing(half_life_ms), one(half_life_ms)):
        feed(engine, log)
        refit(engine, now_ms)
        found.append(emit(engine, now_ms, everything=True))
    mine, plain = found
    assert {record["half_life_s"] for record in mine} == {half_life_ms / 1000}
    assert_same_estimates(mine, plain, tolerance=1e-9)


def test_before_anything_is_chosen_the_first_is_served() -> None:
    for wanted in (None, 7):
        engine = choosing(wanted)
        feed(engine, shop_log())
        refit(engine, START_MS)
        assert {fit.half_life_ms for fit in engine.pools.values()} == {H[0]}


def test_a_choice_is_served_from_the_next_refit_on_though_no_data_came() -> None:
    engine = choosing(H[0])
    feed(engine, shop_log())
    refit(engine, START_MS)
    now_ms = START_MS + HOUR_MS
    assert engine.refit(now_ms, force=True).pools == {}  # type: ignore[union-attr]
    wanted = {("c", metric): H[1] for metric in METHODS}
    engine.remember({"chosen": pack(Chosen(wanted).snapshot())})
    before = emit(engine, now_ms, everything=True)
    assert {record["half_life_s"] for record in before} == {H[0] / 1000}
    refit(engine, now_ms)
    after = emit(engine, now_ms, everything=True)
    assert {record["half_life_s"] for record in after} == {H[1] / 1000}
    assert {record["hyper"]["version"] for record in after} == {2}


def test_a_snapshot_carries_every_half_life_and_the_choice() -> None:
    engine = choosing(H[2])
    feed(engine, shop_log())
    refit(engine, START_MS)
    other = Engine(world(HalfLives(H)), feeds={"chosen": Chosen()})
    other.restore(engine.snapshot())
    for each in (engine, other):
        feed(each, shop_log(seed=5, start_ms=START_MS + HOUR_MS))
        refit(each, START_MS + 2 * HOUR_MS)
    assert {fit.half_life_ms for fit in other.pools.values()} == {H[2]}
    mine, theirs = (emit(each, START_MS + 3 * HOUR_MS, everything=True) for each in (engine, other))
    assert mine == theirs
