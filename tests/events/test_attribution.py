"""The attribution against the plain rules: any log, however it comes, counts the same."""

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_hb.events.attribution import Attribution, AttributionSettings
from tests.events.attributed import ARMS, GROUPS, Counts, feed, rank, units
from tests.reference import event_rules
from tests.reference.event_rules import Event

HOUR_MS = 3_600_000
START_MS = 480_000 * HOUR_MS
TWO = AttributionSettings(visits_per_hour=2)

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
    if kind == "refund":
        event["refund_id"] = draw(st.sampled_from(["r0", "r1", "r2"]))
        event["amount_minor"] += 50
        event["cancels_order"] = draw(st.integers(0, 4)) == 0
        return event
    event["is_bot"] = draw(st.integers(0, 5)) == 0
    event["visit_id"] = draw(visit_ids if kind == "visit" else st.one_of(st.none(), visit_ids))
    event["visitor_id"] = draw(maybe)
    if draw(st.booleans()):
        experiment, arm = draw(st.sampled_from(ARMS[:2]))
        event["experiment"] = {"experiment_id": experiment, "arm": arm}
    if kind == "purchase":
        event["revision"] = draw(st.integers(0, 2))
    return event


logs = st.lists(events(), max_size=30)
orders_of_events = st.randoms(use_true_random=False)
cuts = st.lists(st.integers(1, 60), max_size=8)


def plain(log: list[Event]) -> tuple[Counts, dict[Any, list[Any]], tuple[int, int]]:
    """Return what the plain rules count: the moves' sum, the units, bots' visits and orders."""
    groups = event_rules.count(log, visits_per_hour=2, rank=rank)
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
    attribution = Attribution(TWO)
    counts = feed(attribution, told, at)
    expected, expected_units, expected_bots = plain(log)
    assert counts == expected
    assert bots(attribution) == expected_bots
    assert units(attribution) == expected_units
