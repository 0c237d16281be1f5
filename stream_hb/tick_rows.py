"""Closed ticks as workers tell each other of them: what a shard's stores did, and how far it is."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stream_hb import state
from stream_hb.arm_parts import plain_arms, restored_arms
from stream_hb.chain_ticks import TickPart
from stream_hb.errors import SnapshotError
from stream_hb.events.controls import Control
from stream_hb.statistics.columns import Statistic

CLOSED_KEY = b"e"
"""Key of the row that says up to which tick a shard has closed."""

TICK = b"t"
"""First byte of the keys of rows of ticks."""


def tick_key(tick: int, chunk: int) -> bytes:
    """Return the key of a chunk of a shard's row of a tick.

    >>> read_tick_key(tick_key(20_000, 1))
    (20000, 1)
    """
    return TICK + state.pack([tick, chunk])


def read_tick_key(key: bytes) -> tuple[int, int]:
    """Undo :func:`tick_key`."""
    tick, chunk = state.unpack(key[1:])
    return tick, chunk


def tick_row(parts: Mapping[str, TickPart]) -> bytes:
    """Write what a shard's stores did in a tick, by chain."""
    return state.pack({chain: _plain(part) for chain, part in parts.items()})


def _plain(part: TickPart) -> list[Any]:
    columns = {name: kept.columns() for name, kept in part.statistics.items()}
    said = [list(control) for control in part.controls]
    return [list(part.stores), part.zones, columns, plain_arms(part.arms), said]


def read_tick_row(row: bytes, kinds: Mapping[str, type[Statistic]]) -> dict[str, TickPart]:
    """Undo :func:`tick_row`.

    Parameters
    ----------
    row
        As written.
    kinds
        The plain statistic of each metric.

    Raises
    ------
    SnapshotError
        The worker that wrote it keeps other metrics.
    """
    found = {}
    # Rows of earlier versions end with the columns, or with the arms.
    for chain, (stores, zones, columns, *more) in state.unpack(row).items():
        if columns.keys() != kinds.keys():
            raise SnapshotError(
                f"another worker tells of ticks of other metrics: {', '.join(sorted(columns))}"
            )
        statistics = {name: kind(**columns[name]) for name, kind in kinds.items()}
        arms = restored_arms(more[0]) if more else {}
        controls = tuple(Control(*plain) for said in more[1:] for plain in said)
        found[chain] = TickPart(stores, np.asarray(zones, np.intp), statistics, arms, controls)
    return found


def closed_row(closed: int) -> bytes:
    """Write that the ticks before one are closed in a shard.

    >>> read_closed(closed_row(7))
    7
    """
    return state.pack([closed])


def read_closed(value: bytes) -> int:
    """Undo :func:`closed_row`."""
    (closed,) = state.unpack(value)
    return int(closed)
