"""A shard that begins with a snapshot and reads the log's tail is to the bit the log's own."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_hb.engine import Engine
from stream_hb.errors import SnapshotError
from stream_hb.events import id_table
from stream_hb.state import pack, unpack
from stream_hb.statelog import group_rows, restore, shard_log
from stream_hb.statelog.records import LogRecord
from stream_hb.statelog.restore import Restored, Restoring
from stream_hb.statelog.snapshot import snapshot, unpacked
from tests.statelog.test_statelog_laws import (
    DAY_MS,
    WORLDS,
    Driven,
    a_visit,
    everything,
    restored_from,
    steps,
    visits,
    worlds,
)
from tests.support.logs import START_MS


@pytest.fixture(autouse=True, scope="module")
def _small_pages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (id_table, shard_log, restore):
            patch.setattr(module, "PAGE_SLOTS", 2)
        for module in (shard_log, restore):
            patch.setattr(module, "ARMS_OF_PAGE", 2)
        patch.setattr(group_rows, "page_rows", lambda _: 2)
        yield


def taken(driven: Driven) -> tuple[int, bytes]:
    """Return where the log ends, and a snapshot of it."""
    return len(driven.records), snapshot(
        driven.shard, driven.log, {"writer": "tests"}, driven.papers
    )


def compacted_tail(
    records: Sequence[LogRecord], offset: int, random: np.random.Generator
) -> list[LogRecord]:
    """Return what a broker may have left after an offset; deletions are kept for a time."""
    last = {record.key: at for at, record in enumerate(records)}
    tail = range(offset, len(records))
    return [records[at] for at in tail if last[records[at].key] == at or random.random() < 0.3]


def resumed(driven: Driven, offset: int, raw: bytes, random: np.random.Generator) -> Restored:
    restoring = Restoring(0, driven.world)
    restoring.resume(unpacked(raw))
    for record in compacted_tail(driven.records, offset, random):
        restoring.take(*record)
    found = restoring.finish()
    assert found is not None
    return found


def adopt(driven: Driven, restored: Restored) -> None:
    engine = Engine(driven.world)
    engine.adopt(restored.shard)
    engine.pools, engine.refits = driven.engine.pools, driven.engine.refits
    engine.refitted_at_ms = driven.engine.refitted_at_ms
    driven.engine, driven.log = engine, restored.log


def assert_bit_equal(found: Restored, expected: Restored) -> None:
    np.testing.assert_equal(everything(found.shard), everything(expected.shard))
    mine, its = found.shard.cleared, expected.shard.cleared
    assert {n: s.tolist() for n, s in mine.items() if len(s)} == {
        n: s.tolist() for n, s in its.items() if len(s)
    }
    assert found.log.state == expected.log.state
    assert list(found.log.state.dirty.values()) == list(expected.log.state.dirty.values())


@given(log=steps(), world=worlds, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
@pytest.mark.timeout(900)
def test_a_snapshot_and_the_tail_are_the_whole_log(
    log: list[list[bytes]], world: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    driven, undisturbed = Driven(WORLDS[world]), Driven(WORLDS[world])
    kept = None
    for payloads in log:
        driven.step(payloads)
        undisturbed.step(payloads)
        if random.random() < 0.4:
            kept = taken(driven)
        if kept is not None:
            found = resumed(driven, *kept, random)
            whole = restored_from(driven.records, driven.world)
            assert whole is not None
            assert_bit_equal(found, whole)
            if random.random() < 0.3:
                adopt(driven, found)
    np.testing.assert_equal(everything(driven.shard), everything(undisturbed.shard))


def test_what_was_forgotten_before_and_after_a_snapshot_stays_so() -> None:
    random = np.random.default_rng(0)
    driven = Driven(WORLDS["forgetful"])
    forgotten = 0
    kept = None
    for day in range(12):
        for part in range(3):
            at_ms = START_MS + day * DAY_MS + part
            driven.step([a_visit(f"v{day}-{part}-{n}", f"s{day}", at_ms + n) for n in range(3)])
            forgotten += sum(map(len, driven.shard.cleared.values()))
            if kept is not None:
                found = resumed(driven, *kept, random)
                whole = restored_from(driven.records, driven.world)
                assert whole is not None
                assert_bit_equal(found, whole)
                adopt(driven, found)
            if part == day % 3:
                kept = taken(driven)
    assert forgotten > 40


def test_a_tail_of_another_history_is_refused() -> None:
    driven = Driven(WORLDS["plain"])
    for number in range(4):
        driven.step(visits(3, first=3 * number))
    restoring = Restoring(0, driven.world)
    restoring.resume(unpacked(taken(driven)[1]))
    first = next(record for record in driven.records if record.key[:1] == b"d")
    with pytest.raises(SnapshotError, match=r"transaction 1 follows .* taken after transaction 4"):
        restoring.take(*first)


@pytest.mark.parametrize("version", ["version", "log_version"])
def test_a_snapshot_of_another_version_is_refused(version: str) -> None:
    driven = Driven(WORLDS["plain"])
    driven.step(visits(3))
    values = unpack(taken(driven)[1])
    with pytest.raises(SnapshotError, match="a snapshot of version"):
        unpacked(pack({**values, version: 0}))


def test_what_is_no_snapshot_is_refused() -> None:
    with pytest.raises(SnapshotError, match="not a shard's snapshot, but a list"):
        unpacked(pack([1]))
