"""Ids that are remembered, with what is remembered of each, in packed columns.

The columns are dense; an open-addressing index of 32-bit slot numbers finds a key's place in them.
Only the columns are the state: the index and the list of free slots are made from them, so a table
that is restored page by page is to the bit the one that was written. Everything is done for many
ids at once; a key's place depends on its keyed hash, which nobody outside can choose.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_hb.events.id_hash import Hashes

Slots = NDArray[np.int64]

PAGE_SLOTS = 4096
"""Slots of a page: what is written when one of them has changed."""

_LOAD = 0.6
_EMPTY = np.uint32(0xFFFFFFFF)
_GONE = np.uint32(0xFFFFFFFE)
_INITIAL = 1024
_FIRST = 256
"""Slots that there is room for at first; it doubles up to a page."""
_ROUNDS = 4096
"""Bound of the rounds of a probe; at this load a chain of 64 has a chance below 1e-14."""
_WINDOW = 16
"""Most places of a chain that an insertion looks at in one round: a line of the cache."""


@dataclass(frozen=True, slots=True)
class TableWrite:
    """What becomes of some ids.

    Attributes
    ----------
    slots
        Their distinct places, known ones or those that :meth:`IdTable.plan` gave.
    keys
        Their keys.
    values
        Their columns; those left out stay, 0 for new ids.
    """

    slots: Slots
    keys: Hashes
    values: Mapping[str, NDArray[Any]]


class IdTable:
    """A table of ids; changed only by :meth:`apply`, :meth:`forget` and :meth:`restore_page`.

    Parameters
    ----------
    columns
        Type of every column beside the key's.
    optional
        Columns that take room from the first write on that has something else than 0 in them.

    Examples
    --------
    >>> table = IdTable({"visits": np.uint16})
    >>> keys = np.array([7, 9], np.uint64)
    >>> slots = table.plan(keys)
    >>> table.apply(TableWrite(slots, keys, {"visits": np.array([1, 2])}))
    >>> table.find(np.array([9, 8], np.uint64)), table.read(table.find(keys), "visits")
    (array([ 1, -1]), array([1, 2], dtype=uint16))
    """

    def __init__(
        self, columns: Mapping[str, Any], optional: Mapping[str, Any] | None = None
    ) -> None:
        always = {"key": np.uint64, **columns}
        self._optional = dict(optional or {})
        self._kinds = {name: np.dtype(k) for name, k in {**always, **self._optional}.items()}
        self._columns = {name: np.zeros(0, kind) for name, kind in always.items()}
        self._end = 0  # slots ever used
        self._free: Slots = np.empty(0, np.int64)  # below the end, ascending
        self._index = np.full(_INITIAL, _EMPTY)
        self._used = 0  # places of the index that are not empty
        self._touched: dict[int, int] = {}
        self._mark = 0

    def __len__(self) -> int:
        """Return the number of ids."""
        return self._end - len(self._free)

    @property
    def nbytes(self) -> int:
        """Bytes of everything."""
        columns = sum(column.nbytes for column in self._columns.values())
        return columns + self._index.nbytes + self._free.nbytes

    def has(self, name: str) -> bool:
        """Tell whether an optional column has room yet."""
        return name in self._columns

    def _make_room(self, values: Mapping[str, NDArray[Any]]) -> None:
        for name, kind in self._optional.items():
            if name in values and name not in self._columns and values[name].any():
                self._columns[name] = np.zeros(len(self._columns["key"]), kind)

    def column(self, name: str) -> NDArray[Any]:
        """Return a whole column, free slots included (their key is 0); not to be written to."""
        return self._columns[name][: self._end]

    def read(self, slots: Slots, name: str) -> NDArray[Any]:
        """Return a column at some slots, 0 where the slot is -1."""
        return self.reader(slots)(name)

    def reader(self, slots: Slots) -> Callable[[str], NDArray[Any]]:
        """Return what reads columns at some slots, 0 where the slot is -1."""
        unknown = slots < 0
        unknown_count = np.count_nonzero(unknown)
        if unknown_count == len(slots):
            return lambda name: np.zeros(len(slots), self._kinds[name])

        def read(name: str) -> NDArray[Any]:
            column = self._columns.get(name)
            if column is None:
                return np.zeros(len(slots), self._kinds[name])
            values = column[slots]
            if unknown_count:
                values[unknown] = 0
            return values

        return read

    def typed(self, values: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return columns in the types in which they are kept."""
        kinds = self._kinds
        return {name: each.astype(kinds[name], copy=False) for name, each in values.items()}

    def find(self, keys: Hashes) -> Slots:
        """Return the slot of every key, -1 where it is unknown."""
        found = np.full(len(keys), -1, np.int64)
        if not self._end:
            return found
        # Most keys are found, or not, at their first place.
        known, places = self._columns["key"], self._places(keys)
        slots = self._index[places]
        held = (slots < _GONE).nonzero()[0]
        filled = slots[held]
        hit = known[filled] == keys[held]
        found[held[hit]] = filled[hit]
        further = ((slots != _EMPTY) & (found < 0)).nonzero()[0]
        self._find_further(keys, places, further, found)
        return found

    def _find_further(
        self, keys: Hashes, places: NDArray[np.int64], asked: Slots, found: Slots
    ) -> None:
        """Look behind their first place for those keys that are asked."""
        # The rounds grow, or the longest chain of a batch would make one for each of its places.
        known, places, width = self._columns["key"], places[asked] + 1, 4
        while len(asked) and width <= 2 * len(self._index):
            slots = self._index[self._windows(places, width)]
            which, there = np.nonzero(slots < _GONE)
            filled = slots[which, there]
            hit = known[filled] == keys[asked[which]]
            found[asked[which[hit]]] = filled[hit]
            on = (slots != _EMPTY).all(axis=1)
            on[which[hit]] = False
            asked, places, width = asked[on], places[on] + width, 2 * width

    def _windows(self, places: NDArray[np.int64], width: int) -> NDArray[np.int64]:
        """Return so many places of the index from each of some places on."""
        return (places[:, None] + np.arange(width)) & (len(self._index) - 1)

    def _places(self, keys: Hashes) -> NDArray[np.int64]:
        return (keys >> np.uint64(64 - (len(self._index).bit_length() - 1))).astype(np.int64)

    def _next(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return (places + 1) & (len(self._index) - 1)

    def plan(self, keys: Hashes) -> Slots:
        """Return the slots that unknown, distinct keys would get: the lowest free ones first."""
        reused = self._free[: len(keys)]
        appended = np.arange(self._end, self._end + len(keys) - len(reused))
        return np.concatenate([reused, appended])

    def apply(self, write: TableWrite) -> None:
        """Write values; slots that hold no key yet become those of the keys."""
        if not len(write.slots):
            return
        self._make_room(write.values)
        end = self._end
        self._grow(int(write.slots.max()) + 1)
        fresh = self._columns["key"][write.slots] == 0
        new = write.slots[fresh]
        for name, values in write.values.items():
            if name in self._columns:  # an optional one of which all is 0 has no room
                self._columns[name][write.slots] = values
        self._columns["key"][new] = write.keys[fresh]
        if len(self._free):
            self._use(np.sort(new[new < end]))
        self._index_keys(write.keys[fresh], new)
        self._touch(write.slots)

    def _use(self, slots: Slots) -> None:
        """Take slots from the free ones: the lowest of them, as :meth:`plan` gives them."""
        if np.array_equal(self._free[: len(slots)], slots):
            self._free = self._free[len(slots) :]
        else:
            self._free = self._free[~np.isin(self._free, slots)]

    def forget(self, slots: Slots) -> None:
        """Free slots that hold ids."""
        if not len(slots):
            return
        self._unindex(slots)
        for column in self._columns.values():
            column[slots] = 0
        self._free = np.union1d(self._free, slots)
        self._touch(slots)
        self._trim()

    def _trim(self) -> None:
        """Let the table end with its last id: so it does where it is restored."""
        used = np.flatnonzero(self.column("key"))
        self._end = int(used[-1]) + 1 if len(used) else 0
        self._free = self._free[self._free < self._end]

    def _grow(self, end: int) -> None:
        room = len(self._columns["key"])
        if end > room:
            more = max(end - room, room // 16, min(max(room, _FIRST), PAGE_SLOTS))
            for name, column in self._columns.items():
                self._columns[name] = np.concatenate([column, np.zeros(more, column.dtype)])
        self._end = max(self._end, end)

    def _index_keys(self, keys: Hashes, slots: Slots) -> None:
        if self._used + len(keys) > _LOAD * len(self._index):
            self._reindex()  # has the new ones in it: they are in the columns
            return
        self._insert(keys, slots)

    def _reindex(self) -> None:
        slots = np.flatnonzero(self.column("key"))
        size = len(self._index)
        while len(slots) > 0.5 * _LOAD * size * 1.7:
            size *= 2
        self._index = np.full(size, _EMPTY)
        self._used = 0
        for start in range(0, len(slots), 1 << 20):
            some = slots[start : start + (1 << 20)]
            self._insert(self._columns["key"][some], some)

    def _insert(self, keys: Hashes, slots: Slots) -> None:
        """Give every key the first empty place of its chain; of two that want one, one goes on."""
        self._used += len(keys)
        places, numbers = self._places(keys), slots.astype(np.uint32)
        empty = self._index[places] == _EMPTY
        self._index[places[empty]] = numbers[empty]
        on = self._index[places] != numbers
        places, numbers, width = self._next(places[on]), numbers[on], 4
        for _ in range(_ROUNDS):
            if not len(numbers):
                return
            empty = self._index[self._windows(places, width)] == _EMPTY
            some = empty.any(axis=1)
            places = (places + np.where(some, empty.argmax(axis=1), width)) & (len(self._index) - 1)
            self._index[places[some]] = numbers[some]
            on = self._index[places] != numbers
            places, numbers, width = places[on], numbers[on], min(2 * width, _WINDOW)
        raise AssertionError("the index has no empty place")

    def _unindex(self, slots: Slots) -> None:
        places, numbers = self._places(self._columns["key"][slots]), slots.astype(np.uint32)
        for _ in range(_ROUNDS):
            hit = self._index[places] == numbers
            self._index[places[hit]] = _GONE
            if hit.all():
                return
            places, numbers = self._next(places[~hit]), numbers[~hit]
        raise AssertionError("a key is not in the index")

    def _touch(self, slots: Slots) -> None:
        for page in np.bincount(slots // PAGE_SLOTS).nonzero()[0].tolist():
            self._touched[page] = self._mark

    def mark(self) -> int:
        """Begin a new era of changes; return its number."""
        self._mark += 1
        return self._mark

    def dirty(self, since: int) -> list[int]:
        """Return the pages touched in an era or later."""
        return sorted(page for page, mark in self._touched.items() if mark >= since)

    def page(self, number: int) -> dict[str, NDArray[Any]]:
        """Return a page's columns, copied; without rows where the table ends before it."""
        part = slice(number * PAGE_SLOTS, min((number + 1) * PAGE_SLOTS, self._end))
        columns = {name: column[part].copy() for name, column in self._columns.items()}
        # Which optional columns have room, and since when, depends on the past; what is in them
        # does not.
        optional = [name for name in self._optional if name in columns and columns[name].any()]
        always = [name for name in columns if name not in self._optional]
        return {name: columns[name] for name in [*always, *optional]}

    def whole(self) -> dict[str, NDArray[Any]]:
        """Return all columns as one page: :meth:`restore_whole` puts it back."""
        columns = {name: column[: self._end] for name, column in self._columns.items()}
        return {n: c for n, c in columns.items() if n not in self._optional or c.any()}

    def restore_whole(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Put all columns in their place; call :meth:`restored` at last."""
        self._make_room(columns)
        self._grow(len(columns["key"]))
        for name, column in columns.items():
            if name in self._columns:  # an optional one of which all is 0 has no room
                self._columns[name][: len(column)] = column
        self._touch(np.arange(0, self._end, PAGE_SLOTS))

    def restore_page(self, number: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """Put a page in its place; call :meth:`restored` after the last one."""
        start = number * PAGE_SLOTS
        self._make_room(columns)
        self._grow(start + len(columns["key"]))
        for name, column in self._columns.items():
            end = start + len(columns["key"])
            column[start:end] = columns.get(name, 0)
            column[end : start + PAGE_SLOTS] = 0  # what stood there when the page was longer
        self._touched[number] = self._mark

    def put(self, write: TableWrite) -> None:
        """Write values of a log in its order; call :meth:`restored` after the last one."""
        if not len(write.slots):
            return
        self._make_room(write.values)
        self._grow(int(write.slots.max()) + 1)
        for name, values in write.values.items():
            if name in self._columns:
                self._columns[name][write.slots] = values
        self._columns["key"][write.slots] = write.keys
        self._touch(write.slots)

    def clear(self, slots: Slots) -> None:
        """Empty slots as a log says; call :meth:`restored` after the last one."""
        nothing: dict[str, NDArray[Any]] = {
            name: np.zeros(len(slots), column.dtype) for name, column in self._columns.items()
        }
        self.put(TableWrite(slots, nothing.pop("key"), nothing))

    def restored(self) -> None:
        """Make the index and the list of free slots from what was restored."""
        self._free = np.flatnonzero(self.column("key") == 0)
        self._trim()
        self._reindex()
