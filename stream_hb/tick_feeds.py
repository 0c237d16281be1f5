"""Feeds that look at closed ticks: what runs them, whatever they tell of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, Self, runtime_checkable

from stream_hb import state
from stream_hb.chain_ticks import ChainTick
from stream_hb.feeds.estimates import OutRecord
from stream_hb.pool_fit import Pool, PoolFit
from stream_hb.statistics.table import GroupKey

HOME = 0
"""The shard whose owner runs the feeds, and whose log has what they remember."""


@dataclass(frozen=True, slots=True)
class TickMoment:
    """What all ticks that are closed together share.

    Attributes
    ----------
    now_ms
        Clock reading.
    watermark_ms
        Event time up to which every source has been read.
    pools
        The hyperparameters.
    offsets
        How far each source was read.
    epoch
        Of the records' versions: grows when the memory of what was told was lost.
    """

    now_ms: int
    watermark_ms: int
    pools: Mapping[Pool, PoolFit]
    offsets: Mapping[str, int]
    epoch: int = 1


class TickFeed(Protocol):
    """A feed with what it remembers; never changed, a step returns the next one.

    Of ticks in which no store of the chain did anything, and units of experiments became mature,
    only feeds know whose ``reads_arms`` is true; of those in which an operator said something, only
    those whose ``reads_controls`` is. A feed may say of which groups estimates are to
    be flagged ``srm`` (``srm``, group keys).
    """

    def step(self, tick: ChainTick, moment: TickMoment) -> tuple[Self, list[OutRecord]]:
        """Look at a closed tick of a chain; return what it then remembers, and its records."""
        ...

    def snapshot(self) -> Any:
        """Return what it remembers as plain values and arrays."""
        ...

    def restored(self, state: Any) -> Self:
        """Return the feed that remembers a :meth:`snapshot`."""
        ...


@runtime_checkable
class Chooses(Protocol):
    """A feed that also says which of the statistics that are kept side by side are served."""

    def half_lives_ms(self) -> Mapping[Pool, int | None]:
        """Return the half-life of each pool that it has chosen one for."""
        ...


@runtime_checkable
class Tallying(Protocol):
    """A feed that counts what it leaves out."""

    @property
    def tallies(self) -> Mapping[str, int]:
        """How much it has seen and left out, by name."""
        ...


@dataclass(frozen=True, slots=True)
class Memory:
    """The feeds, each with what it remembers.

    Attributes
    ----------
    feeds
        By name.
    until
        Ticks before this one have been shown: none is shown twice.
    """

    feeds: Mapping[str, TickFeed] = field(default_factory=lambda: MappingProxyType({}))
    until: int = 0

    def half_lives_ms(self) -> dict[Pool, int | None]:
        """Return the half-lives that feeds have chosen: the next refit is of these."""
        choosing = [feed for feed in self.feeds.values() if isinstance(feed, Chooses)]
        return {pool: ms for feed in choosing for pool, ms in feed.half_lives_ms().items()}

    @property
    def srm(self) -> frozenset[GroupKey]:
        """The groups where an experiment's arms do not have the shares that they should."""
        return frozenset().union(*(getattr(feed, "srm", ()) for feed in self.feeds.values()))

    @property
    def tallies(self) -> dict[str, int]:
        """How much the feeds have seen and left out, by name."""
        counting = [feed for feed in self.feeds.values() if isinstance(feed, Tallying)]
        return {name: number for feed in counting for name, number in feed.tallies.items()}

    def papers(self) -> dict[str, bytes]:
        """Return it as it stands in a log, by the feeds' names."""
        told = {name: state.pack(feed.snapshot()) for name, feed in self.feeds.items()}
        return {**told, UNTIL: state.pack(self.until)} if told else {}

    def remembering(self, papers: Mapping[str, bytes]) -> "Memory":
        """Return the same feeds with what :meth:`papers` wrote; one that is new begins."""
        feeds = {
            name: feed.restored(state.unpack(papers[name])) if name in papers else feed
            for name, feed in self.feeds.items()
        }
        return Memory(feeds, state.unpack(papers[UNTIL]) if UNTIL in papers else 0)


UNTIL = "until"
"""Not a feed's name."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What feeds make of ticks.

    Attributes
    ----------
    memory
        The feeds afterwards.
    records
        Their records, by the feed's name, in the order to be written.
    ticks
        How many ticks of chains they looked at.
    """

    memory: Memory
    records: Mapping[str, list[OutRecord]]
    ticks: int

    def papers(self) -> dict[str, bytes]:
        """Return what is to be written of the memory: nothing where nothing was seen."""
        return self.memory.papers() if self.ticks else {}


def watch(memory: Memory, ticks: Iterable[ChainTick], moment: TickMoment) -> Watched:
    """Show ticks, ascending, to all feeds; changes nothing."""
    after, until, number = dict(memory.feeds), memory.until, 0
    records: dict[str, list[OutRecord]] = {name: [] for name in after}
    for tick in ticks if after else ():
        if tick.number < memory.until:
            continue
        number, until = number + 1, tick.number + 1
        for name, feed in memory.feeds.items():
            if not _concerns(feed, tick):
                continue
            after[name], told = after[name].step(tick, moment)
            records[name] += told
    return Watched(Memory(after, until), records, number)


def _concerns(feed: TickFeed, tick: ChainTick) -> bool:
    """Tell whether a tick may have something for a feed."""
    said = tick.controls and getattr(feed, "reads_controls", False)
    return bool(tick.stores or said or getattr(feed, "reads_arms", False))
