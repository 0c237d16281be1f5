"""Money: one currency a group, dated rates, caps, orders worth nothing."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_hb.engine import Engine
from stream_hb.errors import TableError
from stream_hb.money import MoneyRules
from stream_hb.runtime.rates_file import read_rates
from stream_hb.settings import EngineSettings, Input
from tests.support.logs import START_MS, batch, open_engine, purchase, refit, refund, visit
from tests.support.records import emit

METHODS = {"conversion": "ml", "log_order_value": "pm"}
RATES = "date,currency,rate\n2024-01-01,USD,0.8\n2024-11-01,USD,0.9\n2024-01-01,JPY,0.006\n"
DAY_MS = 86_400_000


def fed(rules: MoneyRules, *payloads: bytes) -> tuple[Engine, list[tuple[str, int]]]:
    engine = open_engine(EngineSettings(METHODS, money=rules))
    candidate = engine.ingest({0: [batch(payloads)]})
    engine.apply(candidate)
    return engine, [(reject.reason, reject.offset) for reject in candidate.rejects]


def values(engine: Engine) -> dict[str, float]:
    table = engine.shards[0].table
    means = np.exp(table.statistic("log_order_value").columns()["mean"])
    return {store: value for (_, store), value in zip(table.keys, means.tolist(), strict=True)}


def test_a_group_has_the_currency_of_its_first_order() -> None:
    engine, rejects = fed(
        MoneyRules(),
        purchase("a", "1", currency="EUR"),
        purchase("a", "2", currency="USD"),
        purchase("b", "3", currency="USD"),
    )
    assert rejects == [("mixed_currency", 1)]
    later = engine.ingest({0: [batch([purchase("a", "4", currency="GBP")], first_offset=3)]})
    assert [reject.reason for reject in later.rejects] == ["mixed_currency"]
    assert engine.shards[0].purse.names(np.arange(3)) == ["EUR", "USD", None]


def test_an_earlier_order_in_another_currency_turns_the_groups() -> None:
    engine, _ = fed(
        MoneyRules(),
        purchase("a", "1", START_MS + 2, visit_id="v", amount_minor=5, currency="EUR"),
        purchase("a", "1", START_MS + 3, amount_minor=7, currency="USD"),
        refund("a", "1", START_MS + 4, amount_minor=3, refund_id="r", currency="USD"),
    )
    assert values(engine) == pytest.approx({"a": 5})
    turning = [purchase("a", "2", START_MS + 1, amount_minor=4, currency="USD")]
    candidate = engine.ingest({0: [batch(turning, first_offset=3)]})
    assert candidate.accepted == 1
    engine.apply(candidate)
    assert engine.shards[0].purse.names(np.arange(1)) == ["USD"]
    assert values(engine) == pytest.approx({"a": 4})  # and 7 - 3, of which the mean is 4 too
    assert engine.tallies["orders"] == 2
    conversion = engine.shards[0].table.statistic("conversion").columns()
    assert conversion["trials"].tolist() == [0]  # the visit was implied by an order in euros
    assert (engine.shards[0].incidents.currency_ms > 0).all()


def test_a_refund_says_no_currency() -> None:
    back = refund("a", "1", START_MS, amount_minor=3, refund_id="r", currency="USD")
    order = purchase("a", "1", START_MS + 1, amount_minor=7, currency="EUR")
    for log in ([back, order], [order, back]):
        engine, _ = fed(MoneyRules(), *log)
        assert engine.shards[0].purse.names(np.arange(1)) == ["EUR"]
        assert values(engine) == pytest.approx({"a": 7})


def test_received_is_accepted_and_rejected_when_currencies_contradict() -> None:
    engine = open_engine(EngineSettings(METHODS))
    log = [
        purchase("a", f"o{n % 3}", START_MS + at, currency=currency)
        for n, (at, currency) in enumerate([(9, "USD"), (8, "EUR"), (7, "USD"), (7, "CHF")])
    ]
    counts = []
    for first, payload in enumerate(log):
        candidate = engine.ingest({0: [batch([payload], first_offset=first)]})
        counts.append((candidate.accepted, len(candidate.rejects)))
        engine.apply(candidate)
    assert counts == [(1, 0)] * 4  # each turns the currency
    candidate = engine.ingest({0: [batch(log, first_offset=4)]})
    assert (candidate.accepted, len(candidate.rejects)) == (1, 3)


def test_the_configured_currency_is_everybodys() -> None:
    _, rejects = fed(MoneyRules("EUR"), purchase("a", "1", currency="USD"))
    assert rejects == [("mixed_currency", 0)]


def test_orders_are_converted_at_their_own_date(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(RATES)
    rules = MoneyRules("EUR", read_rates(path, "EUR"))
    november_ms = 1_730_419_200_000  # 2024-11-01
    engine, rejects = fed(
        rules,
        purchase("a", "1", november_ms - 1, amount_minor=1000, currency="USD"),
        purchase("b", "2", november_ms, amount_minor=1000, currency="USD"),
        purchase("c", "3", november_ms, amount_minor=1000, currency="JPY"),
        purchase("d", "4", november_ms, amount_minor=1000, currency="EUR"),
        purchase("e", "5", november_ms, amount_minor=1000, currency="CHF"),
    )
    assert rejects == [("mixed_currency", 4)]
    found = values(engine)
    assert "e" not in found
    assert found == pytest.approx({"a": 800, "b": 900, "c": 600, "d": 1000})


def test_a_full_refund_leaves_nothing_whatever_the_rate_is_by_then(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(RATES)
    rules = MoneyRules("EUR", read_rates(path, "EUR"))
    november_ms = 1_730_419_200_000  # 2024-11-01
    events = [
        purchase("a", "1", november_ms - 1, amount_minor=999, currency="USD"),
        refund("a", "1", november_ms, amount_minor=500, refund_id="r1", currency="USD"),
        refund("a", "1", november_ms, amount_minor=499, refund_id="r2", currency="USD"),
        purchase("a", "2", november_ms - 1, amount_minor=1000, currency="USD"),
        refund("a", "2", november_ms, amount_minor=160, refund_id="r3", currency="EUR"),
    ]
    for order in (events, events[::-1]):
        engine, rejects = fed(rules, *order)
        assert not rejects
        assert engine.tallies["orders"] == 1
        # 160 cents are 200 of the dollar's at the order's rate
        assert values(engine) == pytest.approx({"a": 800 * 0.8})


def test_records_of_money_name_currency_and_rates(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(RATES)
    rates = read_rates(path, "EUR")
    events = [e for s in "abc" for e in (visit(s), purchase(s, s, amount_minor=ord(s)))]
    for rules, version in ((MoneyRules(), None), (MoneyRules("EUR", rates), rates.version)):
        engine, _ = fed(rules, *events)
        refit(engine, START_MS)
        found = {
            r["metric"]: (r["currency"], r.get("rates_version")) for r in emit(engine, START_MS)
        }
        assert found == {"conversion": (None, None), "log_order_value": ("EUR", version)}


def test_values_above_the_cap_count_as_the_cap_and_are_counted() -> None:
    orders = [purchase("a", str(n), amount_minor=amount) for n, amount in enumerate((0, 50, 10**9))]
    engine, _ = fed(MoneyRules(cap_minor=200), *orders)
    assert values(engine)["a"] == pytest.approx((50 * 200) ** 0.5)
    tallies = engine.shards[0].orders
    assert (tallies.orders.tolist(), tallies.zero_valued.tolist(), tallies.capped.tolist()) == (
        [3],
        [1],
        [1],
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("day,currency,rate\n", "line 1: expected date,currency,rate"),
        ("date,currency,rate\nmonday,USD,1\n", "line 2: expected a date"),
        ("date,currency,rate\n2024-01-01,usd,1\n", "line 2: expected a currency"),
        ("date,currency,rate\n2024-01-01,USD,0\n", "line 2: expected a rate above 0"),
        ("date,currency,rate\n2024-01-01,USD,1\n2024-01-01,USD,2\n", "line 3: USD has a rate"),
    ],
)
def test_a_wrong_table_of_rates_is_named_by_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(text)
    with pytest.raises(TableError, match=said):
        read_rates(path, "EUR")


@pytest.mark.parametrize("rules", [MoneyRules("EUR"), None], ids=["configured", "rates"])
def test_an_order_in_a_currency_that_is_refused_makes_no_group(
    rules: MoneyRules | None, tmp_path: Path
) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(RATES)
    rules = rules or MoneyRules("EUR", read_rates(path, "EUR"))
    engine, rejects = fed(
        rules,
        purchase("a", "1", currency="CHF"),
        refund("b", "1", START_MS, refund_id="r1", amount_minor=5, currency="CHF"),
    )
    assert rejects == [("mixed_currency", 0), ("mixed_currency", 1)]
    assert engine.groups_count == 0


def till(store: str, number: int, mean: float = 8.0, **more: Any) -> bytes:
    """Return a day's totals with the moments of ten orders' logs."""
    start_ms = START_MS + number * DAY_MS
    event = {
        "schema_version": 1,
        "event_type": "totals",
        "event_id": f"till-{store}-{number:04d}",
        "event_time_ms": start_ms + DAY_MS,
        "chain_id": "c",
        "store_id": store,
        "source": "till",
        "period_start_ms": start_ms,
        "period_end_ms": start_ms + DAY_MS,
        "visits": 100,
        "conversions": 10,
        "orders": 10,
        "log_amount": {"count": 10, "mean": mean, "m2": 1.0},
    }
    return json.dumps(event | more).encode()


def summed(rules: MoneyRules, *payloads: bytes) -> tuple[Engine, list[tuple[str, int]]]:
    engine = open_engine(
        EngineSettings(METHODS, money=rules, inputs=dict.fromkeys(METHODS, Input(totals=True)))
    )
    rejects = []
    for offset, payload in enumerate(payloads):
        candidate = engine.ingest({0: [batch([payload], first_offset=offset)]})
        engine.apply(candidate)
        assert candidate.accepted == 1 - len(candidate.rejects)
        rejects += [(reject.reason, reject.offset) for reject in candidate.rejects]
    return engine, rejects


def test_totals_in_another_currency_than_their_groups_are_rejected() -> None:
    log = (
        till("a", 0, currency="EUR"),
        till("a", 1, mean=3.0, currency="USD"),
        till("a", 2, mean=10.0),
        till("b", 2, currency="USD"),
    )
    engine, rejects = summed(MoneyRules(), *log)
    assert rejects == [("mixed_currency", 1)]
    assert engine.shards[0].purse.names(np.arange(2)) == ["EUR", "USD"]
    assert values(engine) == pytest.approx({"a": math.exp(9), "b": math.exp(8)})
    refit(engine, START_MS)
    flags = {r["key"]["store_id"]: r["flags"] for r in emit(engine, START_MS)}
    assert [store for store, mine in flags.items() if "mixed_currency" in mine] == ["a"]
    engine, rejects = summed(MoneyRules("EUR"), *log)
    assert rejects == [("mixed_currency", 1), ("mixed_currency", 3)]


def test_totals_without_values_may_name_any_currency() -> None:
    bare = json.loads(till("a", 1, currency="USD"))
    del bare["log_amount"]
    _, rejects = summed(MoneyRules("EUR"), json.dumps(bare).encode())
    assert rejects == []


def test_rates_convert_totals_at_the_middle_of_their_period(tmp_path: Path) -> None:
    (tmp_path / "rates.csv").write_text(RATES)
    rules = MoneyRules("EUR", read_rates(tmp_path / "rates.csv", "EUR"))
    # START_MS is early on 2024-10-27: day 4 ends on the first of November, its middle is before.
    log = [till("a", 4, currency="USD"), till("b", 5, currency="USD"), till("c", 0)]
    engine, rejects = summed(rules, *log, till("c", 1, currency="CHF"))
    assert rejects == [("mixed_currency", 3)]
    expected = {"a": 0.8 * math.exp(8), "b": 0.9 * math.exp(8), "c": math.exp(8)}
    assert values(engine) == pytest.approx(expected)
