"""V, the verifier: recomputes everything from the input with the plain rules, not the engine.

I1  the state that the log gives is that of the input, exactly; means of logarithms to 1e-9;
I2  of every key each seq of an epoch once and without a gap, and a record's estimate, sd and
    interval are the posterior of what the input says at its offsets, under its own hyperparameters;
I3  the log's markers are the group's committed offsets;
I4  no record of an aborted transaction is visible, and every one of a committed one is
    (:mod:`tests.faults.dumped`; only of a broker whose files are at hand);
I5  seq grows strictly in the order of the log;
I6  everything is read, and the stable end of every topic is its end.
"""

import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import yaml
from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream_hb.config import load_config
from stream_hb.runtime.agreement import noted
from stream_hb.runtime.assembly import run_settings
from stream_hb.statelog.restore import Restored, Restoring
from tests.faults.dumped import hidden
from tests.faults.posteriors import differs
from tests.reference import event_rules
from tests.reference.event_rules import PlainGroup
from tests.support import topics
from tests.support.broker import NamedBroker, RealBroker
from tests.support.chain import Chain
from tests.support.records import Record, checked_record, checked_reject

SAMPLE_MAX = 3_000
RECOUNTED_MAX = 3_000_000
"""Records of so many moments of a store are recomputed, fewer where stores have many events, each
of which is counted anew for every moment; versions and order are checked of all records."""
SCHEMA_SAMPLE = 500
READ_SECONDS_MAX = 300.0

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run came to.

    Attributes
    ----------
    violations
        What is wrong, a line each.
    events, records
        How many there were.
    transactions
        How many were committed, counted once for each shard that they changed.
    recomputed
        Records whose posterior was recomputed.
    aborted
        Estimates of aborted transactions that the broker has and hides.
    """

    violations: list[str]
    events: int
    records: int
    transactions: int
    recomputed: int
    aborted: int


@dataclass(frozen=True, slots=True)
class Input:
    """One event of an input topic, and where it stands."""

    place: str
    offset: int
    payload: bytes


class _Store(msgspec.Struct):
    store_id: str


@dataclass(slots=True)
class Inputs:
    """The input by store; what is no event is apart."""

    by_store: dict[str, list[Input]]
    others: list[Input]
    count: int

    def events(self, store: str, offsets: dict[str, int] | None = None) -> list[dict[str, Any]]:
        """Return a store's events, all of them or those before some offsets."""
        return [
            msgspec.json.decode(each.payload)
            for each in self.by_store[store]
            if offsets is None or each.offset < offsets.get(each.place, 0)
        ]

    def group(self, store: str, offsets: dict[str, int] | None = None) -> PlainGroup:
        """Return what counts of a store."""
        groups = event_rules.count(self.events(store, offsets))
        return groups.get(("north", store), PlainGroup())


def verified(
    chain: Chain,
    broker: RealBroker | NamedBroker | None = None,
    seed: int = 1,
    moved_at: Mapping[tuple[str, int], int] | None = None,
) -> Verdict:
    """Compare outputs, state and committed offsets with the input, when the workers have left.

    ``moved_at`` says what the state was made of when it was migrated: records of later epochs have
    that, and what their own offsets say; and events may be rejected for being where they were.
    """
    inputs = read_inputs(chain)
    records = _records(chain)
    restored = restored_shards(chain)
    moments = RECOUNTED_MAX * len(inputs.by_store) // max(inputs.count, 1)
    recomputed = _sample(records, min(moments, SAMPLE_MAX), seed)
    violations = [
        *in_sequence(records),
        *_posteriors(recomputed, inputs, moved_at or {}),
        *_newest(chain, records, inputs),
        *_state(restored, inputs),
        *_offsets(chain, restored),
        *_ends(chain),
        *(_rejects(chain, inputs) if moved_at is None else ()),
    ]
    aborted = 0
    if isinstance(broker, RealBroker):
        aborted, wrong = hidden(broker, chain.estimates)
        violations += wrong
    transactions = sum(each.marker["seq"] for each in restored.values() if each)
    return Verdict(violations, inputs.count, len(records), transactions, len(recomputed), aborted)


def committed(chain: Chain) -> dict[tuple[str, int], tuple[int, int]]:
    """Return the committed offset and the end of every input partition."""
    consumer = _consumer(chain, "read_committed", chain.group_id)
    try:
        offsets = _committed(chain, consumer)
        return {(at.topic, at.partition): (max(at.offset, 0), _end(consumer, at)) for at in offsets}
    finally:
        consumer.close()


