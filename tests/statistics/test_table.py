import numpy as np

from stream_hb.statistics.counts import Counts
from stream_hb.statistics.table import GroupTable, NewGroups, TableChange


def change(rows: list[int], trials: list[float], new: NewGroups | None = None) -> TableChange:
    counts = Counts(np.zeros(len(rows)), np.array(trials))
    times = np.full(len(rows), 7, dtype=np.int64)
    return TableChange(np.array(rows, dtype=np.intp), {"c": counts}, times, new or NewGroups())


def table_of(count: int) -> GroupTable:
    table = GroupTable({"c": Counts})
    keys = [("a" if row % 2 else "b", f"s{row}") for row in range(count)]
    new = NewGroups(list(keys), {key: row for row, key in enumerate(keys)})
    table.apply(change(list(range(count)), [float(row) for row in range(count)], new))
    return table


def trials(table: GroupTable, rows: list[int]) -> list[float]:
    counts = table.read("c", np.array(rows, dtype=np.intp))
    assert isinstance(counts, Counts)
    return list(map(float, counts.trials))


def test_a_change_replaces_only_its_rows() -> None:
    table = table_of(5)
    table.apply(change([1, 3], [10.0, 30.0]))
    assert trials(table, [0, 1, 2, 3, 4]) == [0, 10, 2, 30, 4]


def test_rows_that_are_not_there_yet_read_as_empty() -> None:
    assert trials(table_of(3), [4, 1, 3, 2]) == [0, 1, 0, 2]


def test_the_table_grows_without_losing_rows() -> None:
    table = table_of(1000)
    assert trials(table, [0, 63, 64, 65, 999]) == [0, 63, 64, 65, 999]
    assert table.rows_of_chain("a").tolist() == list(range(1, 1000, 2))


def test_reading_gives_copies() -> None:
    table = table_of(3)
    table.read("c", np.array([1])).columns()["trials"][0] = 99
    assert trials(table, [1]) == [1]


def test_chains_are_known_as_if_the_new_groups_were_there() -> None:
    table = table_of(2)
    chains, codes = table.chain_codes_with([("z", "s"), ("a", "s")])
    assert (chains, codes.tolist()) == (["b", "a", "z"], [0, 1, 2, 1])
    assert table.chains == ["b", "a"]


def test_a_snapshot_restores_the_table() -> None:
    table = table_of(70)
    other = GroupTable({"c": Counts})
    other.restore(table.snapshot(), default_chain="a")
    assert other.keys == table.keys
    assert other.index[None, "s1"] == other.index["a", "s1"] == 1
    assert trials(other, list(range(70))) == trials(table, list(range(70)))
