"""The laws of the feed: what is told once is told once, and nothing poisons it."""

from dataclasses import replace

import numpy as np
import pytest

from stream_hb.errors import FitError, UsageError
from stream_hb.feeds.drift.admittance import Admittance
from stream_hb.feeds.drift.alerts import ALERTS, DRIFT_UP
from stream_hb.feeds.drift.counts import Counts
from stream_hb.feeds.drift.feed import Step, step
from stream_hb.feeds.drift.settings import DAY_MS, DriftHyper, DriftSettings
from stream_hb.feeds.drift.state import DriftState
from stream_hb.feeds.drift.tick import Kind, Tick
from stream_hb.state import pack, unpack
from stream_hb.statistics.columns import Floats
from tests.feeds.drift.chains import (
    FIRST_DAY,
    HYPER,
    STORES,
    STREAM,
    Shares,
    fed,
    one_at,
    quick,
    records,
    statuses,
    steady,
    tick,
    ticks,
    written,
)

SETTINGS = quick()
UP_AND_BACK = one_at(0.09, 40, 60)


def run(given: list[Tick], settings: DriftSettings = SETTINGS) -> list[Step]:
    return list(fed(iter(given), settings=settings))


def days(shares: Shares, count: int) -> list[Tick]:
    return list(ticks(shares, count))


def snapshot(state: DriftState) -> bytes:
    return pack(state.snapshot())


def test_a_drift_fires_once_and_is_resolved_once_when_the_store_comes_back() -> None:
    done = run(days(UP_AND_BACK, 110))
    assert statuses(done) == [("s0", "firing"), ("s0", "recovering"), ("s0", "resolved")]
    last = [one for one in records(done, "StoreDrift") if one.status == "resolved"]
    assert last[0].endsAt is not None
    assert {one.startsAt for one in records(done, "StoreDrift")} == {last[0].startsAt}
    recovering = [day for day, each in enumerate(done) if '"recovering"' in str(written([each]))]
    resolved = [day for day, each in enumerate(done) if '"resolved"' in str(written([each]))]
    assert resolved[0] - recovering[0] >= SETTINGS.keep_firing_ticks == 3


def test_the_same_ticks_give_the_same_bytes() -> None:
    first, second = run(days(UP_AND_BACK, 110)), run(days(UP_AND_BACK, 110))
    assert written(first) == written(second)
    assert snapshot(first[-1].state) == snapshot(second[-1].state)


def test_a_tick_that_comes_again_or_late_changes_nothing() -> None:
    given = days(UP_AND_BACK, 110)
    twice = [one for each in given for one in (each, each)]
    late = [*given, *given[30:90]]
    once = run(given)
    for repeated in (run(twice), run(late)):
        assert written(repeated) == written(once)
        assert snapshot(repeated[-1].state) == snapshot(once[-1].state)
    assert run(late)[-1].diagnostics.admittance is Admittance.STALE


@pytest.mark.parametrize("at", [10, 44, 62, 75])
def test_a_snapshot_in_the_middle_changes_nothing(at: int) -> None:
    given = days(UP_AND_BACK, 110)
    whole = run(given)
    first = run(given[:at])
    state = DriftState.restored(unpack(snapshot(first[-1].state)))
    second = list(fed(iter(given[at:]), state, SETTINGS))
    assert written([*first, *second]) == written(whole)
    assert snapshot(second[-1].state) == snapshot(whole[-1].state)


def test_a_step_leaves_its_state_as_it_was() -> None:
    given = days(UP_AND_BACK, 50)
    state = run(given[:45])[-1].state
    before = snapshot(state)
    step(state, given[45], STREAM, SETTINGS, HYPER)
    assert snapshot(state) == before


