"""One closed tick of a pool and metric through the feed."""

import json
from dataclasses import replace
from functools import cache
from importlib.resources import files

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from numpy.testing import assert_allclose

from stream_hb.errors import FitError
from stream_hb.feeds.calibration.feed import CalibrationState, Tick, step
from stream_hb.feeds.calibration.predictive import Belief
from stream_hb.feeds.calibration.record import CalibrationRecord, out_record
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.moments import Moments
from tests.calibration.product import product_log_scores
from tests.calibration.streams import DAY_MS, Model, follow, log_scores, rule_of, ticks
from tests.calibration.worlds import World

SCHEMA = Draft202012Validator(
    json.loads(files("stream_hb").joinpath("schemas/calibration_v1.json").read_text("utf-8"))
)
SMALL = World("conversion", stores=20, days=12)
RULE = rule_of(SMALL, Model((5.0, 20.0)))


@cache
def few_days() -> list[Tick]:
    """A stream of twelve days."""
    return list(ticks(SMALL, Model((5.0, 20.0)), np.random.default_rng(1)))


def run(some: list[Tick], state: CalibrationState | None = None) -> tuple[CalibrationState, bytes]:
    state, log = state or CalibrationState.new(RULE), b""
    for tick in some:
        state, records = step(state, tick)
        for record in records:
            log += out_record(record).value or b""
    return state, log


def test_every_record_keeps_the_schema() -> None:
    state = CalibrationState.new(RULE)
    seqs = []
    for tick in few_days():
        state, records = step(state, tick)
        for record in records:
            out = out_record(record)
            assert out.key == b"main|conversion"
            assert out.value is not None
            told = json.loads(out.value)
            SCHEMA.validate(told)
            seqs.append(told["version"]["seq"])
            assert [row["half_life_s"] for row in told["candidates"]] == [432_000.0, 1_728_000.0]
            assert sum(row["in_use"] for row in told["candidates"]) == 1
            assert_allclose(sum(told["pit"]["counts"]), told["ticks"])
    assert seqs == list(range(1, len(seqs) + 1))


def test_the_schema_refuses_a_record_without_its_alarm() -> None:
    _, (record,) = step(CalibrationState.new(RULE), few_days()[5])
    told = json.loads(out_record(record).value or b"")
    del told["alarm"]
    assert not SCHEMA.is_valid(told)


def test_a_replay_gives_the_same_bytes() -> None:
    assert run(few_days())[1] == run(few_days())[1] != b""


def test_the_order_of_the_groups_does_not_matter() -> None:
    order = np.random.default_rng(2).permutation(SMALL.stores)
    shuffled = [
        replace(
            tick,
            keys=[tick.keys[row] for row in order],
            increment=tick.increment.take(order),
            beliefs=[belief.take(order) for belief in tick.beliefs],
        )
        for tick in few_days()
    ]
    whole, other = run(few_days())[0].tally, run(shuffled)[0].tally
    assert (whole.pit == other.pit).all()
    assert_allclose(whole.log_score, other.log_score, rtol=1e-12)


def test_a_tick_that_comes_again_is_counted_and_not_scored() -> None:
    once, _ = run(few_days())
    twice, log = run([few_days()[-1], few_days()[3]], once)
    assert log == b""
    assert twice.unscored.late == 2 * SMALL.stores
    assert replace(twice, unscored=once.unscored).snapshot() == once.snapshot()


def test_a_snapshot_in_the_middle_changes_nothing() -> None:
    state, before = run(few_days()[:6])
    restored = CalibrationState.restore(RULE, json.loads(json.dumps(state.snapshot())))
    after, log = run(few_days()[6:], restored)
    whole, every = run(few_days())
    assert before + log == every
    assert after.snapshot() == whole.snapshot()


def test_shards_that_scored_their_own_groups_merge_to_the_whole_pool() -> None:
    halves = []
    for rows in (slice(0, 7), slice(7, None)):
        part = [
            replace(
                tick,
                keys=tick.keys[rows],
                increment=tick.increment.take(rows),
                beliefs=[belief.take(rows) for belief in tick.beliefs],
            )
            for tick in few_days()
        ]
        # Each scored under the half-life that the whole would be: one belief only.
        halves.append(_one_belief(part))
    whole = _one_belief(few_days())
    merged = halves[0].tally.merge(halves[1].tally)
    assert_allclose(merged.pit, whole.tally.pit, rtol=1e-12)
    assert_allclose(merged.log_score, whole.tally.log_score, rtol=1e-12)
    assert_allclose(merged.covered, whole.tally.covered, rtol=1e-12)


def _one_belief(some: list[Tick]) -> CalibrationState:
    rule = replace(RULE, half_lives_ms=RULE.half_lives_ms[:1])
    state = CalibrationState.new(rule)
    return run([replace(tick, beliefs=tick.beliefs[:1]) for tick in some], state)[0]


NAN = float("nan")


