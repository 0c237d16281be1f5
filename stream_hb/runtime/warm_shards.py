"""Shards that were taken away, as they were: most come back, and nobody has written since.

Under an eager assignor (two input topics) every join or leave of any worker takes all shards from
all workers and gives most of them back. What is in memory is then all that stands in the log, if
the log ends where it ended after the last transaction: every record of another owner, and every
transaction of his that is open or was aborted, moves its end.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

import structlog

from stream_hb.shard import Shard
from stream_hb.statelog.restore import Restored
from stream_hb.statelog.shard_log import ShardLog
from stream_hb.tick_feeds import Memory

WARM_SECONDS_MAX = 60.0
"""How long a shard is kept: the group waits no longer for a member to poll, so by then it has told
whose the shard is."""

log = structlog.get_logger("stream_hb.warm_shards")


@dataclass(frozen=True, slots=True)
class WarmShard:
    """A shard as it is after its last transaction, which is committed.

    Attributes
    ----------
    shard, log
        The shard and its log.
    end
        Where the log ended then, for a reader of uncommitted messages.
    header
        What the marker says besides, as in :meth:`ShardLog.plan`.
    memory
        What the feeds remember whose memory stands in this log.
    """

    shard: Shard
    log: ShardLog
    end: int
    header: Mapping[str, Any]
    memory: Memory

    @property
    def records(self) -> int:
        """How many records of the log were read for it."""
        return 0

    def finish(self) -> Restored:
        """Return it as from the log.

        As another object: what others were told of it is compared by that, and while it was away
        another owner may have told them. And its groups are to be looked at: it was not there when
        the pools were refitted.
        """
        shard = copy(self.shard)
        shard.unscreened.mark_all(len(shard.table))
        marker = {**self.header, **self.log.marker()}
        return Restored(shard, self.log.of(shard), marker, self.memory.papers())


class WarmShards:
    """The shards that were taken away, until it is known whose they are.

    Parameters
    ----------
    seconds
        A clock that only goes forward.

    Attributes
    ----------
    outcomes
        How many were taken back, and how many refused.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.outcomes: Counter[str] = Counter()
        self._seconds = seconds
        self._kept: dict[int, tuple[float, WarmShard]] = {}

    @property
    def numbers(self) -> set[int]:
        """The shards that are kept."""
        return set(self._kept)

    def keep(self, warm: WarmShard) -> None:
        """Take a shard that is given up."""
        self._kept[warm.shard.number] = self._seconds(), warm

    def fitting(self, number: int, end: int) -> WarmShard | None:
        """Return a shard if its log ends where it did; if not, the log has to be read."""
        if number not in self._kept:
            return None
        _, warm = self._kept[number]
        if warm.end == end:
            return warm
        self.refuse(number, f"its log ended at {warm.end}, and ends at {end}")
        return None

    def refuse(self, number: int, why: str) -> None:
        """Forget a shard that does not fit."""
        del self._kept[number]
        self.outcomes["refused"] += 1
        log.info("the log is read: a shard in memory does not fit", shard=number, why=why)

    def taken_back(self, number: int) -> None:
        """Take note that a shard works again."""
        del self._kept[number]
        self.outcomes["taken_back"] += 1
        log.info("shard taken back", shard=number)

    def keep_only(self, numbers: Collection[int]) -> None:
        """Forget shards that did not come back, and those that nobody has asked for in time."""
        now = self._seconds()
        self._kept = {
            number: (at, warm)
            for number, (at, warm) in self._kept.items()
            if number in numbers and now - at <= WARM_SECONDS_MAX
        }

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
