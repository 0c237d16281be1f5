"""The groups of a shard as columns: one statistic per metric, one row per group."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_hb.errors import SnapshotError
from stream_hb.statistics.columns import Rows, Statistic
from stream_hb.statistics.forgetting import Forgetting, Kept, Never

GroupKey = tuple[str, str]
"""(chain id, store id)."""

Spelling = tuple[str | None, str]
"""A group key as an event spells it: None stands for the default chain."""

INITIAL_CAPACITY = 64


@dataclass(frozen=True, slots=True)
class NewGroups:
    """Groups that a batch met first; their rows follow the table's, and are not its own yet.

    Attributes
    ----------
    keys
        The groups in the order of their rows.
    spellings
        Every way in which the batch spelt a group that the index does not know.
    """

    keys: list[GroupKey] = field(default_factory=list)
    spellings: dict[Spelling, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableChange:
    """What a batch makes of the rows that it touches: absolute values, so it is idempotent.

    Attributes
    ----------
    rows
        The touched rows, ascending, without repetition.
    statistics
        Their new values by metric.
    event_time_ms
        Time of the last event of each touched row.
    new_groups
        Groups to append.
    marks
        How far each metric has then got in forgetting, for all rows; those that are missing stay.
    """

    rows: Rows
    statistics: dict[str, Statistic]
    event_time_ms: NDArray[np.int64]
    new_groups: NewGroups
    marks: Mapping[str, int] = field(default_factory=dict)


class GroupTable:
    """Groups as columns; changed only by :meth:`apply`.

    Parameters
    ----------
    kinds
        The plain statistic of each metric.
    rules
        How metrics forget; the others never do.

    Attributes
    ----------
    marks
        How far each metric has got in forgetting.
    """

    def __init__(
        self, kinds: Mapping[str, type[Statistic]], rules: Mapping[str, Forgetting] | None = None
    ) -> None:
        self.keys: list[GroupKey] = []
        self.index: dict[Spelling, int] = {}
        self.chains: list[str] = []
        self.rules = {name: (rules or {}).get(name, Never()) for name in kinds}
        self.marks = dict.fromkeys(kinds, 0)
        self._forgets = {name: str(rule) for name, rule in self.rules.items()}
        self._kinds = dict(kinds)
        self._statistics = {name: self._zeros(name, INITIAL_CAPACITY) for name in kinds}
        self._event_time_ms = np.zeros(INITIAL_CAPACITY, dtype=np.int64)
        self._chain_codes = np.zeros(INITIAL_CAPACITY, dtype=np.int32)

    def __len__(self) -> int:
        return len(self.keys)

    def _zeros(self, metric: str, size: int) -> Statistic:
        return self.rules[metric].zeros(self._kinds[metric], size)

    def kind(self, metric: str) -> type[Statistic]:
        """Return the statistic that is kept of a metric."""
        return self.rules[metric].kind(self._kinds[metric])

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that are kept."""
        return tuple(self._kinds)

    @property
    def event_time_ms(self) -> NDArray[np.int64]:
        """Time of each group's last event."""
        return self._event_time_ms[: len(self)]

    def statistic(self, metric: str) -> Statistic:
        """Return the metric's columns, all groups; a view, not to be written to."""
        return self._statistics[metric].take(slice(len(self)))

    def read(self, metric: str, rows: Rows) -> Statistic:
        """Return copies of the given rows; rows that the table does not have yet are empty."""
        known = rows < len(self)
        if known.all():
            return self._statistics[metric].take(rows)
        here = self._statistics[metric].take(rows[known])
        empty = self._zeros(metric, int((~known).sum()))
        order = np.concatenate([np.flatnonzero(known), np.flatnonzero(~known)])
        return here.concatenate(empty).take(np.argsort(order))

    def forgets(self) -> dict[str, str]:
        """Return how metrics forget, in words: what was kept under one rule says nothing under
        another.
        """
        return dict(self._forgets)

    def check_forgets(self, kept: Mapping[str, str] | None) -> None:
        """Refuse what was kept under other rules; None: it was written before they were told.

        Raises
        ------
        SnapshotError
            Weighted sums of one half-life would be taken for those of another.
        """
        own = self.forgets()
        for name, rule in (kept or {}).items():
            if own.get(name, rule) != rule:
                raise SnapshotError(
                    f"the state keeps {name} under {rule}, the configuration says {own[name]}: set "
                    "it back, or rebuild the state from the input under another kafka.group_id"
                )

    def under(self, metric: str, kept: Statistic, mark: int, half_life_ms: int | None) -> Kept:
        """Return what is kept under one of the half-lives that are kept side by side."""
        return self.rules[metric].under(kept, mark, half_life_ms)

    def at_mark(self, metric: str, rows: Rows, mark: int) -> Statistic:
        """Return copies of the given rows as they will be at a later mark."""
        return self.rules[metric].advanced(self.read(metric, rows), self.marks[metric], mark)

    def later_marks(self, newest_ms: int) -> dict[str, int]:
        """Return each metric's mark when events up to a time are known."""
        return {name: rule.mark(self.marks[name], newest_ms) for name, rule in self.rules.items()}

    def lapsing(self, marks: Mapping[str, int]) -> list[Rows]:
        """Return the rows of which the models see something else at later marks."""
        return [
            self.rules[name].lapsing(self.statistic(name), self.marks[name], mark)
            for name, mark in marks.items()
            if mark > self.marks[name]
        ]

    def read_event_time_ms(self, rows: Rows) -> NDArray[np.int64]:
        """Return the last event times of the given rows, 0 for rows not in the table yet."""
        known = rows < len(self)
        if known.all():
            return self._event_time_ms[rows]
        return np.where(known, self._event_time_ms[np.where(known, rows, 0)], 0)

    def rows_of_chain(self, chain: str) -> Rows:
        """Return the rows of a chain's groups, ascending."""
        if chain not in self.chains:
            return np.empty(0, dtype=np.intp)
        return np.flatnonzero(self._chain_codes[: len(self)] == self.chains.index(chain))

    def rows_of_chains(self, chains: Collection[str]) -> Rows:
        """Return the rows of the groups of some chains, ascending."""
        codes = [code for code, chain in enumerate(self.chains) if chain in chains]
        return np.flatnonzero(np.isin(self._chain_codes[: len(self)], codes))

    def chains_of(self, rows: Rows) -> list[str]:
        """Return the chains that some groups are of, each once."""
        codes = np.flatnonzero(np.bincount(self._chain_codes[rows], minlength=1))
        return [self.chains[code] for code in codes.tolist()]

    def chain_codes_with(self, new: Sequence[GroupKey]) -> tuple[list[str], NDArray[np.int32]]:
        """Return the chains, and each group's position among them, as if ``new`` were appended."""
        codes = {chain: code for code, chain in enumerate(self.chains)}
        for chain in dict.fromkeys([chain for chain, _ in new]):  # a chain has many stores
            codes.setdefault(chain, len(codes))
        more = np.array([codes[chain] for chain, _ in new], dtype=np.int32)
        return list(codes), np.concatenate([self._chain_codes[: len(self)], more])

    def apply(self, change: TableChange) -> None:
        """Make a change the state."""
        self._append(change.new_groups)
        self._advance(change.marks)
        for name, values in change.statistics.items():
            columns = self._statistics[name].columns()
            for column, new in values.columns().items():
                columns[column][change.rows] = new
        self._event_time_ms[change.rows] = change.event_time_ms

    def _advance(self, marks: Mapping[str, int]) -> None:
        for name, mark in marks.items():
            if mark != self.marks[name]:
                kept = self._statistics[name]
                self._statistics[name] = self.rules[name].advanced(kept, self.marks[name], mark)
                self.marks[name] = mark

    def _append(self, new: NewGroups) -> None:
        self.index.update(new.spellings)
        if not new.keys:
            return
        start = len(self)
        self.chains, codes = self.chain_codes_with(new.keys)
        self.keys.extend(new.keys)
        self._grow(len(self))
        self._chain_codes[start : len(self)] = codes[start:]

    def _grow(self, size: int) -> None:
        capacity = len(self._event_time_ms)
        if size <= capacity:
            return
        more = max(size, 2 * capacity) - capacity
        for name in self._kinds:
            self._statistics[name] = self._statistics[name].concatenate(self._zeros(name, more))
        self._event_time_ms = np.concatenate([self._event_time_ms, np.zeros(more, dtype=np.int64)])
        self._chain_codes = np.concatenate([self._chain_codes, np.zeros(more, dtype=np.int32)])

    def snapshot(self) -> dict[str, Any]:
        """Return everything as plain lists and arrays."""
        return {
            "keys": list(self.keys),
            "event_time_ms": self.event_time_ms.copy(),
            "statistics": {
                name: {k: v.copy() for k, v in self.statistic(name).columns().items()}
                for name in self._kinds
            },
            "marks": dict(self.marks),
            "forgets": self.forgets(),
        }

    def restore(self, state: Mapping[str, Any], default_chain: str) -> None:
        """Become the table of a :meth:`snapshot`; this one must be empty."""
        self.check_forgets(state.get("forgets"))
        keys: Sequence[GroupKey] = [(chain, store) for chain, store in state["keys"]]
        spellings = spelt_out(keys, 0, default_chain)
        statistics = {name: self.kind(name)(**state["statistics"][name]) for name in self._kinds}
        rows = np.arange(len(keys))
        new = NewGroups(list(keys), spellings)
        self.apply(TableChange(rows, statistics, state["event_time_ms"], new, state["marks"]))


def spelt_out(keys: Sequence[GroupKey], first: int, default_chain: str) -> dict[Spelling, int]:
    """Return the row of every way to spell some groups whose rows begin at ``first``.

    >>> spelt_out([("a", "s"), ("main", "s")], 7, "main")
    {('a', 's'): 7, ('main', 's'): 8, (None, 's'): 8}
    """
    spellings: dict[Spelling, int] = {}
    for row, (chain, store) in enumerate(keys, first):
        spellings[chain, store] = row
        if chain == default_chain:
            spellings[None, store] = row
    return spellings
