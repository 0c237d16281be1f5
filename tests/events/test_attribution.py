"""The attribution against the plain rules: any log, however it comes, counts the same."""

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_hb.events.attribution import Attribution, AttributionSettings
from tests.events.attributed import ARMS, GROUPS, Counts, feed, probe, rank, units
from tests.reference import event_rules
from tests.reference.event_rules import Event

HOUR_MS = 3_600_000
START_MS = 480_000 * HOUR_MS
TWO = AttributionSettings(visits_per_hour=2)


def factor(currency: int, time_ms: int) -> float:
    """Return what a minor unit is worth: another rate every twenty minutes."""
    return [1.0, 0.8, 130.0][currency] * (1 + (currency > 0) * (time_ms // 1_200_000 % 5) / 100)


def worth(order: Event, refunds: list[Event]) -> tuple[int, int]:
    """Return what is left of an order in its own currency, and in its group's; plain and slow."""
    at_ms, own = order["event_time_ms"], order.get("currency_code", 0)
    left = order["amount_minor"]
    for refund in refunds:
        other = refund["currency_code"]
        rate = 1 if other == own else factor(other, at_ms) / factor(own, at_ms)
        left -= round(refund["amount_minor"] * rate)
    return max(left, 0), round(max(left, 0) * factor(own, at_ms))


CONVERTED = AttributionSettings(
    visits_per_hour=2,
    factors=lambda codes, times_ms: np.array(
        [factor(*each) for each in zip(codes.tolist(), times_ms.tolist(), strict=True)]
    ),
)

visit_ids = st.sampled_from(["v0", "v1", "v2", "v3"])
maybe = st.one_of(st.none(), st.sampled_from(["x", "y"]))


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Draw an event that contradicts others as often as it can: few ids, times and amounts."""
    chain, store = draw(st.sampled_from([GROUPS[0], GROUPS[0], GROUPS[1]]))
    kind = draw(st.sampled_from(["visit", "purchase", "purchase", "refund"]))
    event: Event = {
        "event_type": kind,
        "chain_id": chain,
        "store_id": store,
        "event_time_ms": START_MS + draw(st.integers(0, 5)) * HOUR_MS // 3,
    }
    if kind != "visit":
        event["order_id"] = draw(st.sampled_from(["o0", "o1", "o2"]))
        event["amount_minor"] = draw(st.sampled_from([0, 100, 200]))
        event["currency_code"] = draw(st.sampled_from([0, 0, 1, 2]))
    if kind == "refund":
        event["refund_id"] = draw(st.sampled_from(["r0", "r1", "r2"]))
        event["amount_minor"] += 50
        event["cancels_order"] = draw(st.integers(0, 4)) == 0
        return event
    event["is_bot"] = draw(st.integers(0, 5)) == 0
    event["visit_id"] = draw(visit_ids if kind == "visit" else st.one_of(st.none(), visit_ids))
    event["visitor_id"] = draw(maybe)
    if draw(st.booleans()):
        experiment, arm = draw(st.sampled_from(ARMS))
        event["experiment"] = {"experiment_id": experiment, "arm": arm}
    if kind == "purchase":
        event["revision"] = draw(st.integers(0, 2))
    return event


logs = st.lists(events(), max_size=30)
orders_of_events = st.randoms(use_true_random=False)
cuts = st.lists(st.integers(1, 60), max_size=8)


def plain(log: list[Event]) -> tuple[Counts, dict[Any, list[Any]], tuple[int, int]]:
    """Return what the plain rules count: the moves' sum, the units, bots' visits and orders."""
    groups = event_rules.count(log, visits_per_hour=2, rank=rank, worth=worth)
    counts = Counts()
    found: dict[Any, list[Any]] = {}
    for key, group in groups.items():
        row = GROUPS.index(key)
        counts.visits += Counter((row, time, 0) for time in group.visits)
        counts.conversions += Counter((row, time, 0) for time in group.conversions)
        counts.orders += Counter((row, time, value) for time, value in group.orders)
        told = [_told(experiment, *unit) for (experiment, _), unit in group.units.items()]
        found |= {key: sorted(told)} if told else {}
    bots = [(group.bot_visits, group.bot_orders) for group in groups.values()]
    return counts, found, (sum(v for v, _ in bots), sum(o for _, o in bots))


def _told(experiment: str, arms: set[tuple[str, str]], *facts: int) -> tuple[Any, ...]:
    (arm,) = {arm for _, arm in arms} if len(arms) == 1 else {"crossover"}
    return (experiment, arm, *facts)


def bots(attribution: Attribution) -> tuple[int, int]:
    return attribution.tallies["bot_visits"], attribution.tallies["bot_orders"]


@given(
    log=logs, repeated=st.lists(st.integers(0, 29), max_size=15), random=orders_of_events, at=cuts
)
@settings(max_examples=200, deadline=None)
def test_any_order_repetition_and_batches_count_what_the_plain_rules_count(
    log: list[Event], repeated: list[int], random: Any, at: list[int]
) -> None:
    told = log + [log[place] for place in repeated if place < len(log)]
    random.shuffle(told)
    attribution = Attribution(CONVERTED)
    counts = feed(attribution, told, at)
    expected, expected_units, expected_bots = plain(log)
    assert counts == expected
    assert bots(attribution) == expected_bots
    assert units(attribution) == expected_units


DAY_MS = 86_400_000
steps = st.lists(st.tuples(events(), st.integers(0, 2), st.integers(0, 7)), max_size=40)


@given(log=steps)
@settings(max_examples=100, deadline=None)
def test_forgetting_takes_nothing_away_that_was_never_counted(
    log: list[tuple[Event, int, int]],
) -> None:
    attribution, counts, newest = Attribution(TWO), Counts(), START_MS
    day = 0
    for event, later, late in log:
        day += later
        at_ms = event["event_time_ms"] + (day * 4 - late) * DAY_MS // 4
        newest = max(newest, at_ms)
        feed(attribution, [event | {"event_time_ms": at_ms}], counts=counts)
        attribution.forget(newest - 2 * DAY_MS, newest)
        for name in ("orders", "live"):
            assert (attribution.visits.table.column(name) <= len(log)).all()


VISIT: Event = {
    "event_type": "visit",
    "chain_id": "c",
    "store_id": "a",
    "event_time_ms": START_MS,
    "visit_id": "v0",
}
ORDER: Event = VISIT | {"event_type": "purchase", "order_id": "o0", "amount_minor": 100}
REFUND: Event = ORDER | {"event_type": "refund", "refund_id": "r0"}


def test_a_refund_finds_the_visit_of_an_order_that_came_days_later() -> None:
    attribution = Attribution()
    order = ORDER | {"event_time_ms": START_MS + 5 * DAY_MS}
    counts = feed(attribution, [VISIT, order])
    attribution.forget(START_MS + 4 * DAY_MS, START_MS + 6 * DAY_MS)
    assert sum(counts.conversions.values()) == 1
    feed(attribution, [REFUND | {"event_time_ms": order["event_time_ms"]}], counts=counts)
    assert (sum(counts.visits.values()), counts.conversions, counts.orders) == (1, {}, {})


def test_what_is_forgotten_stays_counted_and_takes_no_room() -> None:
    attribution = Attribution(AttributionSettings(units_kept_ms=DAY_MS))
    arm = {"experiment": {"experiment_id": "e", "arm": "a"}, "visitor_id": "x"}
    counts = feed(attribution, [VISIT | arm, ORDER, REFUND | {"order_id": "o9"}])
    attribution.forget(START_MS + 3 * DAY_MS, START_MS + 4 * DAY_MS)
    assert [len(table) for table in attribution.tables.values()] == [0, 0, 0, 0, 0]
    assert attribution.tallies["unmatched_refunds"] == 1
    assert [sum(c.values()) for c in (counts.visits, counts.conversions, counts.orders)] == [1] * 3


ARM: Event = {"experiment": {"experiment_id": "e", "arm": "a"}, "visitor_id": "x"}


def with_a_forgotten_visit() -> tuple[Attribution, Counts]:
    """Return what remembers a unit, and of its two visits the second, ten days later, alone."""
    attribution = Attribution(TWO)
    back = VISIT | ARM | {"visit_id": "v1", "event_time_ms": START_MS + 10 * DAY_MS}
    counts = feed(attribution, [VISIT | ARM, back], cuts=[1])
    attribution.forget(START_MS + 8 * DAY_MS, START_MS + 9 * DAY_MS)
    assert len(attribution.visits.table) == 1
    return attribution, counts


def test_a_unit_was_first_seen_when_its_forgotten_visit_was_though_a_later_one_moves() -> None:
    attribution, counts = with_a_forgotten_visit()
    early = ORDER | {"visit_id": "v1", "event_time_ms": START_MS + 10 * DAY_MS - 1}
    later = early | {"revision": 1, "event_time_ms": START_MS + 10 * DAY_MS + 1}
    feed(attribution, [early, later], cuts=[1], counts=counts)
    assert units(attribution) == {("c", "a"): [("e", "a", 2, 1, 100, START_MS)]}


def test_a_unit_keeps_what_its_forgotten_visit_said_though_all_later_ones_are_a_bots() -> None:
    attribution, counts = with_a_forgotten_visit()
    back = VISIT | ARM | {"event_time_ms": START_MS + 10 * DAY_MS}
    feed(attribution, [back | {"visit_id": f"v{n}"} for n in range(1, 4)], counts=counts)
    assert units(attribution) == {("c", "a"): [("e", "a", 1, 0, 0, START_MS)]}


def test_a_visit_that_all_its_orders_left_has_no_time_of_its_own() -> None:
    moved = ORDER | {"revision": 1, "visit_id": "v1"}
    later = ORDER | {"order_id": "o1", "event_time_ms": START_MS + 1}
    counts = feed(Attribution(), [ORDER, moved, later], cuts=[1, 2])
    assert counts.visits == {(0, START_MS, 0): 1, (0, START_MS + 1, 0): 1}


def test_an_event_that_defines_no_order_says_nothing_of_its_visit() -> None:
    arm = {"experiment": {"experiment_id": "e", "arm": "a"}}
    for log in ([ORDER | arm, ORDER | {"revision": 1}], [ORDER | {"revision": 1}, ORDER | arm]):
        attribution = Attribution()
        feed(attribution, log, cuts=[1])
        assert units(attribution) == {}


def test_a_probe_changes_nothing() -> None:
    attribution = Attribution(TWO)
    feed(attribution, [VISIT, ORDER])
    before = attribution.snapshot()
    probe(
        attribution, [ORDER | {"revision": 1, "visit_id": "v2"}, REFUND, VISIT | {"is_bot": True}]
    )
    np.testing.assert_equal(attribution.snapshot(), before)


def test_what_repeats_what_is_known_moves_nothing() -> None:
    attribution = Attribution(TWO)
    log = [VISIT | {"visitor_id": "x"}, ORDER, REFUND | {"amount_minor": 40}]
    feed(attribution, log)
    change = probe(attribution, [*log, *log])
    assert not any(len(getattr(change.moves, name).rows) for name in ("visits", "conversions"))
    assert not len(change.moves.orders.rows)
    assert change.tallies["repeated_events"] == 6


def test_hours_that_fill_up_and_empty_again_turn_visits_that_no_event_names() -> None:
    attribution = Attribution(TWO)
    named = [VISIT | {"visit_id": f"v{n}", "visitor_id": "x"} for n in range(3)]
    counts = feed(attribution, named[:2])
    assert sum(counts.visits.values()) == 2
    feed(attribution, named[2:], counts=counts)
    assert (counts.visits, bots(attribution)) == ({}, (3, 0))
    # The third turns out to have been an hour earlier.
    feed(attribution, [named[2] | {"event_time_ms": START_MS - 1}], counts=counts)
    assert (sum(counts.visits.values()), bots(attribution)) == (3, (0, 0))


@given(log=logs, stop=st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_restored_page_by_page_it_goes_on_as_if_nothing_had_been(
    log: list[Event], stop: int
) -> None:
    one, other = Attribution(TWO), Attribution(TWO)
    feed(one, log[:stop], cuts=range(1, 30, 3))
    other.restore(one.snapshot())
    for attribution in (one, other):
        attribution.apply(probe(attribution, log[stop:]))
    np.testing.assert_equal(other.snapshot(), one.snapshot())


def test_of_orders_alike_but_for_the_arm_the_first_by_name_counts() -> None:
    order = {**VISIT, "event_type": "purchase", "order_id": "o", "amount_minor": 5}
    told = [order | {"experiment": {"experiment_id": "e", "arm": arm}} for arm in "ba"]
    for log in (told, told[::-1]):
        attribution = Attribution(TWO)
        feed(attribution, log, [1])
        assert [unit[:2] for unit in units(attribution)["c", "a"]] == [("e", "a")]
