"""Every flag of the closed list is raised through the engine, where it should be and only there."""

import json
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from stream_hb.engine import Engine
from stream_hb.events.clock import DAY_MS, TimeRules
from stream_hb.group_flags import TOMBSTONE_NOTICE_MS
from stream_hb.money import MoneyRules
from stream_hb.settings import EngineSettings, ModelSettings
from stream_hb.stores import NEVER_MS, Stores
from tests.support.logs import START_MS, batch, feed, open_engine, purchase, refit, shop_log, visit
from tests.support.records import Record, emit

ML = {"conversion": "ml"}
MONEY = {"conversion": "ml", "log_order_value": "reml"}
Split = tuple[list[Record], list[Record]]
"""Records that should say it, and records that should not."""


def settings(**changes: Any) -> EngineSettings:
    return EngineSettings(**{"methods": ML, **changes})


def working(*more: bytes, **changes: Any) -> Engine:
    """An engine that has counted the shops' log and more, and fitted it."""
    engine = open_engine(settings(**changes))
    feed(engine, [*shop_log(), *more])
    refit(engine, START_MS)
    return engine


def everything(engine: Engine, now_ms: int = START_MS, **options: Any) -> list[Record]:
    return emit(engine, now_ms, everything=True, **options)


def split(records: Iterable[Record], *stores: str) -> Split:
    """Return the records of these stores, and those of the others."""
    both: Split = ([], [])
    for record in records:
        both[record["key"]["store_id"] not in stores].append(record)
    return both


def counted(store: str, visits: int, orders: int) -> list[bytes]:
    visited = [visit(store, f"v{number}") for number in range(visits)]
    return visited + [purchase(store, f"o{n}", visit_id=f"v{n}") for n in range(orders)]


def cold_start() -> Split:
    stores = Stores.of([("c", "silent")])
    engine = working(stores=stores, registers=lambda _store, _shard: True)
    return split(everything(engine), "silent")


def low_n() -> Split:
    records = everything(working(*counted("few", 29, 3), *counted("more", 30, 3)))
    return split(records, "few")[0], split(records, "more")[0]


def stale_hyper() -> Split:
    engine = working()
    late = everything(engine, START_MS + 10_001)
    refit(engine, START_MS + 10_001)
    return late, everything(engine, START_MS + 10_001)


def stale_input() -> Split:
    engine = working()
    newest_ms = engine.shards[0].positions["events", 0].event_time_ms
    return everything(engine, newest_ms + 300_001), everything(engine, newest_ms + 300_000)


def boundary_tau0() -> Split:
    alike = open_engine(settings())
    for store in "abc":
        feed(alike, counted(store, 40, 10))
    refit(alike, START_MS)
    return everything(alike), everything(working())


def no_variance() -> Split:
    """Three orders of one value, also after a fourth of another was refunded; one order is few."""
    same = [purchase("same", f"o{n}", amount_minor=1999) for n in range(3)]
    other = [purchase("other", f"o{n}", amount_minor=1999 + n) for n in range(3)]
    log = (*same, *other, purchase("one", "o"))
    engine = working(*log, methods=MONEY, composites=("revenue_per_visit",))
    records = everything(engine)
    of_money = [r for r in records if r["metric"] != "conversion"]
    assert {r["metric"] for r in of_money} == {"log_order_value", "revenue_per_visit"}
    flagged, others = split(of_money, "same")
    return flagged, [*others, *(r for r in records if r["metric"] == "conversion")]


def late_data() -> Split:
    engine = working(time=TimeRules(lateness_ms=0, horizon_ms=DAY_MS))
    feed(engine, [visit("c-1", f"d{day}", START_MS + day * DAY_MS) for day in (1, 2, 3)])
    feed(engine, [visit("c-2", "late", START_MS)])
    return split(everything(engine), "c-2")


def mixed_currency() -> Split:
    foreign = purchase("c-3", "x1", currency="USD", visit_id="v1")
    return split(everything(working(foreign, methods=MONEY)), "c-3")


