"""The laws of experiments: what a tick tells is a function of the set of events, the plain one."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stream_hb.engine import Engine
from stream_hb.events.calendar import HOUR_MS
from stream_hb.experiments_feed import ExperimentsFeed
from stream_hb.feeds.experiments.declaration import Experiment
from stream_hb.running_experiment import Running
from tests.feeds.experiments.looked import checked
from tests.reference import experiment_units
from tests.support.experiments import (
    EXPERIMENT,
    Event,
    cut,
    encoded,
    engine_with,
    shuffled,
    step,
    visitors,
)
from tests.support.records import assert_alike

WINDOW_MS = EXPERIMENT.attribution_window_ms
COUNTED = replace(EXPERIMENT, metrics=("conversion",))
"""Of one metric a look is quicker, and the units are the same."""

LOG = visitors(1, count=300, days=2, arms="abx")


def fed(
    log: list[Event], seed: int, pieces: int = 20, experiment: Experiment = COUNTED
) -> tuple[Engine, list[dict[str, Any]]]:
    """Feed a log in batches; return the engine, and the chain's records."""
    engine, records = engine_with(experiment), []
    for some in [*cut(log, seed, pieces), []]:
        records += step(engine, encoded(some)).records["experiments"]
    parsed = [checked(record) for record in records]
    return engine, [record for record in parsed if record["scope"] == "chain"]


def running(engine: Engine) -> Running:
    feed = engine.memory.feeds["experiments"]
    assert isinstance(feed, ExperimentsFeed)
    return feed.running["ab", "c"]


def counted(known: Running) -> experiment_units.Counts:
    """Return the feed's sums as the reference counts."""
    s = known.statistics
    assert s.joint is not None
    revenue = s.joint.mean[..., 3] * s.units
    columns = (known.assigned, s.units, s.visits, s.conversions, s.orders, np.rint(revenue))
    assigned, units, visits, conversions, orders, revenues = (
        Counter(
            {
                (store, arm): int(column[row, at])
                for row, store in enumerate(known.stores)
                for at, arm in enumerate("ab")
                if column[row, at]
            }
        )
        for column in columns
    )
    return experiment_units.Counts(
        assigned,
        units,
        visits,
        conversions,
        orders,
        revenues,
        int(known.crossovers),
        int(known.undeclared),
    )


def expected(engine: Engine, log: list[Event]) -> experiment_units.Counts:
    at_ms = engine.memory.until * HOUR_MS
    return experiment_units.count(log, "ab", at_ms, WINDOW_MS, HOUR_MS)


@pytest.mark.parametrize("seed", range(2))
def test_units_are_what_the_plain_rules_count(seed: int) -> None:
    log = visitors(seed, count=300, days=2, arms="abx")
    engine, _ = fed(log, seed)
    found = counted(running(engine))
    assert found == expected(engine, log)
    assert found.crossovers > 3
    assert found.undeclared > 3
    assert found.units.total() > 50


@pytest.fixture(scope="module")
def plain() -> tuple[Engine, list[dict[str, Any]]]:
    return fed(LOG, 0, experiment=EXPERIMENT)


@pytest.mark.parametrize("seed", range(2))
def test_any_order_within_the_lateness_any_batches_and_repetitions_decide_the_same(
    plain: tuple[Engine, list[dict[str, Any]]], seed: int
) -> None:
    engine, records = plain
    log = shuffled(LOG, seed, HOUR_MS)
    other, others = fed(log, seed, pieces=4 + 60 * seed, experiment=EXPERIMENT)
    one, two = running(engine), running(other)
    assert counted(one) == counted(two) == expected(engine, LOG)
    assert one.stores == two.stores
    for mine, its in zip(records, others, strict=True):
        assert mine["decision"]["action"] == its["decision"]["action"]
        assert_alike(without(mine), without(its))


def without(record: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says how far the reading had got, and the reasons' rounded figures."""
    mine = {name: value for name, value in record.items() if name not in ("offsets", "as_of_ms")}
    return mine | {"decision": record["decision"]["arm"]}


def test_a_snapshot_in_the_middle_changes_nothing() -> None:
    better = visitors(3, count=900, days=1, rate=0.3, lift=1.5)
    worse = visitors(4, count=900, days=1, rate=0.5, lift=-0.6, first_day=1)
    log = sorted(better + worse, key=lambda each: each["event_time_ms"])
    whole, records = engine_with(COUNTED), []
    restored, same = engine_with(COUNTED), []
    for some in cut(log, 3, 12):
        records += step(whole, encoded(some)).records["experiments"]
        again = Engine(restored.settings, feeds={"experiments": ExperimentsFeed((COUNTED,))})
        again.restore(restored.snapshot())
        restored = again
        same += step(restored, encoded(some)).records["experiments"]
    assert records == same
    p = [
        record["metrics"][0]["effects"][0]["p"]
        for record in map(checked, records)
        if record["scope"] == "chain"
    ]
    assert len(p) > 15
    # There was something to remember: the least p, and evidence that is gone since.
    assert 0 < p[-1] == p[-10] < 1
    assert running(restored).state.log_e[0, 0, 0] < -np.log(p[-1]) - 1
