"""What a pricing service gets from the table that it embeds."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_hb.errors import RecordError, UsageError
from stream_hb.feeds.advice import DATA_AGE_MS_MAX, REFUSED
from stream_hb.feeds.estimate_table import EstimateTable
from tests.support.estimates import KEY, NOW_MS, message

MINUTE_MS = 60_000


def table_of(*messages: tuple[bytes, bytes | None]) -> EstimateTable:
    table = EstimateTable()
    for offset, (key, value) in enumerate(messages):
        table.feed(key, value, offset)
    return table


def advised(table: EstimateTable, now_ms: int = NOW_MS, bound: str = "lower") -> float | str:
    """Return the value or the reasons."""
    advice = table.advise("c", "s", "conversion", bound=bound, now_ms=now_ms)  # type: ignore[arg-type]
    assert (advice.value is None) == bool(advice.reasons)
    return advice.reason if advice.value is None else advice.value


def test_the_newest_estimate_of_a_key_comes_with_its_age() -> None:
    table = table_of(message(seq=2, estimate=0.2), message(seq=1, estimate=0.1))
    found = table.get("c", "s", "conversion", now_ms=NOW_MS + 1_500)
    assert found is not None
    assert (found.estimate.estimate, found.age_ms, found.missed) == (0.2, 1_500, 0)
    assert found.data_age_ms == 601_500


def test_a_clock_behind_that_of_the_worker_makes_no_negative_age() -> None:
    found = table_of(message()).get("c", "s", "conversion", now_ms=NOW_MS - 9)
    assert found is not None
    assert found.age_ms == 0


def test_keys_are_told_apart_by_every_part() -> None:
    table = table_of(message("s"), message("t"), message("s", metric="order_rate"))
    assert len(table) == len(list(table)) == 3
    keys = product("cd", "st", ("conversion", "order_rate"), (None, "B"))
    found = [k for k in keys if table.get(*k[:3], arm=k[3], now_ms=NOW_MS)]
    assert found == [
        ("c", "s", "conversion", None),
        ("c", "s", "order_rate", None),
        ("c", "t", "conversion", None),
    ]


@given(st.permutations([(1, 1), (1, 2), (2, 1), (1, 3), None]), st.lists(st.integers(0, 4)))
def test_records_in_any_order_and_repeated_end_in_the_same_advice(
    order: list[tuple[int, int] | None], again: list[int]
) -> None:
    """In the log the tombstone stands before the last record only: the store came back."""
    log = [(1, 1), (1, 2), (1, 3), None, (2, 1)]
    table = EstimateTable()
    for version in [*order, *(log[place] for place in again)]:
        offset = log.index(version)
        if version is None:
            table.feed(KEY, None, offset)
        else:
            table.feed(*message(epoch=version[0], seq=version[1], sd=float(offset)), offset)
    found = table.get("c", "s", "conversion", now_ms=NOW_MS)
    assert found is not None
    assert (found.estimate.sd, table.missed) == (4.0, 0)


def test_what_no_reader_can_take_leaves_the_table_as_it_was() -> None:
    table = table_of(message())
    for key, value in ((KEY, b"{"), (b"c|s", None), (KEY, b'{"schema_version": 9}')):
        with pytest.raises(RecordError):
            table.feed(key, value)
    assert advised(table) == 0.25
    assert table.feed(*message(seq=2))


def test_a_missing_record_is_counted_and_the_newest_still_advises() -> None:
    table = table_of(message(seq=1), message(seq=5))
    found = table.get("c", "s", "conversion", now_ms=NOW_MS)
    assert found is not None
    assert (found.missed, table.missed, found.estimate.version.seq) == (3, 3, 5)
    assert advised(table) == 0.25


@pytest.mark.parametrize(("bound", "value"), [("lower", 0.25), ("upper", 0.45)])
def test_the_number_to_act_on_is_the_bound_that_the_caller_asks_for(
    bound: str, value: float
) -> None:
    assert advised(table_of(message()), bound=bound) == value


def test_another_bound_is_an_error() -> None:
    with pytest.raises(UsageError, match="expected bound 'lower' or 'upper', got 'mean'"):
        advised(table_of(message()), bound="mean")


@pytest.mark.parametrize("flag", ["cold_start", "srm", "not_converged"])
def test_nobody_acts_on_these_flags_and_the_reason_names_them(flag: str) -> None:
    reason = advised(table_of(message(flags=["plug_in", flag])))
    assert reason == f"{REFUSED[flag]} ({flag})"


def test_other_flags_refuse_nothing() -> None:
    others = ["low_n", "stale_hyper", "boundary_tau0", "overdispersed", "tombstone_pending"]
    assert advised(table_of(message(flags=others))) == 0.25


def test_every_reason_is_told() -> None:
    reason = str(advised(table_of(message(flags=["srm", "cold_start"])), NOW_MS + 60 * MINUTE_MS))
    assert [word in reason for word in ("(cold_start)", "(srm)", "70 min old")] == [True] * 3


def test_data_older_than_the_limit_are_refused_the_staleness_of_the_record_counted_in() -> None:
    table = table_of(message())  # its watermark is ten minutes behind
    limit_ms = NOW_MS + DATA_AGE_MS_MAX - 10 * MINUTE_MS
    assert advised(table, limit_ms) == 0.25
    assert advised(table, limit_ms + 1) == "its data are 20 min old, more than 20 min"


def test_the_limit_of_age_is_the_callers() -> None:
    table = table_of(message())
    for limit_ms, acts in ((600_000, True), (599_999, False)):
        advice = table.advise(
            "c", "s", "conversion", bound="upper", now_ms=NOW_MS, data_age_ms_max=limit_ms
        )
        assert (advice.value is not None) == acts


def test_why_there_is_no_estimate_is_said() -> None:
    table = EstimateTable(keys_max=1)
    assert advised(table) == "no estimate of c|s||conversion has come"
    table.feed(*message())
    table.feed(KEY, None)
    assert advised(table) == "c|s||conversion was deleted: its store has retired"
    table.feed(*message("other"))
    advice = table.advise("c", "other", "conversion", bound="lower", now_ms=NOW_MS)
    assert advice.reason == (
        "no estimate of c|other||conversion is kept; 1 records beyond 1 keys were left out"
    )


def test_feeding_tells_whether_there_is_something_new_to_act_on() -> None:
    table = EstimateTable()
    news = [table.feed(*message(seq=seq), offset) for offset, seq in ((1, 2), (0, 1), (1, 2))]
    assert news == [True, False, False]
    assert table.feed(KEY, None, 7)
    assert not table.feed(KEY, None, 7)
    assert len(table) == 0
