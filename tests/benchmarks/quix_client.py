"""The same counts with Quix Streams, in an environment of its own: ``make bench-quix`` makes it.

What a user of the library would write: ``apply(stateful=True)`` over the events of a store, which
are told apart by the message's key. It counts visits, conversions (purchases: nothing is joined),
orders and the sum of their log values; it drops no duplicates, pools nothing and writes no
estimates: less than the worker does.
"""

import json
import math
import sys
import tempfile
import time
from typing import Any

from quixstreams import Application, State


def aggregate(event: dict[str, Any], state: State) -> list[float]:
    """Count one event."""
    counts: list[float] = state.get("counts", [0, 0, 0, 0.0])
    if event["event_type"] == "visit":
        counts[0] += 1
    else:
        counts[1] += 1
        counts[2] += 1
        counts[3] += math.log(event["amount_minor"])
    state.set("counts", counts)
    return counts


def main() -> None:
    """Measure one guarantee."""
    job = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory() as directory:
        cpu, wall = time.process_time(), time.perf_counter()
        application = Application(
            job["bootstrap"],
            consumer_group=job["run"],
            auto_offset_reset="earliest",
            processing_guarantee=job["mode"].removeprefix("quix-"),
            state_dir=directory,
            loglevel="ERROR",
            # What gives our consumer most is given to this one, too.
            consumer_extra_config={
                "fetch.queue.backoff.ms": 10,
                "queued.min.messages": 1_000_000,
            },
            producer_extra_config={"compression.type": "lz4"},
        )
        events = application.topic(job["topic"], value_deserializer="json", key_deserializer="str")
        application.dataframe(events).apply(aggregate, stateful=True)
        if job["live"]:
            print("ready", flush=True)
        application.run(count=job["count"], timeout=job["seconds_max"], collect=False)
        took = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    print(json.dumps(took))


if __name__ == "__main__":
    main()
