"""``stream-hb convert``: tables as events, and real tables through the whole replay."""

import csv
import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import run
from tests.oracles.reading import oracle

EXPECTED = oracle("real_data_fits")

SHOP = ("--store", "shop")
AT = ("--at", "2020-01-01")
ORDERS = "shop,day,usd\nNew York,19970102,11.77\nb,19970101,0\nb,19970103,2.5\n"
CLICKS = "campaign,item,at,click\nmen,1,2019-11-24T00:00:34.5Z,0\nmen,1,2019-11-24T00:01:00Z,1\n"


def converted(tmp_path: Path, text: str, *options: str) -> list[dict[str, Any]]:
    table = tmp_path / "table.csv"
    table.write_text(text, encoding="utf-8")
    ran = run("convert", str(table), *options)
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


def test_orders_come_in_the_order_of_their_time(tmp_path: Path) -> None:
    options = ("--store", "shop", "--time", "day", "--time-format", "%Y%m%d")
    money = ("--shift-days", "7305", "--amount", "usd", "--currency", "USD")
    events = converted(tmp_path, ORDERS, *options, *money)
    found = [(e["store_id"], e["order_id"], e["amount_minor"]) for e in events]
    assert found == [("b", "row-2", 0), ("New_York", "row-1", 1177), ("b", "row-3", 250)]
    assert events[0]["event_time_ms"] == 1_483_228_800_000  # 2017-01-01
    assert {e["event_type"] for e in events} == {"purchase"}


def test_a_row_that_converted_is_a_visit_and_an_order_of_it(tmp_path: Path) -> None:
    options = ("--store", "campaign,item", "--time", "at", "--converted", "click")
    events = converted(tmp_path, CLICKS, *options)
    kinds = [(e["event_type"], e["visit_id"]) for e in events]
    assert kinds == [("visit", "row-1"), ("visit", "row-2"), ("purchase", "row-2")]
    assert {e["store_id"] for e in events} == {"men-1"}
    assert events[0]["event_time_ms"] == 1_574_553_634_500


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (ORDERS, ("--store", "shap", *AT), "did you mean 'shop'?"),
        (ORDERS, SHOP, "--time (a column) and --at"),
        ("shop,usd\na,-1\n", (*SHOP, *AT, "--amount", "usd"), "line 2: column 'usd': expected an"),
        ("shop,usd\na,NaN\n", (*SHOP, *AT, "--amount", "usd"), "expected an amount of 0 or more"),
        ("shop,c\na,yes\n", (*SHOP, *AT, "--converted", "c"), "column 'c': expected 0 or 1"),
        ("shop,d\na,1997-01-01\n", (*SHOP, "--time", "d"), "line 2: an event's time lies between"),
        ("shop,d\na,monday\n", (*SHOP, "--time", "d"), "expected a time (iso), not 'monday'"),
        ("shop\na\n", (*SHOP, *AT, "--arm", "shop"), "--arm (a column) needs --experiment"),
        ('shop\n""\n', (*SHOP, *AT), "line 2: column 'shop': expected 1 to 64"),
        ("shop\na\n", (*SHOP, *AT, "--currency", "eur"), "expected three capital letters"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, text: str, options: tuple[str, ...], said: str
) -> None:
    table = tmp_path / "table.csv"
    table.write_text(text, encoding="utf-8")
    ran = run("convert", str(table), *options)
    assert ran.code != 0
    assert said in ran.err


DATA = Path(__file__).parents[1] / "data" / "real"
CENTS = math.log(100)


def replayed(tmp_path: Path, table: str, metric: str, method: str, *options: str) -> Any:
    """Convert a real table and replay it; return the last refit and the last estimates by store."""
    config = tmp_path / "config.yaml"
    others = {"conversion", "order_rate", "log_order_value"} - {metric}
    metrics = dict.fromkeys(others) | {metric: {"method": method}}
    everything = {"metrics": metrics, "refit": {"every_seconds": 90 * 86_400}}
    config.write_text(json.dumps(everything), encoding="utf-8")
    made = run("convert", str(DATA / table), *options)
    assert made.code == 0, made.err
    log = tmp_path / "events.ndjson"
    log.write_text(made.out, encoding="utf-8")
    ran = run("replay", str(config), "--events", str(log), "--output", str(tmp_path), "--json")
    assert (ran.code, ran.json["rejected"]) == (0, {})
    assert ran.json["accepted"] == ran.json["received"] == len(made.out.splitlines())
    last = json.loads((tmp_path / "refits.ndjson").read_text().splitlines()[-1])
    lines = (tmp_path / "estimates.ndjson").read_text().splitlines()
    records = {record["key"]["store_id"]: record for record in map(json.loads, lines)}
    return {k: v["value"] for k, v in last["hyperparameters"].items()}, last, records


