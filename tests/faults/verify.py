"""The verifier: recomputes everything from the input with the plain rules, not the engine."""

import json
import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from stream_hb.settings import EngineSettings
from stream_hb.statelog.restore import Restoring
from tests.reference import event_rules
from tests.support import topics
from tests.support.chain import Chain
from tests.support.records import Record

SAMPLE = 300
"""Records whose counts are recomputed at their own offsets; the order is checked of all."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run came to.

    Attributes
    ----------
    violations
        What is wrong, a line each.
    events, records
        How many there were.
    """

    violations: list[str]
    events: int
    records: int


@dataclass(frozen=True, slots=True)
class Input:
    """One event of an input topic, and where it stands."""

    topic: str
    partition: int
    offset: int
    event: dict[str, Any]


def verified(
    chain: Chain, seed: int = 1, moved_at: Mapping[tuple[str, int], int] | None = None
) -> Verdict:
    """Compare outputs, state and committed offsets with the input.

    ``moved_at`` says what the state was made of when it was migrated: records of later epochs have
    that, and what their own offsets say.
    """
    inputs = _inputs(chain)
    records = chain.records()
    violations = [
        *_sequence(records),
        *_counts(records, inputs, seed, moved_at or {}),
        *_state(chain, inputs),
        *_newest(records, inputs),
    ]
    return Verdict(violations, len(inputs), len(records))


def committed(chain: Chain) -> dict[tuple[str, int], tuple[int, int]]:
    """Return the committed offset and the end of every input partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": chain.bootstrap_servers,
            "group.id": chain.group_id,
            "enable.auto.commit": False,
        }
    )
    try:
        wanted = [
            TopicPartition(topic, number)
            for topic in (chain.visits, chain.purchases)
            for number in range(chain.partitions)
        ]
        offsets = consumer.committed(wanted, timeout=20)
        return {
            (at.topic, at.partition): (
                max(at.offset, 0),
                consumer.get_watermark_offsets(at, timeout=20)[1],
            )
            for at in offsets
        }
    finally:
        consumer.close()


def _inputs(chain: Chain) -> list[Input]:
    found = []
    for topic in (chain.visits, chain.purchases):
        for record in topics.read_all(chain.bootstrap_servers, topic):
            try:
                event = json.loads(record.value or b"")
            except ValueError:
                continue
            found.append(Input(topic, record.partition, record.offset, event))
    return found


def _sequence(records: list[Record]) -> list[str]:
    """I2, I5: of every key each (epoch, seq) once, in order and without a gap."""
    last: dict[Any, tuple[int, int]] = {}
    wrong = []
    for record in records:
        key = (record["key"]["chain_id"], record["key"]["store_id"], record["metric"])
        version = (record["version"]["epoch"], record["version"]["seq"])
        known = last.get(key, (version[0], 0))
        follows = version == (known[0], known[1] + 1) or (version[0] > known[0] and version[1] == 1)
        if not follows:
            wrong.append(f"{key}: version {version} after {known}")
        last[key] = version
    return wrong


def _counts(
    records: list[Record],
    inputs: list[Input],
    seed: int,
    moved_at: Mapping[tuple[str, int], int],
) -> list[str]:
    """I2: a record says what the input up to its own offsets says."""
    by_store: dict[str, list[Input]] = defaultdict(list)
    for each in inputs:
        by_store[each.event["store_id"]].append(each)
    wanted = [r for r in records if r["metric"] == "conversion"]
    if len(wanted) > SAMPLE:
        wanted = random.Random(seed).sample(wanted, SAMPLE)
    return [problem for record in wanted for problem in _wrong(record, by_store, moved_at)]


def _wrong(
    record: Record,
    by_store: Mapping[str, list[Input]],
    moved_at: Mapping[tuple[str, int], int],
) -> list[str]:
    before = moved_at if record["version"]["epoch"] > 1 else {}
    seen = [
        each.event
        for each in by_store[record["key"]["store_id"]]
        if each.offset < record["offsets"].get(f"{each.topic}-{each.partition}", 0)
        or each.offset < before.get((each.topic, each.partition), 0)
    ]
    key = (record["key"]["chain_id"], record["key"]["store_id"])
    group = event_rules.count(seen).get(key, event_rules.PlainGroup())
    visits, conversions = len(group.visits), len(group.conversions)
    raw = conversions / visits if visits else 0.0
    if record["n_eff"] == visits and abs(record["raw"] - raw) < 1e-12:
        return []
    where = f"{key} seq {record['version']['seq']}"
    return [f"{where}: {record['raw']} of {record['n_eff']}, not {conversions}/{visits}"]


def _newest(records: list[Record], inputs: list[Input]) -> list[str]:
    """The newest record of every store has all of its visits."""
    newest = {r["key"]["store_id"]: r for r in records if r["metric"] == "conversion"}
    groups = event_rules.count([each.event for each in inputs])
    return [
        f"{store}: the newest record has {newest[store]['n_eff']} visits, not {len(group.visits)}"
        if store in newest
        else f"{store}: no record"
        for (_, store), group in groups.items()
        if store not in newest or newest[store]["n_eff"] != len(group.visits)
    ]


def _state(chain: Chain, inputs: list[Input]) -> list[str]:
    """I1, I3, I6: the log's state is that of the input, its marker what the group has committed."""
    wrong = []
    restoring = {n: Restoring(n, EngineSettings()) for n in range(chain.partitions)}
    for record in topics.read_all(chain.bootstrap_servers, chain.state):
        restoring[record.partition].take(record.key or b"", record.value)
    ends = committed(chain)
    found: dict[tuple[str, str], tuple[float, ...]] = {}
    for number, each in restoring.items():
        restored = each.finish()
        if restored is None:
            wrong.append(f"shard {number} has no state")
            continue
        for source, offset in restored.offsets.items():
            if ends[source] != (offset, ends[source][1]):
                wrong.append(f"{source}: marker {offset}, committed {ends[source][0]}")
        table = restored.shard.table
        counts = table.statistic("conversion").columns()
        orders = table.statistic("order_rate").columns()
        values = table.statistic("log_order_value").columns()
        columns = (counts["successes"], counts["trials"], orders["events"], values["weight"])
        rows = zip(*(column.tolist() for column in columns), strict=True)
        found |= dict(zip(table.keys, rows, strict=True))
    for source, (offset, end) in ends.items():
        if offset != end:
            wrong.append(f"{source}: committed {offset} of {end}")
    for key, group in event_rules.count([each.event for each in inputs]).items():
        valued = sum(value > 0 for _, value in group.orders)
        expected = (len(group.conversions), len(group.visits), len(group.orders), valued)
        if found.pop(key, None) != expected:
            wrong.append(f"{key}: the state differs from {expected}")
    return wrong + [f"{key}: in the state and not in the input" for key in found]
