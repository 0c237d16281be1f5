"""Which row an event gets; the engine's tests hold what becomes of those without one."""

import numpy as np

from stream_hb.admission import REFUSED, Admission, RowsByCode
from stream_hb.events.batch import Visits
from stream_hb.events.decode import Decoder
from stream_hb.settings import EngineSettings
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.table import GroupTable, NewGroups, Spelling, TableChange
from tests.support.logs import batch, visit

SETTINGS = EngineSettings(default_chain="main", groups_max=10)


def visits(*keys: Spelling) -> Visits:
    payloads = [visit(store, chain=chain) for chain, store in keys]
    return Decoder().decode(batch(payloads)).visits


def admission_to(table: GroupTable, groups_left: int = 9) -> Admission:
    return Admission(table, RowsByCode(table), SETTINGS, 0, groups_left)


def table_with(key: tuple[str, str]) -> GroupTable:
    table = GroupTable({"conversion": Counts})
    none = Counts.zeros(1)
    new = NewGroups([key], {key: 0})
    times = np.zeros(1, np.int64)
    table.apply(TableChange(np.array([0]), {"conversion": none}, times, new))
    return table


def test_new_groups_follow_the_rows_of_the_table() -> None:
    admission = admission_to(table_with(("c", "s0")))
    events = visits(("c", "s1"), ("c", "s0"), ("c", "s2"), ("c", "s1"))
    rows, rejects = admission.rows(batch([b""] * 4), events)
    assert (rows.tolist(), rejects) == ([1, 0, 2, 1], [])
    assert admission.new.keys == [("c", "s1"), ("c", "s2")]


def test_a_store_is_new_once_over_all_sources() -> None:
    admission = admission_to(table_with(("c", "s0")))
    first, _ = admission.rows(batch([b""], "visits"), visits(("c", "s1")))
    second, _ = admission.rows(batch([b""], "purchases"), visits(("c", "s1")))
    assert first.tolist() == second.tolist() == [1]


def test_no_chain_means_the_default_chain() -> None:
    table = table_with(("main", "s0"))
    admission = admission_to(table)
    events = visits((None, "s0"), (None, "s1"), ("main", "s1"))
    rows, _ = admission.rows(batch([b""] * 3), events)
    assert rows.tolist() == [0, 1, 1]
    assert admission.new.spellings == {
        (None, "s0"): 0,
        ("main", "s0"): 0,
        (None, "s1"): 1,
        ("main", "s1"): 1,
    }


def test_nothing_of_the_table_changes() -> None:
    table = table_with(("c", "s0"))
    admission_to(table).rows(batch([b""]), visits(("c", "s1")))
    assert (len(table), list(table.index)) == (1, [("c", "s0")])


def test_a_refused_group_says_where_it_stood() -> None:
    admission = admission_to(table_with(("c", "s0")), groups_left=1)
    raw = batch([b"a", b"b", b"c"], "visits", 3, first_offset=70)
    rows, rejects = admission.rows(raw, visits(("c", "s1"), ("c", "s2"), ("c", "s0")))
    assert rows.tolist() == [1, REFUSED, 0]
    (reject,) = rejects
    assert (reject.topic, reject.partition, reject.offset) == ("visits", 3, 71)
    assert (reject.reason, reject.payload) == ("too_many_groups", b"b")
    assert "10" in reject.detail


def test_a_known_store_stays_welcome_when_no_group_is_left() -> None:
    admission = admission_to(table_with(("c", "s0")), groups_left=0)
    rows, rejects = admission.rows(batch([b"", b""]), visits(("c", "s0"), ("c", "s1")))
    assert rows.tolist() == [0, REFUSED]
    assert len(rejects) == 1


def test_rows_by_code_follow_a_table_that_grows() -> None:
    table = table_with(("c", "s0"))
    rows = RowsByCode(table)
    known: list[Spelling] = [("c", "s0")]
    assert rows.of(np.array([0, 0]), known).tolist() == [0, 0]
    known += [("c", "s1"), ("c", "s2")]
    assert rows.of(np.array([2, 1, 0]), known).tolist() == [REFUSED, REFUSED, 0]
    table.index["c", "s2"] = 1
    assert rows.of(np.array([2, 1, 0]), known).tolist() == [1, REFUSED, 0]


def test_rows_by_code_forget_another_list_of_stores() -> None:
    rows = RowsByCode(table_with(("c", "s0")))
    assert rows.of(np.array([0, 1]), [("c", "s0"), ("c", "x")]).tolist() == [0, REFUSED]
    assert rows.of(np.array([0, 1]), [("c", "x"), ("c", "s0")]).tolist() == [REFUSED, 0]
