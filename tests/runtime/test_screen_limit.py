"""How many groups an emission looks at that nothing has come for."""

from stream_hb.runtime.screen_limit import ROWS_FIRST, ROWS_MAX, ROWS_MIN, SECONDS_MAX, ScreenLimit


def test_what_took_too_long_is_done_in_parts_that_do_not() -> None:
    limit = ScreenLimit()
    limit.took(30_000, 30_000, 10 * SECONDS_MAX)
    assert limit.rows == 3_000


def test_what_a_batch_touches_leaves_less_time_for_what_waits() -> None:
    limit = ScreenLimit()
    limit.took(3_000, 4_000, 2 * SECONDS_MAX)
    assert limit.rows == 1_000
    limit.took(1_000, 9_000, 2 * SECONDS_MAX)
    assert limit.rows == ROWS_MIN


def test_a_limit_grows_only_where_it_was_used_up() -> None:
    limit = ScreenLimit()
    limit.took(ROWS_FIRST - 1, ROWS_FIRST, 0.0)
    assert limit.rows == ROWS_FIRST
    limit.took(ROWS_FIRST, ROWS_FIRST, 0.0)
    assert limit.rows == 2 * ROWS_FIRST


def test_a_limit_stays_within_its_bounds() -> None:
    limit = ScreenLimit()
    limit.took(10, 10, 60.0)
    assert limit.rows == ROWS_MIN
    for _ in range(40):
        limit.took(limit.rows, limit.rows, 0.0)
    assert limit.rows == ROWS_MAX