def test_swinging_within_the_dead_band_for_a_thousand_ticks_is_no_episode() -> None:
    """Without the band the swing is a drift twice a year, and an alert that comes and goes."""
    odds = 0.05 / 0.95

    def swinging(day: int) -> Floats:
        out = steady(day)
        if day >= 60:
            swung = odds * np.exp(0.05 if day // 50 % 2 else -0.05)
            out[0] = swung / (1 + swung)
        return out

    done = list(fed(ticks(swinging, 1_060, visits=4_000.0), settings=SETTINGS))
    assert len({one.episode_id for one in records(done, "StoreDrift")}) <= 1


def test_a_promotion_of_the_whole_chain_is_no_drift() -> None:
    def promoted(day: int) -> Floats:
        return steady(day) * (1.5 if 40 <= day < 44 else 1.0)

    assert records(run(days(promoted, 80))) == []


def test_a_drift_does_not_enter_the_baseline_that_it_is_held_against() -> None:
    """It would be forgotten there, and resolved without the store having come back."""
    done = run(days(one_at(0.07, 40), 150))
    assert statuses(done) == [("s0", "firing")]
    relation, _ = Counts().relation(done[-1].state.baseline, HYPER.prior_size)
    assert abs(relation[0]) < 0.01


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("column", ["size", "value"])
def test_what_is_not_a_number_is_counted_and_silences_nothing(bad: float, column: str) -> None:
    given = days(UP_AND_BACK, 110)
    getattr(given[30], column)[0] = bad
    given[30].value[1] = 10**9  # more counted than there was
    done = run(given)
    assert done[30].diagnostics.refused == 2
    assert statuses(done) == statuses(run(days(UP_AND_BACK, 110)))


def test_days_without_visits_neither_raise_nor_clear() -> None:
    given = days(one_at(0.09, 40), 80)
    for day in range(50, 60):
        given[day].size[:] = 0
        given[day].value[:] = 0
    assert statuses(run(given)) == [("s0", "firing")]


def test_a_stores_first_days_are_no_drift_however_unlike_the_chain_it_is() -> None:
    def with_a_new_one(day: int) -> Floats:
        return np.append(steady(day), 0.09) if day >= 40 else steady(day)

    done = run(days(with_a_new_one, 120))
    assert records(done, "StoreDrift") == []
    assert done[-1].state.stores == STORES + 1


def test_a_clock_that_leaps_a_year_is_not_believed_alone() -> None:
    given = days(UP_AND_BACK, 110)
    stray = replace(given[50], index=given[50].index + 365)
    done = run([*given[:50], stray, *given[50:]])
    assert done[50].diagnostics.admittance is Admittance.SUSPECTED
    assert statuses(done) == statuses(run(given))


def test_a_year_without_ticks_raises_nothing_and_silences_nothing() -> None:
    before, after = days(steady, 60), days(one_at(0.09, 40), 100)
    later = [
        replace(one, index=one.index + 430, ended_ms=one.ended_ms + 430 * DAY_MS) for one in after
    ]
    done = run([*before, *later])
    assert [each.diagnostics.admittance.name for each in done[60:63]] == [
        "SUSPECTED",
        "LEAPT",
        "TAKEN",
    ]
    assert statuses(done) == [("s0", "firing")]


def test_an_accepted_level_is_the_new_baseline() -> None:
    given = days(one_at(0.09, 40), 160)
    given[55] = replace(given[55], accepted=np.array([0]))
    done = run(given)
    assert statuses(done) == [("s0", "firing"), ("s0", "resolved")]
    back = days(one_at(0.09, 40, 120), 160)
    back[55] = replace(back[55], accepted=np.array([0]))
    told = records(run(back), "StoreDrift")
    assert told[-1].labels["direction"] == "down"
    assert told[-1].status == "firing"


@pytest.mark.parametrize("share", [0.02, 0.025, 0.11, 0.2, 0.4])
def test_a_large_shift_that_is_accepted_is_not_told_of_again(share: float) -> None:
    """Accepted as the tangent of what it was, the store fell back from its new level at once."""
    given = days(one_at(share, 40), 300)
    given[85] = replace(given[85], accepted=np.array([0]))
    assert statuses(run(given)) == [("s0", "firing"), ("s0", "resolved")]


def test_a_level_that_stays_for_two_half_lives_is_accepted() -> None:
    done = run(days(one_at(0.09, 40), 140), quick(half_life_days=30.0))
    assert statuses(done) == [("s0", "firing"), ("s0", "resolved")]
    row = ALERTS.index(DRIFT_UP)
    assert not done[-1].state.episodes[row].is_open.any()


def test_a_retired_store_has_no_open_alert() -> None:
    given = days(one_at(0.09, 40), 80)
    for day in range(55, 80):
        given[day].size[0] = given[day].value[0] = 0
    given[55] = replace(given[55], retired=np.array([0]))
    assert statuses(run(given)) == [("s0", "firing"), ("s0", "resolved")]


def test_many_stores_in_one_direction_are_one_shift_of_the_chain() -> None:
    def shifted(day: int) -> Floats:
        out = steady(day)
        if day >= 40:
            out[:8] = 0.065
        return out

    done = run(days(shifted, 120))
    assert statuses(done, "ChainShift") == [("chain", "firing")]
    assert len({one.fingerprint for one in records(done, "StoreDrift")}) <= 1
    assert done[-1].diagnostics.held >= 7


def test_a_shift_of_the_chain_that_is_accepted_is_everybodys_new_level() -> None:
    def shifted(day: int) -> Floats:
        out = steady(day)
        if day >= 40:
            out[:8] = 0.065
        return out

    done = run(days(shifted, 160), quick(half_life_days=30.0))
    assert statuses(done, "ChainShift") == [("chain", "firing"), ("chain", "resolved")]
    assert all(status == "resolved" for _, status in statuses(done)[1::2])


def test_a_level_is_told_when_it_changes_and_not_for_having_always_been() -> None:
    def shares(day: int) -> Floats:
        out = one_at(0.12, 60)(day)
        out[5] = 0.15
        return out

    done = run(days(shares, 200))
    assert statuses(done, "StoreLevel")[:2] == [("s0", "pending"), ("s0", "firing")]
    assert {one.labels["store_id"] for one in records(done, "StoreLevel")} == {"s0"}


@pytest.mark.parametrize("kind", [Kind.RATES, Kind.VALUES])
def test_rates_and_values_drift_as_counts_do(kind: Kind) -> None:
    stream = replace(STREAM, kind=kind, metric="other")
    given = []
    for one in days(UP_AND_BACK, 110):
        m2 = None
        if kind is Kind.VALUES:
            # Log values of 50 orders a day, .4 higher where the share is.
            value: Floats = 3.5 + 0.4 * (one.value > 80).astype(np.float64)
            one, m2 = replace(one, size=np.full(STORES, 50.0), value=value), np.full(STORES, 40.0)
        given.append(replace(one, m2=m2))
    done = list(fed(iter(given), settings=SETTINGS, stream=stream))
    assert statuses(done) == [("s0", "firing"), ("s0", "recovering"), ("s0", "resolved")]


def test_a_day_of_23_hours_is_no_drift_of_a_rate_by_the_hour() -> None:
    stream = replace(STREAM, kind=Kind.RATES, metric="visits")
    given = []
    for day, one in enumerate(days(steady, 80)):
        hours = np.full(STORES, 24.0)
        if day == 50:
            hours[:5] = 23.0  # the stores of one zone
        given.append(replace(one, size=hours, value=hours * 40, hours=hours))
    done = list(fed(iter(given), settings=SETTINGS, stream=stream))
    assert records(done) == []
    assert np.nanmax(np.abs(done[50].diagnostics.z)) < 0.5  # type: ignore[arg-type]


def test_hours_as_ticks_wait_in_as_many_panes_as_days() -> None:
    settings = quick(ticks_a_day=24)
    given = []
    for hour in range(24 * 20):
        size = np.full(STORES, 50.0)
        index = FIRST_DAY * 24 + hour
        given.append(Tick(index, (index + 1) * 3_600_000, np.arange(STORES), size, 0.05 * size))
    done = run(given, settings)
    assert len(done[-1].state.pending) <= settings.lag_days + 1
    assert done[-1].diagnostics.tested == STORES
    assert settings.log_threshold == pytest.approx(SETTINGS.log_threshold + np.log(24))


def test_the_chain_may_have_one_store_or_none() -> None:
    alone = [
        tick(day, np.array([1_000.0]), np.array([50.0 + 40 * (day > 40)])) for day in range(80)
    ]
    assert records(run(alone), "StoreDrift") == []
    nobody = [tick(day, np.empty(0), np.empty(0)) for day in range(5)]
    assert records(run(nobody)) == []


def test_a_row_without_a_name_is_an_error_that_says_which() -> None:
    given = Tick(1, 1, np.array([60]), np.ones(1), np.ones(1))
    with pytest.raises(FitError, match="names row 60, but 60 stores are known"):
        step(DriftState.of_new(SETTINGS), given, STREAM, SETTINGS, DriftHyper(0.3))


def test_two_rows_of_one_store_are_an_error() -> None:
    with pytest.raises(FitError, match="one row a store"):
        Tick(1, 1, np.array([3, 3]), np.ones(2), np.ones(2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"false_alerts_per_store_year": 0.0},
        {"shifts": (0.04, 0.3)},
        {"warm_up_days": 28},
    ],
)
def test_settings_that_cannot_be_kept_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        DriftSettings(**wrong)  # type: ignore[arg-type]
