"""Where a worker's hyperparameters come from: its own shards alone, or those of all workers."""

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple, Protocol

from stream_hb.chain_ticks import ChainTick
from stream_hb.engine import Candidate, Engine
from stream_hb.refit import Refit


class Broadcast(NamedTuple):
    """A record for the other workers.

    Attributes
    ----------
    topic, partition, key, value
        The record; without a value it deletes its key.
    shard
        Whose owner alone may write it: the transaction carries the shard's offsets, so that the
        group fences a worker that is its owner no longer.
    """

    topic: str
    partition: int
    key: bytes
    value: bytes | None
    shard: int


class Pooling(Protocol):
    """Refits, or takes over what another worker refitted."""

    def listen(self, now_ms: int) -> None:
        """Take what other workers say."""
        ...

    def refit(self, now_ms: int, enough: Callable[[], bool], /) -> Refit | None:
        """Return what this worker refitted, to be applied; None: nothing.

        ``enough`` says after every fit whether the rest is left to the next call.
        """
        ...

    def knows_all_clocks(self) -> bool:
        """Tell whether it is known how far all shards there are have been read."""
        ...

    def chain_ticks(self, candidate: Candidate, /) -> Iterable[ChainTick]:
        """Return the ticks that the feeds are to be shown with a candidate, ascending."""
        ...

    def broadcasts(self) -> list[Broadcast]:
        """Return what is to be told, until it was delivered."""
        ...

    def delivered(self, told: Collection[Broadcast], /) -> None:
        """Take note that records are with the others."""
        ...

    def close(self) -> None:
        """Leave."""
        ...


class OwnPooling:
    """Pools the shards of this process only: without transactions nobody may speak for a shard.

    Parameters
    ----------
    engine
        The engine.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def listen(self, now_ms: int) -> None:
        """Nobody speaks."""

    def refit(self, now_ms: int, enough: Callable[[], bool]) -> Refit | None:
        """Refit when it is due."""
        return self._engine.refit(now_ms, enough=enough)

    def knows_all_clocks(self) -> bool:
        """Return True: of others nothing is known."""
        return True

    def chain_ticks(self, candidate: Candidate) -> Iterable[ChainTick]:
        """Return those that it closes."""
        return self._engine.chain_ticks(candidate.closing)

    def broadcasts(self) -> list[Broadcast]:
        """Return nothing: nobody listens."""
        return []

    def delivered(self, _told: Collection[Broadcast]) -> None:
        """Nothing is to be done."""

    def close(self) -> None:
        """Nothing is to be done."""
