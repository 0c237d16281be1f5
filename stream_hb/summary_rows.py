"""What workers tell each other of the pools, as bytes: a shard's parts, its clocks, the fits.

Rows are absolute: the newest says everything, so none is missed by whoever comes late, and a row
that is written twice does no harm.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream_hb import state
from stream_hb.errors import SnapshotError
from stream_hb.events.clock import SourceClock
from stream_hb.pool_fit import Pool, PoolFit
from stream_hb.pool_parts import Asked, PoolParts, Sample
from stream_hb.pool_summaries import Summarised
from stream_hb.statistics.table import GroupKey

VERSION = 1

CHUNK_BYTES = 800_000
"""Most bytes of a record, below the broker's default limit of a megabyte."""

CHUNKS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """A record of a row that may need several.

    Attributes
    ----------
    stamp
        The same in all chunks of one writing of the row.
    number, count
        Which of how many.
    body
        Its bytes.
    """

    stamp: str
    number: int
    count: int
    body: bytes


def chunks(row: bytes, stamp: str) -> list[bytes]:
    """Split a row into the values of records.

    >>> parts = [read_chunk(value) for value in chunks(bytes(1_000_000), "w-0 7")]
    >>> [(part.number, part.count, len(part.body)) for part in parts]
    [(0, 2, 800000), (1, 2, 200000)]
    """
    bodies = [row[at : at + CHUNK_BYTES] for at in range(0, len(row), CHUNK_BYTES)]
    return [_written([stamp, at, len(bodies), body]) for at, body in enumerate(bodies)]


def read_chunk(value: bytes) -> Chunk:
    """Undo one of :func:`chunks`."""
    return Chunk(*_read(value))


def assembled(parts: Sequence[Chunk]) -> bytes | None:
    """Return the row of chunks in their order; None while they are of different writings."""
    count = parts[0].count if parts else 0
    mine = parts[:count]
    whole = len(mine) == count > 0 and len({part.stamp for part in mine}) == 1
    return b"".join(part.body for part in mine) if whole else None


def chain_row(parts: PoolParts, asked: Iterable[Asked], most: int) -> bytes:
    """Write what a shard has of a chain's pools; at most so many groups for the checks.

    Of statistics that are kept side by side all are told: which of them the next refit is of is
    known to the one who refits.
    """
    told = {
        _told_as(one): [state.plain(parts.data(one)), state.plain(parts.sample(one, most))]
        for one in asked
    }
    return state.pack(told)


def _told_as(asked: Asked) -> str:
    """Return the name of a pool's data in a chain's row.

    >>> _told_as(Asked("c", "conversion", 0)), _told_as(Asked("c", "conversion", 0, 3_600_000))
    ('conversion', 'conversion 3600000')
    """
    half_life_ms = asked.half_life_ms
    return asked.metric if half_life_ms is None else f"{asked.metric} {half_life_ms}"


class RemoteParts:
    """A shard of another worker, as its rows tell; see :class:`stream_hb.pool_parts.PoolParts`.

    Parameters
    ----------
    number
        The shard.
    rows
        By chain, of :func:`chain_row`.
    """

    def __init__(self, number: int, rows: Mapping[str, bytes]) -> None:
        self._number = number
        self._rows = rows
        self._read: dict[str, tuple[bytes, dict[str, Any]]] = {}

    @property
    def number(self) -> int:
        """The shard."""
        return self._number

    @property
    def chains(self) -> Sequence[str]:
        """The chains of its groups."""
        return list(self._rows)

    def data(self, asked: Asked) -> Summarised | None:
        """Return its groups of a pool, as of when they were told; None: it has none."""
        told: Summarised | None = self._told(asked)[0]
        return told

    def sample(self, asked: Asked, most: int) -> Sample | None:  # noqa: ARG002
        """Return those of its groups of a pool that were told; None: it has none."""
        told: Sample | None = self._told(asked)[1]
        return told

    def _told(self, asked: Asked) -> list[Any]:
        chain = asked.chain
        row = self._rows.get(chain)
        if row is None:
            return [None, None]
        if chain not in self._read or self._read[chain][0] is not row:
            self._read[chain] = (row, state.unpack(row))
        told = self._read[chain][1].get(_told_as(asked), [None, None])
        return [state.rebuilt(each) for each in told]


@dataclass(frozen=True, slots=True)
class Clocks:
    """How far sources reach, as told.

    Attributes
    ----------
    group
        The consumer group that tells it.
    version
        Number of the newest refit.
    at_ms
        Clock reading of the last refit, with or without news; of a shard's clocks: 0.
    shards
        The clocks by shard.
    """

    group: str
    version: int
    at_ms: int
    shards: Mapping[int, Sequence[SourceClock]]


def clocks_row(clocks: Clocks) -> bytes:
    """Write clocks.

    >>> told = Clocks("g", 7, 1_000, {3: (SourceClock(900, 0, 950),)})
    >>> read_clocks(clocks_row(told)) == told
    True
    """
    shards = {n: [one.plain for one in some] for n, some in clocks.shards.items()}
    return _written([clocks.group, clocks.version, clocks.at_ms, shards])


def read_clocks(value: bytes) -> Clocks:
    """Undo :func:`clocks_row`."""
    group, version, at_ms, shards = _read(value)
    known = {number: tuple(SourceClock(*c) for c in some) for number, some in shards.items()}
    return Clocks(group, version, at_ms, known)


def fit_row(fit: PoolFit) -> bytes:
    """Write a pool's fit."""
    return _written([fit.version, state.plain(fit)])


def read_fit(value: bytes) -> tuple[int, PoolFit | None]:
    """Return the version of a fit, and the fit; None: another release's, to be fitted anew."""
    version, fit = _read(value)
    try:
        return version, state.rebuilt(fit)
    except (SnapshotError, TypeError):
        return version, None


def pool_key(pool: Pool) -> bytes:
    """Return the key of a pool's fit.

    >>> read_pool_key(pool_key(("c", "conversion")))
    ('c', 'conversion')
    """
    return b"p" + state.pack(list(pool))


def read_pool_key(key: bytes) -> Pool:
    """Undo :func:`pool_key`."""
    chain, metric = state.unpack(key[1:])
    return chain, metric


def chunk_key(chain: str, number: int) -> bytes:
    """Return the key of a chunk of a chain's row.

    >>> read_chunk_key(chunk_key("c", 3))
    ('c', 3)
    """
    return b"s" + state.pack([chain, number])


def read_chunk_key(key: bytes) -> tuple[str, int]:
    """Undo :func:`chunk_key`."""
    chain, number = state.unpack(key[1:])
    return chain, number


CLOCKS_KEY = b"c"

SPLITS_KEY = b"x"
"""Key of the row that says where experiments' arms do not have the shares that they should."""


def splits_row(group: str, groups: Iterable[GroupKey]) -> bytes:
    """Write in which groups they do not; of a consumer group's.

    >>> read_splits(splits_row("g", {("c", "s1")}))
    ('g', frozenset({('c', 's1')}))
    """
    return _written([group, [list(key) for key in sorted(groups)]])


def read_splits(value: bytes) -> tuple[str, frozenset[GroupKey]]:
    """Undo :func:`splits_row`."""
    group, groups = _read(value)
    return group, frozenset((chain, store) for chain, store in groups)


def _written(body: list[Any]) -> bytes:
    return state.pack([VERSION, body])


def _read(value: bytes) -> list[Any]:
    version, body = state.unpack(value)
    if version > VERSION:
        raise SnapshotError(
            f"another worker tells of the pools in version {version}, this program reads up to "
            f"{VERSION}: is it an older release?"
        )
    return list(body)
