"""The benchmarks' events: 90 % visits, 10 % purchases, 1 % of them sent twice, about 190 bytes."""

import json
from collections.abc import Iterator

import numpy as np

from stream_hb.statistics.columns import Floats

STARTED_MS = 1_760_000_000_000
PURCHASE_SHARE = 0.1
DUPLICATE_SHARE = 0.01
CHAINS = 3


def payloads(
    count: int, stores: int, seed: int = 1, spread: float = 0.0
) -> Iterator[tuple[int, bytes]]:
    """Yield (store number, payload) of ``count`` events in the order of time.

    ``spread`` is how much stores differ: the sd of their shares of purchases on the logit scale,
    and of their mean log values. Of stores that do not differ at all nobody can tell how little
    they do, and the mixtures that say so are the dearest there are.
    """
    rng = np.random.default_rng(seed)
    popularity = rng.lognormal(0, 0.8, stores)
    store_of = rng.choice(stores, count, p=popularity / popularity.sum())
    chance, level = _tempers(stores, seed, spread)
    bought = rng.random(count) < chance[store_of]
    repeated = rng.random(count) < DUPLICATE_SHARE
    amounts = np.exp(rng.normal(level[store_of], 0.8)).astype(int)
    last = (0, b"")
    for number in range(count):
        store = int(store_of[number])
        if repeated[number] and last[1]:
            yield last
            continue
        event = _event(number, store, bool(bought[number]), int(amounts[number]))
        last = (store, json.dumps(event, separators=(",", ":")).encode())
        yield last


def _tempers(stores: int, seed: int, spread: float) -> tuple[Floats, Floats]:
    """Return each store's share of purchases and mean log value; equal without any spread."""
    if not spread:
        return np.full(stores, PURCHASE_SHARE), np.full(stores, 8.0)
    shares, levels = spread * np.random.default_rng([seed, stores]).standard_normal((2, stores))
    odds = PURCHASE_SHARE / (1 - PURCHASE_SHARE) * np.exp(shares)
    return odds / (1 + odds), 8.0 + levels


def _event(number: int, store: int, bought: bool, amount: int) -> dict[str, object]:
    event: dict[str, object] = {
        "schema_version": 1,
        "event_type": "purchase" if bought else "visit",
        "event_id": f"e{number:011}",
        "event_time_ms": STARTED_MS + number,
        "store_id": f"store-{store:05}",
        "chain_id": f"chain-{store % CHAINS}",
        "visit_id": f"v{number - 1 if bought else number:011}",
    }
    if bought:
        event |= {"order_id": f"o{number:011}", "amount_minor": amount, "currency": "EUR"}
    else:
        event |= {"visitor_id": f"u{number % 99991:08}"}
    return event
