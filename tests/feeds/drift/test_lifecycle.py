import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_hb.feeds.drift.lifecycle import Advanced, Episodes, Rules, Signal, Status, advanced

NOBODY = np.zeros(1, bool)
RULES = Rules(for_ticks=0, keep_firing_ticks=3, renotify_ms=10**12)
ON, BETWEEN, OFF, NOT_JUDGED = "on", "between", "off", "not judged"


def signal(said: str, held: bool = False, ended: bool = False) -> Signal:
    flags = (said == ON, said == OFF, said != NOT_JUDGED, held, ended)
    on, off, judged, holds, ends = (np.array([flag]) for flag in flags)
    return Signal(on, off, judged, holds, ends, np.ones(1))


def told(saids: list[Signal], rules: Rules = RULES) -> tuple[list[str], Advanced]:
    """Return status, or resolved, of each record; and where it ends."""
    episodes, out = Episodes.of_new(1), []
    moved = Advanced(episodes, NOBODY, NOBODY)
    for tick, one in enumerate(saids):
        moved = advanced(moved.episodes, one, tick, tick * 1_000, rules)
        if moved.told[0]:
            status = Status(moved.episodes.status[0]).name.lower()
            out.append("resolved" if moved.resolved[0] else status)
    return out, moved


def signals(*saids: str) -> list[Signal]:
    return [signal(said) for said in saids]


def test_between_the_thresholds_nothing_begins_and_nothing_ends() -> None:
    out, _ = told(signals(BETWEEN, ON, *9 * [BETWEEN], OFF, BETWEEN, *5 * [OFF]))
    assert out == ["firing", "recovering", "firing", "recovering", "resolved"]


def test_the_all_clear_has_to_hold() -> None:
    assert told(signals(ON, OFF, OFF, OFF))[0] == ["firing", "recovering"]
    assert told(signals(ON, OFF, OFF, OFF, OFF))[0] == ["firing", "recovering", "resolved"]


def test_a_condition_that_has_to_hold_is_pending_and_lapses_when_it_does_not() -> None:
    rules = RULES._replace(for_ticks=2)
    assert told(signals(ON, ON, ON), rules)[0] == ["pending", "firing"]
    assert told(signals(ON, ON, BETWEEN), rules)[0] == ["pending", "resolved"]


def test_a_tick_without_data_neither_fires_nor_clears() -> None:
    assert told(signals(*9 * [NOT_JUDGED]))[0] == []
    assert told(signals(ON, *9 * [NOT_JUDGED]))[0] == ["firing"]


def test_what_is_held_does_not_begin_and_what_is_open_stays() -> None:
    held = [signal(ON, held=True)] * 3
    assert told(held)[0] == []
    assert told([signal(ON), *held, signal(OFF)])[0] == ["firing", "recovering"]


def test_an_accepted_episode_is_resolved_once_and_does_not_begin_again_in_the_same_tick() -> None:
    out, moved = told([signal(ON), signal(ON, ended=True), signal(OFF, ended=True)])
    assert out == ["firing", "resolved"]
    assert not moved.episodes.is_open[0]


def test_an_open_episode_is_told_again_after_a_while() -> None:
    rules = RULES._replace(renotify_ms=3_000)
    assert told(signals(*8 * [ON]), rules)[0] == 3 * ["firing"]


@given(st.lists(st.sampled_from([ON, BETWEEN, OFF, NOT_JUDGED]), max_size=60), st.integers(0, 3))
def test_a_log_is_a_row_of_episodes_each_opened_and_resolved_once(
    saids: list[str], for_ticks: int
) -> None:
    rules = Rules(for_ticks, 2, 10**12)
    out, moved = told(signals(*saids), rules)
    is_open = False
    for status in out:
        if status == "resolved":
            assert is_open
            is_open = False
        else:
            is_open = True
    assert is_open == bool(moved.episodes.is_open[0])
    assert moved.episodes.seq[0] == len(out)


def test_the_beginning_of_an_episode_is_kept_until_it_is_resolved() -> None:
    episodes, starts = Episodes.of_new(1), []
    for tick, said in enumerate([OFF, ON, ON, OFF, ON, OFF, OFF, OFF, OFF, ON]):
        episodes = advanced(episodes, signal(said), tick, tick * 1_000, RULES).episodes
        starts.append(int(episodes.started_ms[0]))
    assert starts == [0, *8 * [1_000], 9_000]
