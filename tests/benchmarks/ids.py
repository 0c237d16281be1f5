"""``python -m tests.benchmarks.ids``: bytes and time of a remembered id, beside a set of ints.

Visits as a shard remembers them, without visitors and with: a visitor is a column of eight bytes
and an hour of its own.
"""

import argparse
import time

import numpy as np

from stream_hb.events.arm_sets import ArmSets
from stream_hb.events.attribution import Attribution
from stream_hb.events.mentions import OrderMentions, RefundMentions, VisitMentions

BATCH = 40_000
DAY_MS = 86_400_000
START_MS = 1_760_054_400_000


def visits(keys: np.ndarray, *, named: bool) -> VisitMentions:
    """Return visit events of a week, of 10,000 stores."""
    size = len(keys)
    return VisitMentions(
        key=keys,
        row=(keys % 10_000).astype(np.intp),
        time_ms=START_MS + (keys % (7 * DAY_MS)).astype(np.int64),
        visitor=keys // 3 * 3 + 1 if named else np.zeros(size, np.uint64),
        arm=np.full(size, -1),
        is_bot=np.zeros(size, np.bool_),
    )


def nothing() -> tuple[OrderMentions, RefundMentions]:
    """Return no orders and no refunds."""
    rows, ids, ints = np.empty(0, np.intp), np.empty(0, np.uint64), np.empty(0, np.int64)
    marks = np.empty(0, np.bool_)
    return (
        OrderMentions(ids, rows, ints, ints, ints, ids, ids, ints, marks, ints),
        RefundMentions(ids, rows, ids, ints, ints, marks, ints),
    )


def remember(keys: np.ndarray, *, named: bool) -> tuple[Attribution, float, float]:
    """Feed new visits, then a million known ones; return the seconds of each per event."""
    shard, none = Attribution(), nothing()
    arms = ArmSets()

    def feed(some: np.ndarray) -> None:
        for start in range(0, len(some), BATCH):
            mentions = visits(some[start : start + BATCH], named=named)
            shard.apply(shard.probe(mentions, *none, arms))

    started = time.process_time()
    feed(keys)
    new = (time.process_time() - started) / len(keys)
    known = np.random.default_rng(2).choice(keys, min(len(keys), 1_000_000), replace=False)
    started = time.process_time()
    feed(known)
    return shard, new, (time.process_time() - started) / len(known)


def remembered(ids: int) -> None:
    """Print a line for each kind of visits."""
    keys = np.random.default_rng(1).integers(1, 2**64, ids, np.uint64)
    started = time.process_time()
    plain: set[int] = set()
    for start in range(0, min(ids, 1_000_000), BATCH):
        plain.update(keys[start : start + BATCH].tolist())
    each = (time.process_time() - started) / len(plain)
    print(f"set of ints: {each * 1e9:.0f} ns an id (no rows, no times; about 74 B an id)")
    for named in (False, True):
        shard, new, known = remember(keys, named=named)
        size = sum(table.nbytes for table in shard.tables.values()) / len(shard.visits.table)
        what = "with visitors" if named else "without visitors"
        print(
            f"{len(shard.visits.table):,} visits {what}: {size:.1f} B each, all included; "
            f"new {new * 1e9:.0f} ns, known {known * 1e9:.0f} ns an event"
        )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ids")
    parser.add_argument("--ids", type=int, default=10_000_000)
    remembered(parser.parse_args().ids)


if __name__ == "__main__":
    main()
