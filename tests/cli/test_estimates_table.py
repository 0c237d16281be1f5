"""Estimate records as tables for people."""

import io

import pytest
from rich.console import Console

from stream_hb.cli.estimates_table import (
    SORTED_AS,
    SORTS,
    UNITS,
    Record,
    by_metric,
    estimates_table,
    hyper_table,
)
from stream_hb.cli.show import Sort
from tests.support.estimates import NOW_MS, estimate_record


def record(store: str, **changes: object) -> Record:
    return estimate_record(key={"chain_id": "c", "store_id": store, "arm": None}, **changes)


def printed(table: object) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def interval(lo: float, hi: float) -> dict[str, object]:
    return {"lo": lo, "hi": hi, "level": 0.95, "kind": "equal_tailed"}


RECORDS = [
    record("plain", raw=0.36, interval=interval(0.3, 0.4), as_of_ms=NOW_MS - 2),
    record("moved", raw=0.9, interval=interval(0.3, 0.5), as_of_ms=NOW_MS - 1),
    record("wide", raw=0.3, interval=interval(0.1, 0.9), as_of_ms=NOW_MS - 3),
    record("young", raw=None, interval=interval(0.3, 0.6), as_of_ms=NOW_MS),
]


@pytest.mark.parametrize(
    ("sort", "stores"),
    [
        ("shrunk", ["moved", "wide", "plain", "young"]),
        ("wide", ["wide", "young", "moved", "plain"]),
        ("new", ["young", "moved", "plain", "wide"]),
        ("store", ["moved", "plain", "wide", "young"]),
    ],
)
def test_what_was_asked_for_comes_first(sort: str, stores: list[str]) -> None:
    (records,) = by_metric(RECORDS, sort).values()
    assert [r["key"]["store_id"] for r in records] == stores


def test_every_sort_has_its_rule_and_its_words() -> None:
    assert set(Sort) == SORTS.keys() == SORTED_AS.keys()


def test_each_metric_is_sorted_and_limited_by_itself() -> None:
    """An order value differs by more than a rate ever can: together it would be first for ever."""
    values = [record(s, metric="log_order_value", raw=9.0, estimate=7.0) for s in ("a", "b")]
    found = by_metric([*values, *RECORDS], "shrunk", 1)
    assert {name: len(some) for name, some in found.items()} == {
        "conversion": 1,
        "log_order_value": 1,
    }
    assert list(found) == ["conversion", "log_order_value"]


def test_a_metric_that_the_table_does_not_know_comes_last() -> None:
    found = by_metric([record("a", metric="elasticity"), *RECORDS], "store")
    assert list(found) == ["conversion", "elasticity"]
    assert "elasticity" not in UNITS


def test_what_all_records_say_is_said_once() -> None:
    records = [
        record("a", flags=["low_n", "plug_in"]),
        record("b", flags=["clamped", "plug_in", "stale_input"]),
    ]
    shown = printed(estimates_table(records, unshown=("stale_input",)))
    assert shown.count("plug_in") == 1
    assert "all: plug_in" in shown
    assert "stale_input" not in shown
    assert "low_n" in shown


def test_a_single_record_says_all_it_has_in_its_row() -> None:
    shown = printed(estimates_table([record("a", flags=["plug_in"])]))
    assert "all:" not in shown
    assert "plug_in" in shown


def test_the_age_of_a_record_is_shown_where_the_time_is_known() -> None:
    assert " age" not in printed(estimates_table(RECORDS))
    shown = printed(estimates_table(RECORDS, now_ms=NOW_MS + 7_200_000))
    assert shown.count(" 2 h") == len(RECORDS)


def test_money_is_shown_in_full_and_a_cold_start_with_dashes() -> None:
    dear = record("a", raw=12_345.6, interval=interval(9_999.0, 20_000.4))
    young = record("b", raw=None, shrinkage_weight=None)
    shown = printed(estimates_table([dear, young]))
    assert "12,346" in shown
    assert "9999 … 20,000" in shown
    assert shown.count(" - ") + shown.count(" -\n") >= 2


def test_the_level_stands_over_the_interval() -> None:
    assert "95 % interval" in printed(estimates_table(RECORDS))
    mixed = [*RECORDS, record("a", interval=interval(0.1, 0.2) | {"level": 0.9})]
    assert "%" not in printed(estimates_table(mixed))


def test_the_hyperparameters_are_those_of_the_newest_refit_of_a_pool() -> None:
    hyper = estimate_record()["hyper"]
    old = record("a", hyper=hyper | {"version": 9, "params": {"mean": 0.1}})
    composite = record("b", metric="revenue_per_visit", model="composite")
    shown = printed(hyper_table([old, *RECORDS, composite], now_ms=NOW_MS + 60_000))
    assert "mean 0.2, concentration inf" in shown
    assert "mean 0.1" not in shown
    assert "revenue_per_visit" not in shown
    assert "60 s" in shown