def committed_notes(chain: Chain) -> dict[tuple[str, int], str]:
    """Return what is committed beside the offset of every input partition; nothing: ''."""
    consumer = _consumer(chain, "read_committed", chain.group_id)
    try:
        found = _committed(chain, consumer)
        return {(at.topic, at.partition): at.metadata or "" for at in found}
    finally:
        consumer.close()


def _committed(chain: Chain, consumer: Consumer) -> list[TopicPartition]:
    wanted = [TopicPartition(t, number) for t in chain.inputs for number in range(chain.partitions)]
    found: list[TopicPartition] = _patiently(lambda: consumer.committed(wanted, timeout=20))
    return found


def ends(chain: Chain, isolation: str = "read_committed") -> dict[tuple[str, int], int]:
    """Return where the topics end that workers write: the stable end, or the very end."""
    consumer = _consumer(chain, isolation, "ends")
    written = (chain.estimates, chain.rejects, chain.state, chain.summaries, chain.hyper)
    try:
        return {
            (topic, number): _end(consumer, TopicPartition(topic, number))
            for topic in written
            for number in consumer.list_topics(topic, timeout=20).topics[topic].partitions
        }
    finally:
        consumer.close()


def _end(consumer: Consumer, where: TopicPartition) -> int:
    found: int = _patiently(lambda: consumer.get_watermark_offsets(where, timeout=20))[1]
    return found


def _patiently(ask: Callable[[], Any]) -> Any:
    """Ask again while a broker that has just started does not know yet who is to answer."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return ask()
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _consumer(chain: Chain, isolation: str, group: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": chain.bootstrap_servers,
            "group.id": group,
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "reconnect.backoff.max.ms": 500,  # 10 s by default, which a test would wait for
            "log_level": 0,
        }
    )


def read_inputs(chain: Chain) -> Inputs:
    """Read all events."""
    by_store: dict[str, list[Input]] = defaultdict(list)
    others = []
    decoder = msgspec.json.Decoder(_Store)
    count = 0
    for topic in chain.inputs:
        for record in topics.read_all(chain.bootstrap_servers, topic, READ_SECONDS_MAX):
            found = Input(f"{topic}-{record.partition}", record.offset, record.value or b"")
            count += 1
            try:
                by_store[decoder.decode(found.payload).store_id].append(found)
            except msgspec.DecodeError:
                others.append(found)
    return Inputs(by_store, others, count)


def _records(chain: Chain) -> list[Record]:
    """Read all estimates; the schema is checked of some: it costs more than all the rest."""
    read = topics.read_all(chain.bootstrap_servers, chain.estimates, READ_SECONDS_MAX)
    for record in random.Random(1).sample(read, min(SCHEMA_SAMPLE, len(read))):
        checked_record(record.value or b"", record.key)
    return [msgspec.json.decode(record.value or b"") for record in read]


def restored_shards(chain: Chain) -> dict[int, Restored | None]:
    """Restore every shard from its log alone."""
    settings = run_settings(load_config(chain.config, {}), chain.partitions)
    restoring = {n: Restoring(n, settings) for n in range(chain.partitions)}
    for record in topics.read_all(chain.bootstrap_servers, chain.state, READ_SECONDS_MAX):
        restoring[record.partition].take(record.key or b"", record.value)
    return {number: each.finish() for number, each in restoring.items()}


def in_sequence(records: list[Record]) -> Iterator[str]:
    """I2, I5: of every key each (epoch, seq) once, in order and without a gap."""
    last: dict[Any, tuple[int, int]] = {}
    for record in records:
        key = (record["key"]["chain_id"], record["key"]["store_id"], record["metric"])
        version = (record["version"]["epoch"], record["version"]["seq"])
        known = last.get(key, (version[0], 0))
        follows = version == (known[0], known[1] + 1) or (version[0] > known[0] and version[1] == 1)
        if not follows:
            yield f"{key}: version {version} after {known}"
        last[key] = version


def _sample(records: list[Record], size: int, seed: int) -> list[Record]:
    """Return the records of so many moments of some stores, all three metrics of each."""
    moments: dict[Any, list[Record]] = defaultdict(list)
    for record in records:
        moments[record["key"]["store_id"], *sorted(record["offsets"].items())].append(record)
    chosen = random.Random(seed).sample(list(moments), min(size, len(moments)))
    return [record for moment in chosen for record in moments[moment]]


def _posteriors(
    records: Iterable[Record], inputs: Inputs, moved_at: Mapping[tuple[str, int], int]
) -> Iterator[str]:
    """I2: a record is the posterior of what the input up to its own offsets says."""
    moved = {f"{topic}-{number}": offset for (topic, number), offset in moved_at.items()}
    last: tuple[Any, PlainGroup] = (None, PlainGroup())
    for record in records:
        store, offsets = record["key"]["store_id"], record["offsets"]
        if record["version"]["epoch"] > 1:
            places = offsets.keys() | moved.keys()
            offsets = {at: max(offsets.get(at, 0), moved.get(at, 0)) for at in places}
        if last[0] != (store, offsets):
            last = (store, offsets), inputs.group(store, offsets)
        wrong = differs(record, last[1])
        if wrong:
            yield f"{store} {record['metric']} seq {record['version']['seq']}: {wrong}"


def _newest(chain: Chain, records: list[Record], inputs: Inputs) -> Iterator[str]:
    """The newest record of every store has all of its visits, where every change is written."""
    newest = {r["key"]["store_id"]: r for r in records if r["metric"] == "conversion"}
    rule = yaml.safe_load(chain.config.read_text())["emission"]
    for store in inputs.by_store:
        visits = len(inputs.group(store).visits)
        if store not in newest:
            yield f"{store}: no record"
        elif rule["changed_sd"] == 0 and newest[store]["n_eff"] != visits:
            yield f"{store}: the newest record has {newest[store]['n_eff']} visits, not {visits}"


def _state(restored: dict[int, Restored | None], inputs: Inputs) -> Iterator[str]:
    """I1: the log's state is that of the input."""
    found: dict[Key, tuple[float, ...]] = {}
    for number, each in restored.items():
        if each is None:
            yield f"shard {number} has no state"
            continue
        found |= dict(_rows(each))
    for store in inputs.by_store:
        group = inputs.group(store)
        if found.get(("north", store)) is None:
            yield f"{store}: not in the state"
            continue
        *counts, mean, m2 = found.pop(("north", store))
        values = np.log([value for _, value in group.orders if value > 0])
        expected = [len(group.conversions), len(group.visits), len(group.orders), len(values)]
        if counts != expected:
            yield f"{store}: the state has {counts}, not {expected}"
        moments = [values.mean(), values.var() * len(values)] if len(values) else [mean, m2]
        if not np.allclose([mean, m2], moments, rtol=1e-9, atol=1e-9):
            yield f"{store}: the state has {(mean, m2)}, not {moments}"
    yield from (f"{key}: in the state and not in the input" for key in found)


