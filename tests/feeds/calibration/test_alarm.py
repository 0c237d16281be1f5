"""The alarm's promise, held against streams whose groups share everything or nothing."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from stream_hb.feeds.calibration.alarm import Alarm, AlarmRule
from stream_hb.feeds.calibration.scores import LEVELS
from stream_hb.statistics.columns import Floats

GROUPS = 200.0
DAYS = 90


def held_of(random: np.random.Generator, width: float, shared: float) -> Floats:
    """Groups covered on a day whose intervals are ``width`` times as wide as they should be.

    Residuals are normal, a share of their variance being the day's.
    """
    common = random.normal() * math.sqrt(shared)
    z = common + random.normal(size=int(GROUPS)) * math.sqrt(1 - shared)
    ends = width * np.array([0.6745, 1.2816, 1.9600])
    covered: Floats = (np.abs(z) <= ends[:, None]).sum(axis=1).astype(np.float64)
    return covered


def share_raised(width: float, shared: float, streams: int, rule: AlarmRule, kind: str) -> float:
    raised = 0
    for stream in range(streams):
        random = np.random.default_rng((stream, round(100 * width), round(100 * shared)))
        alarm = Alarm.quiet()
        for day in range(DAYS):
            alarm = alarm.after(rule, day + 1, GROUPS, held_of(random, width, shared))
            if alarm.raised == kind:
                raised += 1
                break
    return raised / streams


@pytest.mark.parametrize("shared", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("kind", ["under_coverage", "over_coverage"])
def test_within_the_tolerance_it_rings_no_more_often_than_it_says(shared: float, kind: str) -> None:
    """At its very edge, and for any dependence: at most T/A, here 90/900 = .1.

    80 streams; a share above .2 would have a probability below .005 were the rate .1.
    """
    rule = AlarmRule(ticks_per_false_alarm=900.0)
    width = 1 / rule.narrow if kind == "under_coverage" else rule.wide
    assert share_raised(width, shared, 80, rule, kind) <= 0.2


def test_intervals_a_tenth_too_narrow_or_a_fifth_too_wide_are_let_pass() -> None:
    """What a good half-life leaves on drifting data; 200 stores would show it within weeks."""
    rule = AlarmRule.yearly(0.04, tick_ms=86_400_000)
    strict = replace(rule, narrow=1.0)
    assert share_raised(1 / 1.1, 0.0, 10, rule, "under_coverage") == 0.0
    assert share_raised(1.2, 0.0, 10, rule, "over_coverage") == 0.0
    assert share_raised(1 / 1.1, 0.0, 10, strict, "under_coverage") == 1.0


def test_intervals_far_too_narrow_or_wide_raise_it_within_ninety_days() -> None:
    rule = AlarmRule.yearly(0.04, tick_ms=86_400_000)
    assert share_raised(1 / 1.4, 0.1, 20, rule, "under_coverage") == 1.0
    assert share_raised(1.8, 0.1, 20, rule, "over_coverage") == 1.0


@pytest.mark.parametrize("share", [0.0, 0.03, 0.2, 0.7, 1.0])
def test_no_bet_gains_from_a_tolerated_share_on_average(share: float) -> None:
    """D is 1 with the tolerated probability α, else 0, or always α: a fortune of 1 stays 1."""
    rule = AlarmRule(ticks_per_false_alarm=1e9)
    alpha = rule.miss_most()
    one = Alarm.quiet()

    def after(hit: Floats) -> Floats:
        return np.exp(one.after(rule, 1, 1.0, hit).log_under)

    mixed = (1 - share) * after(1 - alpha)
    for level in range(len(LEVELS)):
        hit = 1 - alpha
        lost, won = hit.copy(), hit.copy()
        lost[level], won[level] = 0.0, 1.0
        fair = alpha[level] * after(lost)[level] + (1 - alpha[level]) * after(won)[level]
        assert_allclose(fair, 1.0, rtol=1e-12)
        assert_allclose(mixed[level] + share * fair, 1.0, rtol=1e-12)


def test_an_alarm_ends_when_the_intervals_keep_their_word_again() -> None:
    rule = AlarmRule.yearly(0.04, tick_ms=86_400_000)
    alarm = Alarm.quiet()
    for day in range(200):
        alarm = alarm.after(rule, day, GROUPS, np.array([60.0, 110.0, 150.0]))
    assert alarm.raised == "under_coverage"
    since = alarm.since_ms
    assert 0 < since < 30
    for day in range(200, 320):
        was, alarm = alarm, alarm.after(rule, day, GROUPS, np.array([100.0, 160.0, 190.0]))
        if alarm.raised == "under_coverage":
            assert alarm.since_ms == since
    assert (was.raised, alarm.raised, alarm.since_ms) == ("none", "none", 0)


def test_a_tick_without_groups_changes_nothing() -> None:
    rule = AlarmRule(100.0)
    alarm = Alarm.quiet().after(rule, 1, 5.0, np.array([2.0, 4.0, 5.0]))
    assert alarm.after(rule, 2, 0.0, np.zeros(3)) is alarm


def test_merged_fortunes_are_the_mean_of_both() -> None:
    rule = AlarmRule(1e9)
    one = Alarm.quiet().after(rule, 1, 10.0, np.array([2.0, 4.0, 7.0]))
    other = Alarm.quiet().after(rule, 1, 10.0, np.array([5.0, 8.0, 9.0]))
    both = one.merge(other)
    expected = (np.exp(one.log_under) + np.exp(other.log_under)) / 2
    assert_allclose(np.exp(both.log_under), expected)


def test_a_snapshot_is_plain_and_restores_to_the_bit() -> None:
    alarm = Alarm.quiet()
    assert Alarm.restore(json.loads(json.dumps(alarm.snapshot()))).snapshot() == alarm.snapshot()
    alarm = alarm.after(AlarmRule(100.0), 7, 5.0, np.array([0.0, 1.0, 2.0]))
    restored = Alarm.restore(json.loads(json.dumps(alarm.snapshot())))
    assert (restored.log_under == alarm.log_under).all()
    assert restored.snapshot() == alarm.snapshot()