@pytest.mark.parametrize(
    ("y", "n"), [(NAN, 5.0), (3.0, NAN), (6.0, 5.0), (-1.0, 5.0), (0.5, 5.0), (1.0, np.inf)]
)
def test_a_number_that_no_tick_can_have_is_refused_and_silences_nobody(y: float, n: float) -> None:
    tick = few_days()[5]
    increment = tick.increment
    assert isinstance(increment, Counts)
    bad = Counts(increment.successes.copy(), increment.trials.copy())
    bad.successes[4], bad.trials[4] = y, n
    state, (record,) = step(CalibrationState.new(RULE), replace(tick, increment=bad))
    assert state.unscored.refused == 1
    assert record.ticks == SMALL.stores - 1
    _assert_finite(record)


def test_a_belief_of_nan_is_refused_and_silences_nobody() -> None:
    tick = few_days()[5]
    broken = []
    for belief in tick.beliefs:
        successes = belief.groups.successes.copy()
        successes[3] = NAN
        broken.append(replace(belief, groups=Counts(successes, belief.groups.trials)))
    state, (record,) = step(CalibrationState.new(RULE), replace(tick, beliefs=broken))
    assert state.unscored.refused == 1
    _assert_finite(record)


def _assert_finite(record: CalibrationRecord) -> None:
    told = json.loads(out_record(record).value or b"")
    SCHEMA.validate(told)
    numbers = [told["log_score"], told["crps"], *(row["covered"] for row in told["coverage"])]
    assert np.isfinite(numbers).all()


def test_stores_without_visits_and_pools_without_a_fit_say_nothing() -> None:
    tick = few_days()[5]
    empty = Counts.zeros(SMALL.stores)
    state, records = step(CalibrationState.new(RULE), replace(tick, increment=empty))
    assert (records, state.unscored.empty, state.closed_ms) == ((), SMALL.stores, tick.end_ms)
    state, records = step(CalibrationState.new(RULE), replace(tick, beliefs=[]))
    assert (records, state.unscored.empty) == ((), SMALL.stores)


def test_beliefs_of_other_half_lives_are_not_mixed_up() -> None:
    with pytest.raises(FitError, match="expected beliefs of half-lives"):
        step(
            CalibrationState.new(RULE), replace(few_days()[5], beliefs=few_days()[5].beliefs[::-1])
        )


def test_log_order_values_are_scored_by_their_mean() -> None:
    family = FAMILIES["normal"]
    hyper = family.condition({"mu": 4.0, "tau2": 0.09, "sigma2": 0.81})
    belief = Belief(family, hyper, Moments(np.array([9.0]), np.array([4.2]), np.array([7.0])))
    one = Moments(np.array([4.0]), np.array([4.0]), np.array([2.0]))
    rule = replace(RULE, metric="log_order_value", half_lives_ms=(None,))
    tick = Tick(DAY_MS, DAY_MS, DAY_MS, ["s"], one, [belief])
    _, (record,) = step(CalibrationState.new(rule), tick)
    # Posterior N(4.1, .045), predictive N(4.1, .045 + .81/4); the density by hand.
    variance = 0.045 + 0.2025
    assert_allclose(
        record.log_score, -0.5 * np.log(2 * np.pi * variance) - 0.01 / (2 * variance), rtol=1e-6
    )


DRIFTING = World("conversion", drift=0.05, stores=60, days=80)


@pytest.mark.parametrize(
    ("world", "model"),
    [
        (DRIFTING, Model()),
        (World("conversion", days=30), Model(pooling="complete")),
        (World("conversion", dispersion=2.0, stores=100, days=45), Model()),
        (World("order_rate", dispersion=2.0, stores=100, days=45), Model()),
    ],
)
def test_a_wrong_model_raises_the_alarm(world: World, model: Model) -> None:
    """In short; ``make study-calibration`` counts it over 200 streams of 200 stores and 90 days."""
    assert follow(world, model, np.random.default_rng(20261127)).raised == "under_coverage"


@pytest.mark.parametrize(
    ("world", "model"),
    [
        (DRIFTING, Model((3.0, 21.0))),
        (World("conversion", stores=60, days=25), Model()),
        (World("order_rate", stores=60, days=25), Model()),
        (World("log_order_value", stores=60, days=25), Model(family="normal-moderated")),
    ],
)
def test_a_right_model_does_not(world: World, model: Model) -> None:
    followed = follow(world, model, np.random.default_rng(20261127))
    assert followed.raised == "none"
    share, error = followed.state.tally.coverage()
    # Decay leaves intervals on drifting data a little too narrow, and that is tolerated.
    room = 0.05 if world.drift else 4 * error
    assert (np.abs(share - [0.5, 0.8, 0.95]) < room).all()


@pytest.mark.parametrize("drift", [0.0, 0.05])
def test_auto_scores_nearly_as_well_as_the_best_half_life(drift: float) -> None:
    """Within 5 % of the best's log score, and better than the worst from day 6 on."""
    world = World("conversion", drift=drift, stores=40, days=40)
    auto, each, _ = log_scores(world, (3.0, 40.0), np.random.default_rng(4))
    assert (each.max() - auto) / -each.max() < 0.05
    assert auto > each.min()


def test_auto_through_the_product_scores_nearly_as_well_as_the_best_half_life() -> None:
    """Of one replay each; the first half-life, which serves until it is left, is the worse."""
    world = World("conversion", drift=0.1, stores=30, days=22)
    auto, (worse, best), used = product_log_scores(world, (40.0, 4.0), (20261127,))
    assert used == 4.0
    assert (best - auto) / -best < 0.05
    assert worse < auto < best
