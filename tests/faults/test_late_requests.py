"""The request that ends a transaction comes late, twice, or its answer is lost (KIP-890).

A late one that reaches the broker in the next transaction ends that one in its middle; only a new
epoch of the producer fences it off. So after every commit that was not answered at once the worker
has to renew its producer before it begins another transaction.
"""

import random

import pytest

from tests.faults.fleet import FULL, Fleet, reconfigured, settled
from tests.faults.proxy import INIT_PRODUCER_ID, Fault, Proxy
from tests.faults.verify import committed
from tests.support.broker import RealBroker
from tests.support.deadline import wait_until

pytestmark = [
    pytest.mark.broker,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not FULL, reason="a part of make test-faults"),
]

REPEATS = 20
RENEWING = [Fault.HOLD, Fault.CUT, Fault.DEAF]


def progress(fleet: Fleet) -> int:
    return sum(offset for offset, _ in committed(fleet.chain).values())


@pytest.mark.parametrize("fault", Fault)
def test_t9_a_late_or_repeated_end_of_a_transaction_ends_no_other(
    fault: Fault, own_broker: RealBroker, fleet: Fleet
) -> None:
    source, renewed = random.Random(9), 0
    repeats = REPEATS if fault in (Fault.HOLD, Fault.CUT) else REPEATS // 2
    worker_servers = f"127.0.0.1:{own_broker.proxy_port}"
    reconfigured(fleet.chain, "kafka", bootstrap_servers=worker_servers)
    fleet.rate = 1_000.0
    with Proxy(own_broker.proxy_port, own_broker.behind_proxy_port) as proxy:
        fleet.begin(slots=1)
        for _ in range(repeats):
            before = proxy.requests[INIT_PRODUCER_ID]
            proxy.arm(fault, source.uniform(5, 15))
            wait_until(lambda: not proxy.is_armed, 60, pause_seconds=0.05)
            for _ in range(2):  # the transaction itself, and another one
                at = progress(fleet)
                wait_until(lambda at=at: progress(fleet) > at, 120)  # type: ignore[misc]
            renewed += proxy.requests[INIT_PRODUCER_ID] > before
        settled(fleet, "T9", f"{repeats} EndTxn: {fault}, producer renewed {renewed} times")
    if fault in RENEWING:
        assert renewed == repeats