def srm() -> Split:
    return split(everything(working(), srm=[("c", "c-4"), ("other", "c-5")]), "c-4")


def overdispersed() -> Split:
    """One store converts nine visits in ten, sixty about one in ten."""
    wild, tame = open_engine(settings()), open_engine(settings())
    for number in range(60):
        feed(tame, counted(f"s{number}", 100, 8 + number % 5))
        feed(wild, counted(f"s{number}", 100, 8 + number % 5 if number else 90))
    for engine in (wild, tame):
        refit(engine, START_MS)
    return everything(wild), everything(tame)


def clamped() -> Split:
    """The cap holds one order of ``c-5``, and one in two thousand of ``large``."""
    rules = MoneyRules(cap_minor=1_000_000)
    many = [purchase("large", f"o{n}", amount_minor=5_000 + n) for n in range(2_000)]
    dear = [purchase(s, "dear", amount_minor=1_000_001) for s in ("c-5", "large")]
    at_the_cap = purchase("c-6", "cap", amount_minor=1_000_000)
    engine = working(*many, *dear, at_the_cap, methods=MONEY, money=rules)
    records = everything(engine)
    of_money = [r for r in records if r["metric"] == "log_order_value"]
    flagged, others = split(of_money, "c-5")
    return flagged, [*others, *(r for r in records if r["metric"] == "conversion")]


def not_converged() -> Split:
    """A covariate tells apart who always converts from who never does: its slope has no end."""
    stores = Stores.of(
        [("c", f"s{n}") for n in range(8)], covariates={"size": np.repeat([0.0, 1.0], 4)}
    )
    by_size = {"conversion": ModelSettings(covariates=("size",))}
    engine = open_engine(settings(models=by_size, stores=stores))
    for number in range(8):
        feed(engine, counted(f"s{number}", 40, 40 * (number >= 4)))
    refit(engine, START_MS)
    return everything(engine), everything(working())


def retiring(retired_ms: int) -> EngineSettings:
    dates = np.array([retired_ms, NEVER_MS])
    return settings(stores=Stores.of([("c", "c-6"), ("c", "c-7")], retired_ms=dates))


def tombstone_pending() -> Split:
    engine = open_engine(retiring(START_MS + TOMBSTONE_NOTICE_MS))
    feed(engine, shop_log())
    refit(engine, START_MS)
    before = everything(engine, START_MS - 1)
    flagged, others = split(everything(engine), "c-6")
    return flagged, [*before, *others]


def plug_in() -> Split:
    return everything(working()), everything(working(methods={"conversion": "bayes"}))


def bimodal() -> Split:
    flagged, _ = not_converged()
    return flagged, everything(working())


SCENES: dict[str, Callable[[], Split]] = {
    scene.__name__: scene
    for scene in (
        cold_start,
        low_n,
        stale_hyper,
        stale_input,
        boundary_tau0,
        no_variance,
        late_data,
        mixed_currency,
        srm,
        overdispersed,
        clamped,
        not_converged,
        tombstone_pending,
        plug_in,
        bimodal,
    )
}
NEVER_RAISED = {"rebuilding", "wrong_partition"}
"""What the schema allows besides: a worker that rebuilds writes nothing, and an event in a wrong
partition is rejected."""


@pytest.mark.parametrize("flag", SCENES)
def test_a_flag_is_raised_where_its_reason_holds_and_nowhere_else(flag: str) -> None:
    flagged, others = SCENES[flag]()
    assert flagged
    assert others
    assert all(flag in record["flags"] for record in flagged)
    assert not any(flag in record["flags"] for record in others)


def test_every_flag_of_the_schema_has_its_reason() -> None:
    schema = json.loads(files("stream_hb").joinpath("schemas/estimate_v1.json").read_text("utf-8"))
    allowed = set(schema["properties"]["flags"]["items"]["enum"])
    assert allowed == set(SCENES) | NEVER_RAISED


