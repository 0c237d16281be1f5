"""Days of stores as events of totals, a row a store and day, as a till would send them."""

import json
from collections.abc import Iterable, Iterator

from stream_hb.events.calendar import DAY_MS
from stream_hb.statistics.columns import Floats

Day = tuple[int, Floats, Floats]
"""Its number since 1970, and visits and converted visits by store."""


def conversions(days: Iterable[Day], chain: str = "north") -> Iterator[bytes]:
    """Yield the events of days, each sent as its day ends."""
    for day, visits, converted in days:
        for store, (n, y) in enumerate(zip(visits.tolist(), converted.tolist(), strict=True)):
            event = {
                "schema_version": 1,
                "event_type": "totals",
                "event_id": f"t{day}-{store:05d}",
                "event_time_ms": (day + 1) * DAY_MS,
                "chain_id": chain,
                "store_id": f"s{store}",
                "source": "till",
                "period_start_ms": day * DAY_MS,
                "period_end_ms": (day + 1) * DAY_MS,
                "visits": int(n),
                "conversions": int(y),
            }
            yield json.dumps(event).encode()
