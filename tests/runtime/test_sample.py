"""The bundled click log as events."""

import json
from collections import Counter
from itertools import pairwise

from stream_hb.events.decode import Decoder
from stream_hb.runtime.sample import events, impressions
from tests.support.logs import batch


def test_the_log_stands_in_order_of_time() -> None:
    times = [impression.event_time_ms for impression in impressions()]
    assert times == sorted(times)
    assert len(times) == 60_000


def test_every_event_is_valid() -> None:
    log = impressions()
    decoded = Decoder().decode(batch([event.payload for event in events(log)]))
    assert decoded.rejects == []
    assert len(decoded.visits.indexes) == len(log)
    assert len(decoded.purchases.indexes) == sum(impression.click for impression in log)


def test_a_click_is_a_purchase_of_amount_zero_right_after_its_visit() -> None:
    log = impressions()[:5_000]
    made = [json.loads(event.payload) for event in events(log)]
    for before, event in pairwise(made):
        if event["event_type"] == "purchase":
            assert (before["event_type"], before["visit_id"]) == ("visit", event["visit_id"])
            assert before["event_time_ms"] == event["event_time_ms"]
            assert (event["amount_minor"], event["currency"]) == (0, "JPY")
    assert len({event["event_id"] for event in made}) == len(made)


def test_items_are_stores_campaigns_chains_and_policies_arms() -> None:
    log = impressions()
    event = next(events(log))
    body = json.loads(event.payload)
    assert body["store_id"] == event.store_id == f"item-{log[0].item}"
    assert body["chain_id"] == log[0].campaign
    assert body["experiment"] == {"experiment_id": "obd-policy", "arm": log[0].policy}
    assert len({(i.campaign, i.item) for i in log}) == 160
    assert len(Counter(i.campaign for i in log)) == 3
    assert len(Counter(i.policy for i in log)) == 2
