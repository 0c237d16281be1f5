"""Feeds that look at closed ticks: what runs them, whatever they tell of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from stream_hb import state
from stream_hb.chain_ticks import ChainTick
from stream_hb.feeds.estimates import OutRecord
from stream_hb.pool_fit import Pool, PoolFit

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
    """A feed with what it remembers; never changed, a step returns the next one."""

    def step(self, tick: ChainTick, moment: TickMoment) -> tuple[Self, list[OutRecord]]:
        """Look at a closed tick of a chain; return what it then remembers, and its records."""
        ...

    def snapshot(self) -> Any:
        """Return what it remembers as plain values and arrays."""
        ...

    def restored(self, state: Any) -> Self:
        """Return the feed that remembers a :meth:`snapshot`."""
        ...


@dataclass(frozen=True, slots=True)
class Watched:
    """What feeds make of the ticks that a candidate closes.

    Attributes
    ----------
    feeds
        The feeds afterwards, by name.
    records
        Their records, by the feed's name, in the order to be written.
    ticks
        How many ticks of chains they looked at.
    """

    feeds: Mapping[str, TickFeed]
    records: Mapping[str, list[OutRecord]]
    ticks: int

    def papers(self) -> dict[str, bytes]:
        """Return what the feeds remember then, as it stands in a log."""
        if not self.ticks:
            return {}
        return papers_of(self.feeds)


def papers_of(feeds: Mapping[str, TickFeed]) -> dict[str, bytes]:
    """Return what feeds remember as bytes, by their names."""
    return {name: state.pack(feed.snapshot()) for name, feed in feeds.items()}


def remembering(feeds: Mapping[str, TickFeed], papers: Mapping[str, bytes]) -> dict[str, TickFeed]:
    """Return feeds with what :func:`papers_of` wrote; one of which nothing was written is new."""
    return {
        name: feed.restored(state.unpack(papers[name])) if name in papers else feed
        for name, feed in feeds.items()
    }


def watch(feeds: Mapping[str, TickFeed], ticks: Iterable[ChainTick], moment: TickMoment) -> Watched:
    """Show ticks to all feeds, in order; changes nothing."""
    after = dict(feeds)
    records: dict[str, list[OutRecord]] = {name: [] for name in feeds}
    number = 0
    for tick in ticks if feeds else ():
        number += 1
        for name in feeds:
            after[name], told = after[name].step(tick, moment)
            records[name] += told
    return Watched(after, records, number)
