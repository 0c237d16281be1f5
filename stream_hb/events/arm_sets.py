"""Sets of experiments' arms, by number: those that events name of a visit, an order or a unit."""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import groupby

import numpy as np

from stream_hb.events.batch import Arm, Hashes, Int64s
from stream_hb.events.id_table import Slots

ArmSet = tuple[Arm, ...]
"""Distinct arms in ascending order."""

NO_ARMS = -1
"""The number of the empty set."""

MOST_ARMS = 16
"""Arms of a set; of more, those that come first by name are kept, whatever the order of arrival."""

MOST_SETS = 1 << 16
"""Different sets that are kept; what would be another one is left out and counted."""


class ArmSets:
    """The sets that a shard has met.

    A candidate's new ones are appended at once: a number that nothing refers to does no harm.

    Parameters
    ----------
    known
        The sets by number.
    left_out
        How often an arm was left out because there are too many sets.

    Examples
    --------
    A visit that two events put into two arms:

    >>> sets = ArmSets()
    >>> named = sets.of(np.array([1, 0, -1]), [("e", "a"), ("e", "b")])
    >>> both = sets.union(np.array([-1]), np.array([0, 0, 0]), named)
    >>> sets.known[both[0]]
    (('e', 'a'), ('e', 'b'))
    """

    def __init__(self, known: Sequence[ArmSet] = (), left_out: int = 0) -> None:
        self.known: list[ArmSet] = list(known)
        self.left_out = left_out
        self._numbers = {arms: number for number, arms in enumerate(self.known)}

    def __len__(self) -> int:
        """Return the number of sets."""
        return len(self.known)

    def of(self, codes: Int64s, arms: Sequence[Arm]) -> Int64s:
        """Return the sets of one arm each for the decoder's codes; -1 stays."""
        if not len(codes) or int(codes.max()) < 0:
            return codes
        used = np.unique(codes[codes >= 0])
        numbers = np.full(int(used[-1]) + 2, NO_ARMS)  # the last place is that of code -1
        numbers[used] = [self._number((arms[code],), NO_ARMS) for code in used.tolist()]
        return numbers[codes]

    def _number(self, arms: ArmSet, instead: int) -> int:
        number = self._numbers.get(arms)
        if number is not None:
            return number
        if len(self.known) >= MOST_SETS:
            self.left_out += 1
            return instead
        self.known.append(arms)
        return self._numbers.setdefault(arms, len(self._numbers))

    def union(self, numbers: Int64s, at: Slots, more: Int64s) -> Int64s:
        """Return sets with those added that events name of them; ``at`` are these events' sets."""
        named = more != NO_ARMS
        if not named.any():
            return numbers
        at, more = at[named], more[named]
        together = numbers.copy()
        empty = together[at] == NO_ARMS
        together[at[empty]] = more[empty]
        others = together[at] != more
        if others.any():
            self._unite(together, at[others], more[others])
        return together

    def _unite(self, numbers: Int64s, at: Slots, more: Int64s) -> None:
        found: dict[int, set[Arm]] = {}
        for place, number in zip(at.tolist(), more.tolist(), strict=True):
            members = found.setdefault(place, set(self.known[numbers[place]]))
            members.update(self.known[number])
        for place, members in found.items():
            least = tuple(sorted(members)[:MOST_ARMS])
            numbers[place] = self._number(least, int(numbers[place]))

    def ranks(self, numbers: Int64s) -> Int64s:
        """Return where sets stand among each other by name; the empty one is the least, -1."""
        named = numbers != NO_ARMS
        if not named.any():
            return numbers
        used = np.unique(numbers[named]).tolist()
        ranks = np.full(max(used, default=0) + 2, NO_ARMS)  # the last place is the empty set's
        for rank, number in enumerate(sorted(used, key=self.known.__getitem__)):
            ranks[number] = rank
        return ranks[numbers]

    def hashes(self, numbers: Int64s) -> Hashes:
        """Return a hash of every set's names, 0 of the empty one; it is the same everywhere."""
        used, places = np.unique(numbers, return_inverse=True)
        each = [self._hash(number) if number != NO_ARMS else 0 for number in used.tolist()]
        return np.array(each, np.uint64)[places]

    def _hash(self, number: int) -> int:
        return _digest("\0".join(name for arm in self.known[number] for name in arm))

    def by_experiment(self, numbers: Int64s) -> tuple[Slots, Hashes, Int64s]:
        """Take sets apart: the place of each part's set, its experiment's hash, its number.

        The parts of a set stand one after the other, by their experiment's name.
        """
        places = np.flatnonzero(numbers != NO_ARMS)
        used, which = np.unique(numbers[places], return_inverse=True)
        apart = [self._apart(number) for number in used.tolist()]
        sizes = np.array([len(parts) for parts in apart], np.int64)
        flat = [part for parts in apart for part in parts]
        start = (np.cumsum(sizes) - sizes)[which]
        times = sizes[which]
        ends = np.cumsum(times)
        taken = np.repeat(start - (ends - times), times) + np.arange(int(times.sum()))
        hashes = np.array([part[0] for part in flat], np.uint64)
        subsets = np.array([part[1] for part in flat], np.int64)
        return np.repeat(places, times), hashes[taken], subsets[taken]

    def _apart(self, number: int) -> list[tuple[int, int]]:
        apart = groupby(self.known[number], key=lambda arm: arm[0])
        return [(_digest(name), self._number(tuple(arms), number)) for name, arms in apart]


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