def rows(table: str) -> list[dict[str, str]]:
    with gzip.open(DATA / table, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_orders_of_cdnow_replay_whole(tmp_path: Path) -> None:
    """69,659 orders in daily rows; of 80 the amount is 0: they count, their value does not."""
    options = ("--store", "customer_id", "--time", "date", "--time-format", "%Y%m%d")
    money = ("--shift-days", "7305", "--amount", "usd", "--currency", "USD")
    hyper, last, records = replayed(
        tmp_path, "cdnow_orders.csv.gz", "log_order_value", "pm", *options, *money
    )
    logs: dict[str, list[float]] = {}
    for row in rows("cdnow_orders.csv.gz"):
        values = logs.setdefault(row["customer_id"], [])
        if float(row["usd"]) > 0:
            values.append(math.log(float(row["usd"])) + CENTS)
    expected = EXPECTED["cdnow_log_usd_customer"]
    assert last["observations"] == expected["n"] == sum(map(len, logs.values()))
    assert last["groups"] == expected["groups"]
    assert records.keys() == logs.keys()
    for store, values in logs.items():
        assert records[store]["n_kish"] == len(values)
        if values:
            mean = math.fsum(values) / len(values)
            assert records[store]["raw"] == pytest.approx(mean, rel=1e-12)
    assert hyper["mu"] - CENTS == pytest.approx(expected["mu"], rel=1e-9)
    for name in ("sigma2", "se_mu"):
        assert hyper[name] == pytest.approx(expected[name], rel=1e-9)
    assert hyper["tau2"] == pytest.approx(expected["tau2_PM"], rel=1e-8)


@pytest.mark.parametrize(
    ("column", "name"),
    [("State", "superstore_log_sales_state"), ("City", "superstore_log_sales_city")],
)
def test_sales_of_a_superstore(tmp_path: Path, column: str, name: str) -> None:
    """The oracle has sales to four decimals, an event has cents: so far they differ."""
    options = ("--store", column, "--at", "2017-01-01", "--amount", "Sales", "--currency", "USD")
    hyper, last, records = replayed(
        tmp_path, "superstore_sales.csv.gz", "log_order_value", "pm", *options
    )
    expected = EXPECTED[name]
    assert (last["groups"], last["observations"]) == (expected["groups"], expected["n"])
    counts: dict[str, int] = {}
    for row in rows("superstore_sales.csv.gz"):
        counts[row[column]] = counts.get(row[column], 0) + 1
    assert sorted(r["n_kish"] for r in records.values()) == sorted(counts.values())
    assert hyper["mu"] - CENTS == pytest.approx(expected["mu"], rel=1e-5)
    assert hyper["sigma2"] == pytest.approx(expected["sigma2"], rel=1e-4)
    assert hyper["tau2"] == pytest.approx(expected["tau2_PM"], rel=1e-3)


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ("campaign,item_id", "obd_campaign_item_id"),
        ("campaign,item_id,policy", "obd_campaign_item_id_policy"),
    ],
)
def test_clicks_of_open_bandit(tmp_path: Path, columns: str, name: str) -> None:
    """A flat ridge: scipy's fit is good to 2e-5 in the concentration."""
    options = ("--store", columns, "--time", "timestamp", "--converted", "click")
    hyper, last, records = replayed(
        tmp_path, "open_bandit_clicks.csv.gz", "conversion", "ml", *options
    )
    expected = EXPECTED[name]
    assert (last["groups"], last["observations"]) == (
        expected["groups"],
        expected["n"] + expected["y"],
    )
    counts: dict[str, list[int]] = {}
    for row in rows("open_bandit_clicks.csv.gz"):
        mine = counts.setdefault("-".join(row[column] for column in columns.split(",")), [0, 0])
        mine[0] += 1
        mine[1] += int(row["click"])
    assert records.keys() == counts.keys()
    for store, (visits, clicks) in counts.items():
        assert (records[store]["n_kish"], records[store]["raw"]) == (visits, clicks / visits)
    assert hyper["mean"] == pytest.approx(expected["mean"], rel=2e-6)
    assert hyper["concentration"] == pytest.approx(expected["strength"], rel=2e-5)
