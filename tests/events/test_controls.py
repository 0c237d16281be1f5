"""What operators said: a set that waits for its ticks."""

from hypothesis import given
from hypothesis import strategies as st

from stream_hb.events.controls import CONTROLS_MAX, Collected, Control, Controls, Waiting
from stream_hb.events.schema import REASON_CHARACTERS, Accept
from stream_hb.state import pack
from stream_hb.statelog.records import RECORD_BYTES

NAMES = st.sampled_from(["a", "b"])
WORDS = st.builds(
    Control, st.integers(0, 3), NAMES, NAMES, NAMES, st.integers(0, 9), st.just(""), NAMES
)


def waiting(known: Controls = (), closed: int = 0) -> Waiting:
    return Waiting(known, closed, lambda _chain, _store, time_ms: time_ms // 100)


def after(words: list[Control], known: Controls = (), closed: int = 0) -> Controls:
    collected = Collected(waiting(known, closed))
    for word in words:
        collected.refusal(word)
    return collected.controls


@given(st.lists(WORDS), st.randoms(use_true_random=False), st.integers(0, 20))
def test_any_order_repetition_and_batches_leave_the_same_words(
    words: list[Control], random: object, cut: int
) -> None:
    shuffled = words + words[:3]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert after(shuffled[cut:], known=after(shuffled[:cut])) == after(words)


def test_of_one_name_there_is_one_the_earliest() -> None:
    early, late = Control(1, "c", "s", "x", 100, "", "why"), Control(2, "c", "s", "x", 200)
    other = Control(1, "c", "t", "x", 150)
    assert after([late, other, early]) == (early, other)


def test_a_word_for_a_closed_tick_is_refused_and_those_that_waited_are_gone() -> None:
    known = (Control(1, "c", "s", "x", 100), Control(2, "c", "s", "y", 200))
    collected = Collected(waiting(known, closed=2))
    assert collected.refusal(Control(1, "c", "s", "x", 100)) == ("too_late", "its tick is closed")
    assert collected.controls == known[1:]


def test_no_more_wait_than_are_written_with_every_transaction() -> None:
    known = tuple(Control(1, "c", f"s{n:04d}", "x", 100) for n in range(CONTROLS_MAX))
    collected = Collected(waiting(known))
    assert collected.refusal(known[7]) is None
    refusal = collected.refusal(Control(1, "c", "t", "x", 100))
    assert refusal is not None
    assert refusal[0] == "too_many_controls"
    assert collected.controls == known


def test_the_longest_words_that_may_wait_fit_into_one_record() -> None:
    """A thousand did not: the worker would have ended at the marker, again and again."""
    name = "n" * 64
    reason = "\N{POLICE CARS REVOLVING LIGHT}" * REASON_CHARACTERS
    longest = Control(2**31, name, name, name, 2**42, name, reason)
    assert len(pack([list(longest)] * CONTROLS_MAX)) < RECORD_BYTES


def test_an_event_waits_in_the_tick_of_its_own_time() -> None:
    event = Accept(
        schema_version=1,
        event_id="event-0001",
        event_time_ms=350,
        store_id="s",
        control_id="x",
        metric="conversion",
    )
    expected = Control(3, "c", "s", "x", 350, "conversion", "")
    assert waiting().control("c", "s", event) == expected
