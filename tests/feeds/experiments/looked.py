"""Experiments that the tests of the room look at, and their records, checked on the way."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any

import msgspec
import numpy as np
from jsonschema import Draft202012Validator

from stream_hb.feeds.estimates import OutRecord
from stream_hb.feeds.experiments.analysis import Look, Seen, look
from stream_hb.feeds.experiments.arm_statistics import ArmStatistics
from stream_hb.feeds.experiments.chain_record import chain_record
from stream_hb.feeds.experiments.declaration import DeclaredArm, Experiment
from stream_hb.feeds.experiments.record import Provenance
from stream_hb.feeds.experiments.state import State
from stream_hb.feeds.experiments.store_belief import all_store_beliefs
from stream_hb.feeds.experiments.store_record import store_records
from stream_hb.feeds.experiments.unit_statistics import UnitColumns, statistics_of_units
from stream_hb.statistics.columns import Floats

START_MS = 1_700_000_000_000
DAY_MS = 86_400_000

SCHEMA = json.loads(files("stream_hb").joinpath("schemas/experiment_v1.json").read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)

TWO = Experiment("ab", (DeclaredArm("a", 0.5), DeclaredArm("b", 0.5)), "a", START_MS)
THREE = replace(
    TWO, arms=tuple(DeclaredArm(name, w) for name, w in (("a", 0.5), ("b", 0.25), ("c", 0.25)))
)


def totals(
    units: Sequence[Sequence[float]], conversions: Sequence[Sequence[float]]
) -> ArmStatistics:
    """Return statistics of totals, an order a purchase: one row a store, one column an arm."""
    n, y = np.array(units, dtype=np.float64), np.array(conversions, dtype=np.float64)
    return ArmStatistics.of_totals(n, y, y)


def seen(statistics: ArmStatistics, day: float = 20, **more: Any) -> Seen:
    """Return a look at the end of a day, everything assigned being mature."""
    more.setdefault("assigned", statistics.units)
    return Seen(statistics, at_ms=START_MS + round(day * DAY_MS), **more)


def looked(experiment: Experiment, what: Seen, state: State | None = None) -> tuple[State, Look]:
    """Look once."""
    return look(experiment, state or State.fresh(experiment), what)


def drawn_units(
    random: np.random.Generator, count: int, stores: int = 3, arms: int = 2, lift: float = 0.0
) -> UnitColumns:
    """Draw units with several visits each, and orders that depend on their past."""
    arm = random.integers(0, arms, count)
    keen = random.gamma(2.0, 0.5, count)
    visits = 1 + random.poisson(keen).astype(np.float64)
    orders = random.poisson(0.1 * keen * visits * (1 + lift * (arm == 1))).astype(np.float64)
    value = np.round(orders * np.exp(random.normal(8, 0.9, count)))
    return UnitColumns(
        random.integers(0, stores, count),
        arm,
        visits,
        orders,
        value,
        START_MS + random.integers(0, 10 * DAY_MS, count),
        keen + random.normal(0, 0.3, count),
    )


def of_units(units: UnitColumns, stores: int = 3, arms: int = 2, **more: Any) -> ArmStatistics:
    """Add units up."""
    return statistics_of_units(units, stores, arms, **more)


def records(experiment: Experiment, what: Seen, state: State | None = None) -> list[dict[str, Any]]:
    """Look, and return the chain's record, then those of every metric's stores; all are checked."""
    new, found = looked(experiment, what, state)
    names = [f"s{i}" for i in range(what.statistics.shape[0])]
    provenance = Provenance(
        "north", names, 3, what.at_ms, what.at_ms + 5, msgspec.Raw(b'{"visits-0":17}')
    )
    beliefs = all_store_beliefs(experiment, what.statistics)
    out = [chain_record(provenance, 1, experiment, new, what, found, beliefs)]
    for metric in experiment.analysed:
        out += store_records(
            provenance, range(1, 1 + len(names)), experiment, new, found, metric, beliefs[metric]
        )
    return [checked(record) for record in out]


def checked(record: OutRecord) -> dict[str, Any]:
    """Parse a record: it keeps the schema, has no NaN and no infinity, and its key is its key."""
    assert record.value is not None
    value: dict[str, Any] = json.loads(record.value, parse_constant=_no_constant)
    VALIDATOR.validate(value)
    key = value["key"]
    names = ("experiment_id", "chain_id", "store_id", "metric")
    assert record.key.decode() == "|".join(key[name] or "" for name in names)
    for effect in value.get("effects", ()):
        _check_effect(effect)
    return value


def _check_effect(effect: dict[str, Any]) -> None:
    """Hold what the schema cannot say: the estimate is on the line from raw to pooled."""
    if effect["effect"] is None or effect["raw"] is None:
        return
    w = effect["shrinkage_weight"]
    between = (1 - w) * effect["raw"] + w * effect["pooled"]
    assert math.isclose(effect["effect"], between, rel_tol=1e-9, abs_tol=1e-9)
    assert effect["interval"]["lo"] <= effect["effect"] <= effect["interval"]["hi"]


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} in a record")


def floats(*values: float) -> Floats:
    """Return an array."""
    return np.array(values, dtype=np.float64)