def _rows(restored: Restored) -> Iterator[tuple[Key, tuple[float, ...]]]:
    table = restored.shard.table
    rates = table.statistic("conversion").columns()
    orders = table.statistic("order_rate").columns()
    values = table.statistic("log_order_value").columns()
    columns = (
        *(rates[name] for name in ("successes", "trials")),
        orders["events"],
        *(values[name] for name in ("weight", "mean", "m2")),
    )
    return zip(table.keys, zip(*(c.tolist() for c in columns), strict=True), strict=True)


def _offsets(chain: Chain, restored: dict[int, Restored | None]) -> Iterator[str]:
    """I3, I6: a marker is what the group has committed, which is the end."""
    at, notes = committed(chain), committed_notes(chain)
    for each in restored.values():
        for source, offset in (each.offsets if each else {}).items():
            if at[source][0] != offset:
                yield f"{source}: marker {offset}, committed {at[source][0]}"
            if each and notes[source] not in ("", noted(each.marker["seq"])):
                yield f"{source}: transaction {each.marker['seq']}, committed {notes[source]}"
    for source, (offset, end) in at.items():
        if offset != end:
            yield f"{source}: committed {offset} of {end}"


def _ends(chain: Chain) -> Iterator[str]:
    """I6: no transaction is open."""
    stable = ends(chain)
    for place, end in ends(chain, "read_uncommitted").items():
        if stable[place] != end:
            yield f"{place}: stable up to {stable[place]} of {end}"


def rejects(chain: Chain) -> list[Record]:
    """Read all rejects, each checked against its schema."""
    read = topics.read_all(chain.bootstrap_servers, chain.rejects, READ_SECONDS_MAX)
    return [checked_reject(record.value or b"") for record in read]


def _rejects(chain: Chain, inputs: Inputs) -> Iterator[str]:
    found = sorted((f"{r['topic']}-{r['partition']}", r["offset"]) for r in rejects(chain))
    wanted = sorted((each.place, each.offset) for each in inputs.others)
    if found != wanted:
        yield f"{len(found)} rejects, not {len(wanted)}: {json.dumps(found[:5])}"
