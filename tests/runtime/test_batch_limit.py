"""A batch stays within its events, its bytes and its time."""

from hypothesis import given
from hypothesis import strategies as st

from stream_hb.runtime.batch_limit import BYTES_MAX, EVENTS_MIN, BatchLimit


def test_a_limit_begins_with_what_is_allowed_and_comes_back_to_it() -> None:
    limit = BatchLimit(40_000, 3.0)
    assert limit.events == 40_000
    limit.took(40_000, 1, 30.0)
    assert limit.events == 4_000
    for _ in range(10):
        limit.took(limit.events, 1, 0.1)
    assert limit.events == 40_000


def test_large_payloads_make_small_batches() -> None:
    limit = BatchLimit(40_000, 3.0)
    limit.took(1_000, 1_000 * 900_000, 0.1)
    assert limit.events == max(BYTES_MAX // 900_000, EVENTS_MIN)


def test_a_small_batch_that_is_slow_for_its_size_is_no_reason_to_read_less() -> None:
    limit = BatchLimit(40_000, 3.0)
    limit.took(3, 600, 1.4)
    assert limit.events == 40_000


@given(
    st.integers(1, 100_000),
    st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 1 << 40), st.floats(0, 1e4))),
)
def test_a_limit_is_never_nothing_nor_more_than_allowed(
    events_max: int, batches: list[tuple[int, int, float]]
) -> None:
    limit = BatchLimit(events_max, 3.0)
    for batch in batches:
        limit.took(*batch)
        assert min(EVENTS_MIN, events_max) <= limit.events <= events_max
