"""A shard and its log at a moment, whole: what a restore may begin with, not the log's start.

It says what the log up to an offset says, and is believed only together with what follows that
offset. Deletions are no part of the argument: a broker keeps them for a time only, so a snapshot
that is older than that may know ids which nothing in the log's tail takes back.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from stream_hb import state
from stream_hb.errors import SnapshotError
from stream_hb.shard import Shard
from stream_hb.statelog import group_rows, records
from stream_hb.statelog.shard_log import ShardLog

VERSION = 2


def snapshot(
    shard: Shard,
    log: ShardLog,
    header: Mapping[str, Any],
    papers: Mapping[str, bytes] = MappingProxyType({}),
) -> bytes:
    """Return a shard after its last transaction, which is committed.

    Parameters
    ----------
    shard, log
        The shard and its log.
    header
        What the marker says besides, as in :meth:`ShardLog.plan`.
    papers
        What the feeds remember whose memory stands in this log.
    """
    # What was registered since the last transaction is unknown to the log, and comes by itself.
    groups, arms = log.state.groups, log.state.arms
    marker = {**header, **log.marker(), "cleared": dict(shard.cleared)}
    return state.pack(
        {
            "version": VERSION,
            "log_version": records.VERSION,
            "marker": marker,
            "keys": [list(key) for key in shard.table.keys[:groups]],
            "group_hashes": shard.group_hashes[:groups],
            "columns": group_rows.read(shard, np.arange(groups)),
            "tables": {name: table.whole() for name, table in shard.tables.items()},
            "arms": records.plain_arms(shard.arms.known[:arms]),
            "deltas": [list(delta) for delta in log.state.deltas],
            "ticks": shard.ledger.cells.snapshot() if shard.ledger else None,
            "tick_pages": sorted(log.state.tick_pages),
            "papers": dict(papers),
            "dirty": [[*page, seq] for page, seq in log.state.dirty.items()],
        }
    )


def unpacked(raw: bytes | memoryview) -> dict[str, Any]:
    """Read a snapshot.

    Raises
    ------
    SnapshotError
        It is not one, or of another version of it or of the log.
    """
    values = state.unpack(raw)
    if not isinstance(values, dict):
        raise SnapshotError(f"not a shard's snapshot, but a {type(values).__name__}")
    found, known = (values.get("version"), values.get("log_version")), (VERSION, records.VERSION)
    if found[0] != VERSION or found[1] not in range(1, records.VERSION + 1):
        raise SnapshotError(f"a snapshot of version {found}, this program reads up to {known}")
    return values
