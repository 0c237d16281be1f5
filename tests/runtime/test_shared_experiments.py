"""Experiments across workers: one look at the chain, whoever has which shard and dies when."""

import json
from dataclasses import replace

import pytest

from stream_hb.events.calendar import HOUR_MS
from stream_hb.events.clock import TimeRules
from stream_hb.events.ticks import TickClock
from stream_hb.experiments_feed import ExperimentsFeed
from stream_hb.feeds.estimates import OutRecord
from stream_hb.runtime.client import TransactionAbortedError
from stream_hb.runtime.feeds import unit_rule
from tests.feeds.experiments.looked import checked
from tests.reference import experiment_units
from tests.runtime.test_shared_pooling import PARTITIONS, Member, together
from tests.support.experiments import EXPERIMENT, encoded, visitors
from tests.support.fake_client import FakeBroker
from tests.support.fake_transactions import FakeTransactions, Logs
from tests.support.running import SETTINGS

DECLARED = replace(EXPERIMENT, attribution_window_ms=3 * HOUR_MS, metrics=("conversion",))
HOURLY = replace(
    SETTINGS,
    ticks=TickClock("hour"),
    time=TimeRules(lateness_ms=0),
    units=(unit_rule(DECLARED),),
)
LOG = visitors(2, count=600, days=1, stores=2 * PARTITIONS, crossing=0.02)
PIECES = 6
B = {"experiment_id": "ab", "arm": "b"}
Told = list[dict[str, object]]


def fed(broker: FakeBroker, piece: int) -> None:
    """Append one of the pieces of the log to the partitions of its stores."""
    size = -(-len(LOG) // PIECES)
    for number in range(PARTITIONS):
        some = LOG[piece * size : (piece + 1) * size]
        mine = [each for each in some if int(each["store_id"][1:]) % PARTITIONS == number]
        broker.append(encoded(mine), "events", number)


def members_of(
    broker: FakeBroker, logs: Logs, shares: list[tuple[int, ...]], first: int = 0
) -> list[Member]:
    return [
        Member(
            broker,
            logs,
            share,
            writer=f"g-{slot}",
            settings=HOURLY,
            feeds={"experiments": ExperimentsFeed((DECLARED,))},
        )
        for slot, share in enumerate(shares, first)
    ]


def logs_of() -> Logs:
    return FakeTransactions(FakeBroker()).logs


def told(broker: FakeBroker) -> Told:
    """Return the records without the reading's positions, and the clock's."""
    found = []
    for written in broker.written:
        if written.topic == "experiments":
            record = checked(OutRecord(written.key or b"", written.value))
            found.append({k: v for k, v in record.items() if k not in ("offsets", "as_of_ms")})
    return found


@pytest.fixture(scope="module")
def alone() -> Told:
    """What one worker tells of the whole log."""
    broker = FakeBroker()
    members = members_of(broker, logs_of(), [(0, 1, 2)])
    for piece in range(PIECES):
        fed(broker, piece)
        together(members, 10)
    records = told(broker)
    chain = [record for record in records if record["scope"] == "chain"]
    assert len(chain) > 15
    assert json.dumps(chain[-1]["arms"]).count("0.0") < 8  # units there are
    return records


def test_shards_add_up_to_what_the_plain_rules_count(alone: Told) -> None:
    last = [record for record in alone if record["scope"] == "chain"][-1]
    at_ms = last["watermark_ms"]
    assert isinstance(at_ms, int)
    window_ms = DECLARED.attribution_window_ms
    counts = experiment_units.count(LOG, "ab", at_ms, window_ms, HOUR_MS)
    for arm in last["arms"]:  # type: ignore[attr-defined]
        for name, expected in (
            ("assigned_units", counts.assigned),
            ("units", counts.units),
            ("conversions", counts.conversions),
        ):
            assert arm[name] == sum(n for (_, of), n in expected.items() if of == arm["arm"])


def test_every_worker_flags_its_stores_with_a_wrong_split() -> None:
    broker = FakeBroker()
    members = members_of(broker, logs_of(), [(0, 1), (2,)])
    lost = (place % 3 and each.get("experiment") == B for place, each in enumerate(LOG))
    log = [each for each, gone in zip(LOG, lost, strict=True) if not gone]
    for number in range(PARTITIONS):
        mine = [each for each in log if int(each["store_id"][1:]) % PARTITIONS == number]
        broker.append(encoded(mine), "events", number)
    together(members, 40)
    home, other = (member.engine for member in members)
    assert ("c", "s2") in home.memory.srm
    assert other.srm_elsewhere == home.memory.srm
    records = other.emit(members[1].now_ms, everything=True).records
    flags = {record.key: json.loads(record.value or b"{}")["flags"] for record in records}
    assert "srm" in flags[b"c|s2||conversion"]


def test_three_workers_tell_what_one_tells(alone: Told) -> None:
    broker = FakeBroker()
    members = members_of(broker, logs_of(), [(0,), (1,), (2,)])
    for piece in range(PIECES):
        fed(broker, piece)
        together(members, 10)
    assert told(broker) == alone


def test_the_next_owner_of_the_first_shard_goes_on_where_the_look_was(alone: Told) -> None:
    broker, logs = FakeBroker(), logs_of()
    members = members_of(broker, logs, [(0,), (1, 2)])
    for piece in range(PIECES):
        if piece == 3:
            assert 0 < len(told(broker)) < len(alone)
            (heir,) = members_of(broker, logs, [(0,)], first=2)
            heir.now_ms = members[1].now_ms
            members = [members[1], heir]
        fed(broker, piece)
        together(members, 10)
    together(members, 10)
    assert told(broker) == alone


def test_an_aborted_transaction_counts_no_unit_twice(alone: Told) -> None:
    broker = FakeBroker()
    members = members_of(broker, logs_of(), [(0, 2), (1,)])
    for piece in range(PIECES):
        fed(broker, piece)
        abort = TransactionAbortedError("abort it")
        members[piece % 2].transactions.faults["commit"].append(abort)
        together(members, 10)
    together(members, 10)
    assert told(broker) == alone


def test_a_shard_that_moves_takes_its_units_along(alone: Told) -> None:
    broker, logs = FakeBroker(), logs_of()
    members = members_of(broker, logs, [(0, 1), (2,)])
    for piece in range(PIECES):
        fed(broker, piece)
        together(members, 6)
        giver, taker = (members[0], members[1]) if piece % 2 == 0 else (members[1], members[0])
        giver.take(1)
        giver.step()
        taker.give(1)
        together(members, 6)
    together(members, 40)
    assert told(broker) == alone
