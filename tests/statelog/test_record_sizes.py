"""Whatever a batch holds, no record of its changes is larger than a broker takes."""

from collections.abc import Sequence

import pytest

from stream_hb.settings import EngineSettings
from stream_hb.statelog.records import RECORD_BYTES, DeltaId, LogRecord, decoded, parsed_key
from stream_hb.statelog.restore import Restored, Restoring
from stream_hb.statelog.shard_log import ShardLog
from stream_hb.timing import plain_positions
from tests.laws.test_event_laws import METHODS
from tests.support.logs import START_MS, batch, open_engine, visit

SETTINGS = EngineSettings(METHODS)
LONG = "n" * 64
"""The longest name there is."""


def arms(count: int) -> list[bytes]:
    """Return a visit for each of so many arms."""
    return [
        visit(visit_id=f"v{n}", at_ms=START_MS + n, experiment={"experiment_id": "e", "arm": arm})
        for n, arm in enumerate(_names(count))
    ]


def stores(count: int) -> list[bytes]:
    """Return a visit in each of so many stores."""
    return [
        visit(store, f"v{n}", START_MS + n, chain=LONG) for n, store in enumerate(_names(count))
    ]


def _names(count: int) -> list[str]:
    return [f"{n}{LONG}"[:64] for n in range(count)]


@pytest.mark.parametrize(
    ("payloads", "kind"),
    [(arms(20_000), "arms"), (stores(7_000), "groups")],
    ids=["arms", "groups"],
)
def test_what_a_batch_names_first_is_split_and_restored_whole(
    payloads: Sequence[bytes], kind: str
) -> None:
    """Wrong before: 20,000 new arms were one record of 1.4 MB, and no client takes that."""
    engine = open_engine(SETTINGS)
    shard = engine.shards[0]
    log = ShardLog(shard)
    candidate = engine.ingest({0: [batch(payloads)]})
    plan = log.plan(candidate.shards[0], [], {"writer": "tests"})
    named = [r for r in plan.records if _tells_of(r, kind)]
    assert len(named) > 1
    assert max(len(record.value or b"") for record in plan.records) <= RECORD_BYTES
    engine.apply(candidate)
    log.settle(plan)
    restored = _restored(plan.records)
    assert restored.shard.arms.known == shard.arms.known
    assert restored.shard.table.keys == shard.table.keys
    assert restored.log.state == log.state
    assert plain_positions(restored.shard.positions) == plain_positions(shard.positions)


def _tells_of(record: LogRecord, kind: str) -> bool:
    is_delta = record.value is not None and isinstance(parsed_key(record.key), DeltaId)
    return is_delta and any(name == kind for name, *_ in decoded(record.value or b""))


def _restored(records: Sequence[LogRecord]) -> Restored:
    restoring = Restoring(0, SETTINGS)
    for record in records:
        restoring.take(*record)
    found = restoring.finish()
    assert found is not None
    return found
