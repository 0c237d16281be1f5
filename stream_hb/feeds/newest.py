"""The newest record of every key of a compacted topic, whatever order its records come in."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from stream_hb.feeds.run import Run

T = TypeVar("T")

VersionPair = tuple[int, int]
"""(epoch, seq)."""

NOTHING: VersionPair = (-1, 0)


@dataclass(slots=True)
class _Place(Generic[T]):
    """What is known of a key.

    Attributes
    ----------
    version, offset
        Of its newest record; the offset is None where it was not told.
    item
        That record; None where it is deleted.
    run
        The seqs that came of the newest epoch; None before the first record.
    deleted_version, deleted_offset
        Up to which a tombstone deletes.
    """

    version: VersionPair = NOTHING
    offset: int | None = None
    item: T | None = None
    run: Run | None = None
    deleted_version: VersionPair = NOTHING
    deleted_offset: int = -1

    @property
    def is_deleted(self) -> bool:
        if self.version <= self.deleted_version:
            return True
        return self.offset is not None and self.offset < self.deleted_offset

    def note(self, epoch: int, seq: int) -> None:
        """Count a record; of older epochs nothing is missed any more."""
        if epoch > self.version[0] or self.run is None:
            self.run = Run(seq)
        elif epoch == self.version[0]:
            self.run.add(seq)

    def settle(self) -> None:
        """Forget a record that a tombstone deletes; its version is kept."""
        if self.is_deleted:
            self.item = None


class Newest(Generic[T]):
    """The newest record of every key.

    The record with the greatest (epoch, seq) is the newest: any order and any repetition of a log
    ends in the same. A **tombstone** has no version, only its place in the log:

    - fed with its offset, as all records of its key are, it deletes the records before it and none
      after it, in whatever order they come;
    - fed without, it is taken to stand where it was fed: it deletes every version up to the newest
      that came before it, and only a newer one brings the key back. A key's records must then come
      in the order of the log; a tombstone that is repeated after its store came back hides the key
      until its next record.

    Parameters
    ----------
    keys_max
        Keys that are kept, deleted ones too: records of further ones are left out.

    Attributes
    ----------
    left_out
        Records that were left out.

    Examples
    --------
    >>> newest = Newest[str](keys_max=10)
    >>> newest.put(b"k", (1, 2), "second", offset=5), newest.put(b"k", (1, 1), "first", offset=4)
    (True, False)
    >>> newest.delete(b"k", offset=6), newest.get(b"k")
    (True, None)
    """

    def __init__(self, keys_max: int) -> None:
        self.keys_max = keys_max
        self.left_out = 0
        self._places: dict[bytes, _Place[T]] = {}

    def put(self, key: bytes, version: VersionPair, item: T, offset: int | None = None) -> bool:
        """Take a record; return whether it is now the newest of its key."""
        place = self._place(key)
        if place is None:
            return False
        place.note(*version)
        if version < place.version:
            return False
        again = version == place.version and place.item is not None
        if version == place.version and place.offset is not None:
            offset = max(place.offset, offset or 0)
        place.version, place.offset, place.item = version, offset, item
        place.settle()
        return place.item is not None and not again

    def delete(self, key: bytes, offset: int | None = None) -> bool:
        """Take a tombstone; return whether it deleted something."""
        place = self._place(key)
        if place is None:
            return False
        there = place.item is not None
        if offset is not None:
            place.deleted_offset = max(place.deleted_offset, offset)
        if offset is None or place.offset is None:
            place.deleted_version = max(place.deleted_version, place.version)
        place.settle()
        return there and place.item is None

    def _place(self, key: bytes) -> _Place[T] | None:
        place = self._places.get(key)
        if place is None and len(self._places) < self.keys_max:
            place = self._places[key] = _Place()
        self.left_out += place is None
        return place

    def get(self, key: bytes) -> T | None:
        """Return the newest record of a key; None where there is none, or it is deleted."""
        place = self._places.get(key)
        return place.item if place else None

    def was_deleted(self, key: bytes) -> bool:
        """Tell whether a tombstone is the last that is known of a key."""
        place = self._places.get(key)
        return place is not None and place.is_deleted

    def missed(self, key: bytes) -> int:
        """Return how many records of a key's newest epoch lie between those that came."""
        place = self._places.get(key)
        return place.run.missed if place and place.run else 0

    @property
    def missed_total(self) -> int:
        """How many records of all keys are known to be missing."""
        return sum(place.run.missed for place in self._places.values() if place.run)

    def items(self) -> Iterator[tuple[bytes, T]]:
        """Yield every key that is not deleted, with its newest record."""
        for key, place in self._places.items():
            if place.item is not None:
                yield key, place.item
