"""The laws of contradictory currencies: a group's is a function of the set of its events."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_hb.engine import Engine
from tests.laws.test_event_laws import (
    HOUR_MS,
    SETTINGS,
    assert_is_plain,
    distinct,
    events,
    fed,
    numbers,
    seeds,
    shuffled,
)
from tests.laws.test_tick_laws import HOURLY, expected, found
from tests.support.logs import START_MS

CURRENCIES = ["CHF", "EUR", "USD"]
EACH = list(range(60))


@st.composite
def contradictory(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an event of one store in any of three currencies."""
    event: dict[str, Any] = draw(events(st.sampled_from(CURRENCIES)))
    return event | {"chain_id": "c", "store_id": "a"}


logs = st.lists(contradictory(), min_size=2, max_size=12)
cuts = st.sets(st.integers(1, 24)).map(sorted)


def money(engine: Engine) -> tuple[Any, ...]:
    """Return what is known of money: the currency, and the live orders with what they are worth."""
    shard = engine.shards[0]
    names = shard.purse.names(np.arange(len(shard.table)))
    return names, *(column.tolist() for column in shard.orders.columns().values())


@given(log=logs, repeated=st.lists(st.integers(0, 11), max_size=6), seed=seeds, at=cuts)
@settings(max_examples=300, deadline=None)
def test_any_order_and_batches_of_many_currencies_count_what_the_plain_rules_count(
    log: list[dict[str, Any]], repeated: list[int], seed: int, at: list[int]
) -> None:
    log = distinct(log)
    told = shuffled(log + [log[place] for place in repeated if place < len(log)], seed)
    engine = fed(told, at, settings=HOURLY)
    assert_is_plain(engine, log)
    assert found(engine) == expected(log)
    assert money(engine) == money(fed(log, settings=HOURLY))
    sold = [(e["event_time_ms"], e["currency"]) for e in log if e["event_type"] == "purchase"]
    assert money(engine)[0] == [min(sold)[1] if sold else None]


@given(log=logs, stop=st.integers(1, 12), at=cuts)
@settings(max_examples=100, deadline=None)
def test_a_snapshot_knows_what_a_later_turn_of_the_currency_needs(
    log: list[dict[str, Any]], stop: int, at: list[int]
) -> None:
    first = fed(log[:stop], at)
    restored = Engine(SETTINGS)
    restored.restore(first.snapshot())
    for engine in (first, restored):
        fed(log[stop:], at, engine)
    assert restored.snapshot() == first.snapshot()


def purchase(order: str, hour: int, currency: str, **more: Any) -> dict[str, Any]:
    common = {"schema_version": 1, "event_id": "event-0001", "store_id": "a", "chain_id": "c"}
    common |= {"event_type": "purchase", "event_time_ms": START_MS + hour * HOUR_MS}
    return common | {"order_id": order, "currency": currency, "amount_minor": 100} | more


def refund(name: str, order: str, hour: int, currency: str, **more: Any) -> dict[str, Any]:
    paid = purchase(order, hour, currency, amount_minor=10, **more)
    return paid | {"event_type": "refund", "refund_id": name}


def test_a_visit_whose_earliest_order_turns_foreign_is_as_old_as_the_next_one() -> None:
    log = [
        purchase("o0", 1, "USD", visit_id="v"),
        purchase("o1", 2, "EUR", visit_id="v"),
        purchase("o2", 0, "EUR"),
    ]
    for told in permutations(log):
        assert found(fed(list(told), EACH, settings=HOURLY)) == expected(log)


@pytest.mark.parametrize("currency", CURRENCIES)
def test_contradictory_refunds_are_chosen_alike_whichever_currency_came_first(
    currency: str,
) -> None:
    """Refunds alike but for the order are told apart by its hash: of many, some the other way."""
    pairs = [(f"o{number}", f"p{number}") for number in range(12)]
    orders = [
        purchase(order, 0, currency, amount_minor=amount)
        for pair in pairs
        for order, amount in zip(pair, (1000, 5000), strict=True)
    ]
    refunds = [refund(one, order, 1, currency) for one, other in pairs for order in (one, other)]
    others = [purchase("x", 2, other) for other in CURRENCIES if other != currency]
    engines = [
        fed(told, [1, 2, 20])
        for told in ([*others, *orders, *refunds], [*refunds, *orders, *others[::-1]])
    ]
    one, other = (numbers(engine)["c", "a"]["log_order_value.mean"] for engine in engines)
    assert one == pytest.approx(other, rel=1e-12)


def test_refunds_in_another_currency_are_not_missed_whichever_came_first() -> None:
    """When they are forgotten, only those in the group's currency that met no order count."""
    log = [purchase("o0", 0, "EUR")]
    log += [refund("r1", "o1", 1, "EUR"), refund("r2", "o2", 1, "USD")]
    log += [purchase("o3", 1, "USD"), refund("r3", "o3", 1, "USD")]
    later = [purchase("l1", 24 * 9, "EUR"), purchase("l2", 24 * 9 + 1, "EUR")]
    for told in permutations(log):
        engine = fed([*told, *later], EACH)
        assert engine.tallies["unmatched_refunds"] == 1


def test_the_earliest_order_says_the_currency_still_when_it_is_forgotten() -> None:
    """So a turn never concerns what is forgotten: all of that is older, and says the currency."""
    log = [purchase("old", 0, "USD", visit_id="v")]
    log += [purchase("o1", 24 * 9, "USD"), purchase("o2", 24 * 9 + 1, "USD")]
    engine = fed(log, EACH)
    assert len(engine.shards[0].attribution.orders.table) == 2
    fed([*log, purchase("o3", 24 * 4, "EUR")], [3], engine)
    assert money(engine) == (["USD"], [3], [0], [0])
    assert numbers(engine)["c", "a"]["order_rate.events"] == 3
