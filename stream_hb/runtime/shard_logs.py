"""The logs of the shards that work: what a transaction writes to them, and offsets beside it."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from stream_hb.engine import Candidate, Engine
from stream_hb.runtime.agreement import noted
from stream_hb.runtime.client import Committed, TopicPartition
from stream_hb.runtime.delivery import Outgoing
from stream_hb.runtime.opened import Opened
from stream_hb.statelog.shard_log import LogPlan, ShardLog
from stream_hb.tick_feeds import HOME


class ShardLogs:
    """See the module.

    Parameters
    ----------
    engine
        Has the shards.
    header
        What every marker says: ``group`` and ``writer`` (the slot).
    """

    def __init__(self, engine: Engine, header: Mapping[str, Any]) -> None:
        self._engine = engine
        self._header = header
        self._logs: dict[int, ShardLog] = {}
        self._origins: dict[int, Mapping[str, Any] | None] = {}
        self._read_ends: dict[int, int] = {}
        self._plans: dict[int, LogPlan] = {}

    def add(self, opened: Opened) -> None:
        """Take the log of a shard that works now, begun or restored.

        It goes on to say which topics were counted where the broker does not tell it now.
        """
        number, restored = opened.number, opened.restored
        self._logs[number] = restored.log if restored else ShardLog(self._engine.shards[number])
        before = restored.marker.get("origin") if restored else None
        self._origins[number] = opened.origin.plain() if opened.origin else before
        self._read_ends[number] = opened.log_end

    def drop(self, number: int) -> None:
        """Forget a shard's log."""
        self._logs.pop(number, None)

    def complete(self) -> dict[int, ShardLog]:
        """Return the logs that have something of their shards, and of their shards' epochs."""
        return {
            number: mine
            for number, mine in self._logs.items()
            if mine.state.seq and not mine.state.is_renewed
        }

    def read_end(self, number: int) -> int:
        """Return how far a shard's log was read when it was opened."""
        return self._read_ends[number]

    def header(self, number: int) -> dict[str, Any]:
        """Return what a shard's marker says besides."""
        return {**self._header, "origin": self._origins[number], "refits": self._engine.refits}

    def plan(self, out: Outgoing) -> Mapping[int, LogPlan]:
        """Return what is to be written of every shard; the plans wait to be settled."""
        updates = defaultdict(list)
        for update in out.emission.updates if out.emission else []:
            if len(update.rows):
                updates[update.shard].append(update)
        papers = out.watched.papers() if out.watched else {}
        home = {HOME} if papers else set()
        # Offsets must not be committed for a shard whose new epoch its log does not know: they
        # would fit the old one's marker again.
        renewed = {number for number, mine in self._logs.items() if mine.state.is_renewed}
        self._plans = {
            number: self._logs[number].plan(
                out.candidate.shards.get(number),
                updates[number],
                self.header(number),
                papers if number == HOME else {},
            )
            for number in sorted(out.candidate.shards.keys() | updates.keys() | home | renewed)
        }
        return self._plans

    def discard(self) -> None:
        """Forget the plans of a transaction that was not committed: they must not be settled."""
        self._plans = {}

    def settle(self) -> None:
        """Take note that the plans were committed."""
        for number, plan in self._plans.items():
            self._logs[number].settle(plan)
        self._plans = {}

    def offsets(
        self, number: int, candidate: Candidate, plan: LogPlan | None = None
    ) -> dict[TopicPartition, Committed]:
        """Return where a shard's sources stand, after its plan if it has one."""
        shard = candidate.shards.get(number, self._engine.shards[number])
        after = plan or self._logs[number]
        return {
            TopicPartition(*source): Committed(position.next_offset, noted(after.state.seq))
            for source, position in shard.positions.items()
        }
