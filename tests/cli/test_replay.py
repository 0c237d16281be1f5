"""``stream-hb replay``: what it prints, what it writes, and its exit codes."""

import base64
import gzip
from collections.abc import Sequence
from math import log
from pathlib import Path

import pytest

from tests.cli.running import Ran, run
from tests.support.logs import START_MS, purchase, visit
from tests.support.records import checked_record, checked_reject, name_of

CONFIG = str(Path(__file__).parents[2] / "config" / "chain.yaml")
VISITS = [visit(f"s{i % 2}", f"v{i}", START_MS + 1000 * i) for i in range(20)]
ORDERS = [
    purchase("s0", "o1", START_MS + 20_000, amount_minor=1000, visit_id="v0"),
    purchase("s0", "o2", START_MS + 21_000, amount_minor=4000, visit_id="v0"),
    purchase("s1", "o3", START_MS + 22_000, amount_minor=2000, visit_id="v1"),
]
REFUND = (
    b'{"schema_version": 1, "event_type": "refund", "event_id": "event-0001", "store_id": "s0",'
    b' "event_time_ms": 1730000023000, "refund_id": "r1", "order_id": "o1", "amount_minor": 1000,'
    b' "currency": "EUR"}'
)
TOTALS = (
    b'{"schema_version": 1, "event_type": "totals", "event_id": "event-0001", "store_id": "s0",'
    b' "event_time_ms": 1730000024000, "source": "till", "period_start_ms": 1730000000000,'
    b' "period_end_ms": 1730000020000, "visits": 5}'
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def lines(payloads: Sequence[bytes], end: bytes = b"\n") -> bytes:
    return b"".join(payload + end for payload in payloads)


def replayed(out: Path, *options: str, stdin: bytes | str = "") -> Ran:
    return run("replay", CONFIG, *options, "--output", str(out), stdin=stdin)


def test_the_estimates_are_those_of_the_events(out: Path) -> None:
    """Compare with counts made by hand: ten visits a store; s0 has two orders in one visit."""
    assert replayed(out, "--events", "-", stdin=lines([*VISITS, *ORDERS])).code == 0
    records = map(checked_record, (out / "estimates.ndjson").read_bytes().splitlines())
    last = {name_of(record)[1:]: record for record in records}
    stores = [record["key"]["store_id"] for record in last.values()]
    assert sorted(stores) == ["s0"] * 3 + ["s1"] * 3
    by_metric = {
        (record["key"]["store_id"], record["metric"]): (record["raw"], record["n_eff"])
        for record in last.values()
    }
    assert by_metric["s0", "conversion"] == by_metric["s1", "conversion"] == (0.1, 10)
    assert (by_metric["s0", "order_rate"], by_metric["s1", "order_rate"]) == ((0.2, 10), (0.1, 10))
    assert by_metric["s0", "log_order_value"] == (pytest.approx(log(2000)), 2)
    assert by_metric["s1", "log_order_value"] == (pytest.approx(log(2000)), 1)


def test_files_may_be_many_and_compressed(tmp_path: Path, out: Path) -> None:
    visits, orders = tmp_path / "visits.ndjson", tmp_path / "orders.ndjson.gz"
    visits.write_bytes(lines(VISITS, b"\r\n"))
    orders.write_bytes(gzip.compress(lines(ORDERS)))
    ran = replayed(out, "--events", str(visits), str(orders), "--json")
    assert ran.code == 0
    assert ran.json == {
        "received": 23,
        "accepted": 23,
        "rejected": {},
        "records": 6,
        "feeds": {},
        "refits": 1,
        "groups": 2,
        "tallies": {
            "arms_left_out": 0,
            "bot_visits": 0,
            "bot_orders": 0,
            "repeated_events": 0,
            "unmatched_refunds": 0,
            "orders": 3,
            "orders_without_value": 0,
            "orders_capped": 0,
            "waiting_refunds": 0,
        },
    }
    written = (out / "estimates.ndjson").read_bytes()
    offsets = [checked_record(line)["offsets"] for line in written.splitlines()]
    assert offsets == [{"visits.ndjson-0": 20, "orders.ndjson.gz-0": 3}] * 6
    replayed(out, "--events", str(visits), str(orders))
    assert (out / "estimates.ndjson").read_bytes() == written


def test_what_is_not_used_is_written_with_its_bytes_and_counted(out: Path) -> None:
    bad = [TOTALS, b"{", b"\xff"]
    ran = replayed(out, "--events", "-", "--json", stdin=lines([*VISITS, *bad]))
    assert ran.code == 0
    assert ran.json["rejected"] == {"unexpected_input": 1, "not_json": 1, "not_utf8": 1}
    rejects = [checked_reject(line) for line in (out / "rejects.ndjson").read_bytes().splitlines()]
    assert [base64.b64decode(reject["payload_base64"]) for reject in rejects] == bad
    assert [(reject["topic"], reject["offset"]) for reject in rejects] == [
        ("stdin", at) for at in range(20, 23)
    ]


def test_the_summary_is_for_people(out: Path) -> None:
    ran = replayed(out, "--events", "-", stdin=lines([*VISITS, *ORDERS, TOTALS]))
    first, second, *rest = ran.out.splitlines()
    assert first == "24 events: 23 used, 1 rejected; 2 groups, 1 refits, 6 records"
    assert second.startswith("  rejected 1: unexpected_input (first in stdin, line 24: ")
    names = ("estimates", "rejects", "refits")
    assert rest[-1] == "written: " + ", ".join(f"{out}/{name}.ndjson" for name in names)
    assert ran.err.endswith("events/s\n")


def test_the_summary_says_where_each_reason_came_first_and_what_was_wrong(out: Path) -> None:
    """Wrong before: 106 were out of range, and only the bytes of rejects.ndjson said of what."""
    ran = replayed(out, "--events", "-", stdin=lines([b"{", *VISITS, b"[", b"\xff"]))
    told = [line for line in ran.out.splitlines() if line.startswith("  rejected")]
    first, second = told
    assert first == "  rejected 2: not_json (first in stdin, line 1: Input data was truncated)"
    assert second.startswith("  rejected 1: not_utf8 (first in stdin, line 23: 'utf-8' codec can't")


def test_events_that_no_metric_has_data_of_are_said(out: Path, tmp_path: Path) -> None:
    """Wrong before: all were used and nothing came of them, without a word.

    So it is where a total's field is misspelt: what a later version may add is ignored.
    """
    config = tmp_path / "totals.yaml"
    config.write_text(
        "metrics: {conversion: {input: totals}, order_rate: null, log_order_value: null}"
    )
    events = lines([TOTALS])
    ran = run("replay", str(config), "--events", "-", "--output", str(out), stdin=events)
    assert ran.code == 0
    assert "nothing is estimated: of the metrics that are kept none has data" in ran.err


def test_no_events_are_said_and_are_no_failure(out: Path) -> None:
    ran = replayed(out, "--events", "-")
    assert ran.code == 0
    assert ran.out.startswith("0 events: 0 used, 0 rejected")
    assert "the files hold no events" in ran.err
    assert not (out / "estimates.ndjson").read_bytes()


def test_a_file_that_is_not_there_is_one_line_and_writes_nothing(out: Path) -> None:
    ran = replayed(out, "--events", "none.ndjson")
    assert ran == (2, "", "error: cannot open none.ndjson: No such file or directory\n")
    assert not out.exists()
