"""What must hold when everything is drained, by plain rules over the logs."""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from stream_hb.runtime.client import TopicPartition
from stream_hb.statelog.restore import Restoring
from tests.reference import event_rules
from tests.simulator.clients import INPUT
from tests.simulator.kafka import Cluster
from tests.simulator.world import NO_EVENT, PARTITIONS, SETTINGS

Record = dict[str, Any]


def violations(cluster: Cluster) -> Iterator[str]:
    """Yield what is wrong, a line each."""
    inputs = Inputs(cluster)
    records = _read(cluster, "estimates")
    yield from _sequence(records)
    for record in records:
        yield from _counts(record, inputs)
    yield from _last(records, inputs)
    yield from _rejects(cluster, inputs)
    yield from _state(cluster, inputs)


class Inputs:
    """What was sent, by store, and what the rules make of any beginning of it."""

    def __init__(self, cluster: Cluster) -> None:
        self.stores: dict[str, list[tuple[int, Record]]] = defaultdict(list)
        self.rejects: list[tuple[int, int]] = []
        self._groups: dict[tuple[str, int], event_rules.PlainGroup] = {}
        for number in range(PARTITIONS):
            for offset, entry in enumerate(cluster.log(TopicPartition(INPUT, number))):
                if entry.value == NO_EVENT:
                    self.rejects.append((number, offset))
                else:
                    event = json.loads(entry.value or b"")
                    self.stores[event["store_id"]].append((offset, event))

    def group(self, store: str, upto: int | None = None) -> event_rules.PlainGroup:
        """Return what counts of a store, up to an offset of its partition."""
        mine = [e for offset, e in self.stores[store] if upto is None or offset < upto]
        key = (store, len(mine))
        if key not in self._groups:
            counted = event_rules.count(mine)
            self._groups[key] = counted.get(("c", store), event_rules.PlainGroup())
        return self._groups[key]

    def of(self, number: int) -> list[str]:
        """Return the stores of a partition."""
        return sorted(store for store in self.stores if partition_of(store) == number)


def partition_of(store: str) -> int:
    """Return where a store's events go."""
    return int(store[1:]) % PARTITIONS


def _read(cluster: Cluster, topic: str) -> list[Record]:
    """Return what a reader of committed records gets of a topic written by key."""
    where = TopicPartition(topic, 0)
    entries = cluster.visible(where, 0, len(cluster.log(where)))
    return [json.loads(entry.value or b"") for entry in entries]


def _sequence(records: list[Record]) -> Iterator[str]:
    """Of every key each (epoch, seq) once, in order, without a gap, and in one epoch."""
    last: dict[str, int] = defaultdict(int)
    for record in records:
        store, version = record["key"]["store_id"], record["version"]
        if version["epoch"] != 1 or version["seq"] != last[store] + 1:
            yield f"{store}: version {version} after seq {last[store]}"
        last[store] = version["seq"]


def _estimate(record: Record, hyper: Record, conversions: int) -> float:
    """Return what a record's estimate is under some hyperparameters."""
    alpha, beta, mean = (hyper["params"][name] for name in ("alpha", "beta", "mean"))
    if "inf" not in (alpha, beta):
        mean = (alpha + conversions) / (alpha + beta + record["n_eff"])
    # Where nobody or everybody buys the model has a rule of its own.
    return float(mean) if 0 < mean < 1 else float(record["estimate"])


def _counts(record: Record, inputs: Inputs) -> Iterator[str]:
    """A record is what the input up to its offsets says, under its own hyperparameters."""
    store = record["key"]["store_id"]
    group = inputs.group(store, record["offsets"][f"{INPUT}-{partition_of(store)}"])
    visits, conversions = len(group.visits), len(group.conversions)
    mean = _estimate(record, record["hyper"], conversions)
    if record["n_eff"] != visits or abs(record["estimate"] - mean) > 1e-9:
        said = (record["n_eff"], record["estimate"])
        yield f"{store} seq {record['version']['seq']}: {said}, not {(visits, mean)}"


def _last(records: list[Record], inputs: Inputs) -> Iterator[str]:
    """The newest record of every store has everything, under the newest refit."""
    newest = {record["key"]["store_id"]: record for record in records}
    for store in sorted(inputs.stores):
        visits = len(inputs.group(store).visits)
        if visits and (store not in newest or newest[store]["n_eff"] != visits):
            yield f"{store}: the newest record has not all of {visits} visits"
    # Not of one refit: a later one that changes no estimate of a store is not worth a record.
    hypers = [record["hyper"] for record in newest.values()]
    for store, record in newest.items():
        hyper = max(hypers, key=lambda hyper: hyper["version"])
        estimate = _estimate(record, hyper, len(inputs.group(store).conversions))
        if abs(record["estimate"] - estimate) > 1e-9:
            yield f"{store}: {record['estimate']} is not {estimate}, under the newest refit"


def _rejects(cluster: Cluster, inputs: Inputs) -> Iterator[str]:
    found = sorted((r["partition"], r["offset"]) for r in _read(cluster, "rejects"))
    if found != inputs.rejects:
        yield f"rejects {found}, not {inputs.rejects}"


def _state(cluster: Cluster, inputs: Inputs) -> Iterator[str]:
    """The log alone gives what the input says; its marker is what the group has committed."""
    for number in range(PARTITIONS):
        where = TopicPartition("state", number)
        restoring = Restoring(number, SETTINGS)
        for entry in cluster.visible(where, 0, len(cluster.log(where))):
            restoring.take(entry.key or b"", entry.value)
        restored = restoring.finish()
        if restored is None:
            if inputs.of(number):
                yield f"shard {number} has no state"
            continue
        committed = cluster.committed[TopicPartition(INPUT, number)].offset
        if restored.offsets != {(INPUT, number): committed}:
            yield f"shard {number}: marker {restored.offsets}, committed {committed}"
        columns = restored.shard.table.statistic("conversion").columns()
        for row, (_, store) in enumerate(restored.shard.table.keys):
            group = inputs.group(store)
            found = (columns["successes"][row], columns["trials"][row])
            if found != (len(group.conversions), len(group.visits)):
                yield f"{store}: the state has {found}"