def test_every_flag_is_explained_in_the_feeds_readme() -> None:
    text = files("stream_hb").joinpath("feeds/README.md").read_text("utf-8")
    for flag in (*SCENES, *NEVER_RAISED):
        assert f"| `{flag}` |" in text, flag


def test_orders_of_one_value_have_no_variance_after_another_is_refunded() -> None:
    same = [purchase("same", f"o{n}", amount_minor=1999) for n in range(3)]
    wild = purchase("same", "wild", amount_minor=70_000_000)
    refund = {"refund_id": "r", "order_id": "wild", "currency": "EUR", "event_type": "refund"}
    taken = json.dumps({**json.loads(wild), **refund}).encode()
    engine = working(*same, wild, methods=MONEY)
    assert not any("no_variance" in record["flags"] for record in everything(engine))
    feed(engine, [taken])
    values = [r for r in everything(engine) if r["metric"] == "log_order_value"]
    flagged, others = split(values, "same")
    assert ["no_variance" in record["flags"] for record in flagged] == [True]
    assert not any("no_variance" in record["flags"] for record in others)


def test_what_a_batch_brings_is_flagged_in_the_records_that_it_makes() -> None:
    """The records of a candidate are those of the state that it becomes."""
    engine = working(methods=MONEY, money=MoneyRules(cap_minor=1_000_000))
    position = engine.shards[0].positions["events", 0].next_offset
    log = [
        purchase("c-1", "x", currency="USD"),
        purchase("c-2", "x", amount_minor=2_000_000),
        purchase("new", "x", amount_minor=2_000_000),
        purchase("new", "y", currency="USD"),
    ]
    candidate = engine.ingest({0: [batch(log, first_offset=position)]})
    ahead = engine.emit(START_MS, candidate, everything=True).records
    engine.apply(candidate)
    assert ahead == engine.emit(START_MS, everything=True).records
    flags = {
        (r["key"]["store_id"], r["metric"]): r["flags"]
        for r in everything(engine)
        if r["key"]["store_id"] in ("c-1", "c-2", "new")
    }
    assert "mixed_currency" in flags["c-1", "conversion"]
    assert "clamped" in flags["c-2", "log_order_value"]
    assert {"mixed_currency", "clamped"} <= set(flags["new", "log_order_value"])
    assert "clamped" not in flags["new", "conversion"]


def test_a_refused_currency_is_forgotten_after_the_horizon() -> None:
    engine = working(
        purchase("c-3", "x1", currency="USD"),
        time=TimeRules(lateness_ms=0, horizon_ms=DAY_MS),
    )
    for day, said in ((0, True), (1, False)):
        feed(engine, [visit("c-1", f"d{day}", START_MS + day * DAY_MS + 3_600_000)])
        flagged, _ = split(everything(engine), "c-3")
        assert ["mixed_currency" in record["flags"] for record in flagged] == [said]


def test_a_store_whose_money_is_refused_outright_is_flagged_only_if_it_is_known() -> None:
    rules = MoneyRules("EUR")
    foreign = [purchase(store, "x1", currency="USD") for store in ("c-3", "unknown")]
    flagged, others = split(everything(working(*foreign, money=rules)), "c-3", "unknown")
    assert {record["key"]["store_id"] for record in flagged} == {"c-3"}
    assert all("mixed_currency" in record["flags"] for record in flagged)
    assert not any("mixed_currency" in record["flags"] for record in others)


def test_incidents_outlive_a_restore() -> None:
    engine = working(purchase("c-3", "x1", currency="USD"))
    restored = Engine(settings())
    restored.restore(engine.snapshot())
    assert everything(restored) == everything(engine)
    flagged, _ = split(everything(restored), "c-3")
    assert "mixed_currency" in flagged[0]["flags"]


def test_a_retired_store_has_no_record_left_to_be_flagged() -> None:
    engine = open_engine(retiring(START_MS))
    feed(engine, shop_log())
    refit(engine, START_MS)
    assert not any("tombstone_pending" in record["flags"] for record in everything(engine))
