"""Events in disorder and too late ones: the state is that of the set of events, whatever came."""

import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import TopicMaker
from tests.faults.fleet import FULL, Fleet, point_fits, reconfigured
from tests.faults.nursery import Nursery
from tests.faults.table import Row, add_row
from tests.faults.verify import Verdict, read_inputs, rejects, restored_shards
from tests.faults.workload import START_MS, STEP_MS, Fed, Workload
from tests.reference import event_rules
from tests.support.broker import NamedBroker, RealBroker
from tests.support.chain import PARTITIONS, made_chain

pytestmark = [
    pytest.mark.broker,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not FULL, reason="a part of make test-faults"),
]

STORES = 200
EVENTS = 500_000
DISORDER = 600_000 // STEP_MS
"""Ten minutes, in events."""
HALF_LIFE_MS = 3_600_000
DAY_MS = 86_400_000
TOO_LATE = 50


class Disordered(Workload):
    """A fifth of the events comes up to ten minutes late, and every fiftieth is of long ago."""

    def shuffled(self, start: int, count: int, source: random.Random) -> Iterator[Fed]:
        """Yield the events of so many numbers in another order."""
        places = []
        for number in range(start, start + count):
            late = source.uniform(0, DISORDER) if source.random() < 0.2 else 0.0
            places.append((number + late, number))
        for _, number in sorted(places):
            yield from self.of(number)
            if number % TOO_LATE == 0:
                yield self.ancient(number)

    def ancient(self, number: int) -> Fed:
        """Return a visit of three days before the first: behind any watermark and its horizon."""
        fed = next(self.of(number))
        old = fed.payload.replace(
            b'"event_time_ms":%d' % (START_MS + number * STEP_MS),
            b'"event_time_ms":%d' % (START_MS - 3 * DAY_MS),
        )
        return fed._replace(payload=old.replace(b'"visit_id":"v', b'"visit_id":"ancient'))


@pytest.fixture
def fleet(
    broker: RealBroker | NamedBroker, topics: TopicMaker, tmp_path: Path, nursery: Nursery
) -> Iterator[Fleet]:
    chain = made_chain(broker.bootstrap_servers, topics, tmp_path)
    point_fits(chain)
    reconfigured(chain, "emission", changed_sd=0.1, changed_width=0.05)
    reconfigured(chain, "time", horizon_seconds=3600)
    decayed = {"method": "ml", "half_life_seconds": HALF_LIFE_MS / 1000}
    reconfigured(chain, "metrics", order_rate=decayed)
    made = Fleet(chain, nursery, Disordered(STORES, PARTITIONS), broker)
    yield made
    made.end()


def test_t16_a_state_of_late_and_disordered_events_is_that_of_their_set(fleet: Fleet) -> None:
    workload, source = fleet.workload, random.Random(16)
    assert isinstance(workload, Disordered)
    visits = round(EVENTS / 1.15)
    # First a part in order, so that there is a watermark for the ancient ones to be behind.
    first = DISORDER
    fleet.start(0)
    fleet.feed(first)
    fleet.drain_fed()
    fleet.produce(workload.shuffled(first, visits - first, source))
    fleet.drain_fed(600)
    fleet.quiet()
    fleet.leave()
    violations, events, late = compared(fleet)
    verdict = Verdict(violations, events, 0, 0, 0, 0)
    add_row(Row.of("T16", f"a fifth in disorder, {late} too late", verdict))
    assert not violations, violations[:5]
    assert late == sum(number % TOO_LATE == 0 for number in range(first, visits))


def compared(fleet: Fleet) -> tuple[list[str], int, int]:
    """Compare state and rejects with the input: counts exactly, what fades to 1e-12."""
    chain, wrong, late = fleet.chain, [], 0
    inputs = read_inputs(chain)
    refused = [r["reason"] for r in rejects(chain)]
    groups = {}
    for store in inputs.by_store:
        events = inputs.events(store)
        kept = [event for event in events if event["event_time_ms"] >= START_MS]
        late += len(events) - len(kept)
        groups[store] = event_rules.count(kept)["north", store]
    if refused != ["too_late"] * late:
        wrong.append(f"{len(refused)} rejects, not {late} too_late")
    for number, restored in restored_shards(chain).items():
        if restored is None:
            wrong.append(f"shard {number} has no state")
            continue
        table = restored.shard.table
        rates = table.statistic("conversion").columns()
        fading = table.statistic("order_rate").columns()
        origin_ms = table.marks["order_rate"] * HALF_LIFE_MS
        for row, (_, store) in enumerate(table.keys):
            group = groups.pop(store)
            counts = rates["successes"][row], rates["trials"][row]
            if counts != (len(group.conversions), len(group.visits)):
                wrong.append(f"{store}: {counts}")
            times = [at_ms for at_ms, _ in group.orders]
            for name, at in (("events", times), ("exposure", group.visits)):
                mass = math.fsum(2.0 ** ((at_ms - origin_ms) / HALF_LIFE_MS) for at_ms in at)
                if not math.isclose(fading[name][row], mass, rel_tol=1e-12):
                    wrong.append(f"{store} {name}: {fading[name][row]}, not {mass}")
    wrong += [f"{store}: not in the state" for store in groups]
    return wrong, inputs.count, late
