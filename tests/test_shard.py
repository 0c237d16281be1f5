"""A shard: what a batch makes of its groups, compared with the plain rules, and its positions."""

import json

from stream_hb.events.decode import Decoder
from stream_hb.settings import EngineSettings
from stream_hb.shard import Shard
from tests.reference import event_rules
from tests.support.logs import START_MS, batch, purchase, shop_log, visit


def shard_of(*batches: tuple[bytes | None, ...], topic: str = "events") -> Shard:
    shard = Shard(0, 1, EngineSettings())
    first = 0
    for payloads in batches:
        raw = batch(payloads, topic, 0, first)
        shard.apply(shard.ingest([(raw, Decoder().decode(raw))], groups_left=100))
        first = raw.next_offset
    return shard


def counted(shard: Shard) -> dict[tuple[str, str], tuple[float, float, float, float]]:
    """Return (successes, trials, orders, valued orders) by group."""
    conversion = shard.table.statistic("conversion").columns()
    orders = shard.table.statistic("order_rate").columns()["events"]
    valued = shard.table.statistic("log_order_value").columns()["weight"]
    columns = (conversion["successes"], conversion["trials"], orders, valued)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return dict(zip(shard.table.keys, rows, strict=True))


def test_a_visit_with_two_orders_converts_once() -> None:
    shard = shard_of((visit(), purchase(order_id="a", visit_id="v1")), (purchase(visit_id="v1"),))
    assert counted(shard) == {("c", "s1"): (1, 1, 2, 2)}


def test_two_orders_of_one_visit_in_one_batch_convert_it_once() -> None:
    orders = (purchase(order_id="a", visit_id="v1"), purchase(order_id="b", visit_id="v1"))
    assert counted(shard_of((visit(), *orders))) == {("c", "s1"): (1, 1, 2, 2)}


def test_a_visit_id_belongs_to_its_store() -> None:
    orders = tuple(purchase(store, visit_id="v1") for store in ("s1", "s2"))
    assert counted(shard_of(orders)) == {("c", "s1"): (1, 1, 1, 1), ("c", "s2"): (1, 1, 1, 1)}


def test_an_order_of_amount_zero_converts_and_has_no_value() -> None:
    shard = shard_of((visit(), purchase(amount_minor=0, visit_id="v1")))
    assert counted(shard) == {("c", "s1"): (1, 1, 1, 0)}


def test_repeated_events_count_once() -> None:
    assert counted(shard_of((visit(), visit()), (visit(),))) == {("c", "s1"): (0, 1, 0, 0)}


def test_a_whole_log_is_counted_as_by_the_plain_rules() -> None:
    log = shop_log(stores=20, visits=30)
    expected = event_rules.count(json.loads(payload) for payload in log)
    assert counted(shard_of(tuple(log))) == {
        key: (
            len(group.conversions),
            len(group.visits),
            len(group.orders),
            sum(value > 0 for _, value in group.orders),
        )
        for key, group in expected.items()
    }


def test_positions_move_past_rejects_and_times_only_with_events() -> None:
    shard = shard_of((visit(at_ms=START_MS), b"bad", None))
    position = shard.positions["events", 0]
    assert (position.next_offset, position.event_time_ms) == (3, START_MS)


def test_the_newest_event_time_stays_when_older_events_come() -> None:
    shard = shard_of((visit(at_ms=START_MS),), (visit(at_ms=START_MS - 5),))
    position = shard.positions["events", 0]
    assert (position.next_offset, position.event_time_ms) == (2, START_MS)
    assert shard.table.event_time_ms.tolist() == [START_MS]


def test_sources_keep_positions_of_their_own() -> None:
    shard = Shard(0, 1, EngineSettings())
    raws = [batch([visit()], "visits", 0, 7), batch([purchase()], "purchases", 0, 3)]
    shard.apply(shard.ingest([(raw, Decoder().decode(raw)) for raw in raws], 10))
    at = {source: position.next_offset for source, position in shard.positions.items()}
    assert at == {("visits", 0): 8, ("purchases", 0): 4}


def test_an_empty_batch_changes_no_group() -> None:
    shard = shard_of((visit(),))
    before = shard.snapshot()["table"]["statistics"]["conversion"]["trials"].tolist()
    raw = batch([], first_offset=1)
    candidate = shard.ingest([(raw, Decoder().decode(raw))], 10)
    shard.apply(candidate)
    assert (candidate.accepted, candidate.rejects) == (0, [])
    assert shard.table.statistic("conversion").columns()["trials"].tolist() == before
