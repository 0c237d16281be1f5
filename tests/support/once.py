"""A worker that delivers exactly once, over a broker in memory."""

from functools import cache
from threading import Event

from stream_hb.engine import Engine
from stream_hb.runtime.client import ClientError, TransactionAbortedError, TransientError
from stream_hb.runtime.delivery import Route
from stream_hb.runtime.exactly_once import ExactlyOnce
from stream_hb.runtime.origin import Origin
from stream_hb.runtime.restores import Restores
from stream_hb.runtime.worker import Worker
from tests.support.fake_client import FakeBroker, FakeInput
from tests.support.fake_transactions import FakeState, FakeTransactions
from tests.support.logs import START_MS, shop_log
from tests.support.records import assert_same_estimates, assert_without_gaps, newest
from tests.support.running import (
    BAD,
    EVENTS,
    SETTINGS,
    broker_with,
    epochs,
    estimates,
    rejects,
)

ORIGIN = Origin("cluster-1", {"events": "topic-1"})
LATE = TransientError("no answer yet")
ABORT = TransactionAbortedError("abort it")
LOST = ClientError("nobody knows")


class Once:
    """A worker that delivers exactly once; made again over the same broker it goes on."""

    def __init__(
        self,
        broker: FakeBroker,
        transactions: FakeTransactions | None = None,
        *,
        group: str = "g",
        accept_loss: bool = False,
        origin: Origin | None = ORIGIN,
    ) -> None:
        self.broker = broker
        self.origin = origin
        self.seconds = 0.0
        self.now_ms = START_MS + 1_000_000
        self.stop = Event()
        self.inputs = FakeInput(broker, idle=self.stop.set)
        self.transactions = transactions or FakeTransactions(broker)
        self.state = FakeState(self.transactions)
        self.engine = Engine(SETTINGS)
        restores = Restores(
            self.inputs,
            self.state,
            SETTINGS,
            group,
            lambda: self.seconds,
            accept_loss=accept_loss,
            origin=lambda: self.origin,
        )
        route = Route("estimates", "rejects", 40, state="state")
        self.delivery = ExactlyOnce(
            self.engine,
            self.inputs,
            self.transactions,
            restores,
            route,
            {"group": group, "writer": "g-0"},
            lambda: self.seconds,
            self.last_epoch,
        )
        self.worker = Worker(self.engine, self.inputs, self.delivery, route, lambda: self.now_ms)

    def last_epoch(self) -> int:
        return max(epochs(estimates(self.broker)), default=0)

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self.now_ms += 1_000
            self.seconds += 1
            self.worker.step(self.stop)

    def to_end(self) -> None:
        self.stop.clear()
        while not self.stop.is_set():
            self.step()
        self.step(2)
        self.stop.clear()

    def again(self, *, accept_loss: bool = False, origin: Origin | None = ORIGIN) -> "Once":
        """Return the next worker after this one was killed."""
        self.transactions._drop()
        return Once(self.broker, self.transactions, accept_loss=accept_loss, origin=origin)


@cache
def undisturbed() -> FakeBroker:
    broker = broker_with(*shop_log(), BAD)
    Once(broker).to_end()
    return broker


def assert_once(broker: FakeBroker) -> None:
    """Records without a gap, no reject twice, the same last estimates as without faults."""
    records = estimates(broker)
    assert_without_gaps(records)
    assert epochs(records) == {1}
    assert [reject["offset"] for reject in rejects(broker)] == [len(shop_log())]
    expected = newest(estimates(undisturbed())).values()
    assert_same_estimates(newest(records).values(), expected, tolerance=1e-9)
    assert broker.committed[EVENTS].offset == broker.end(EVENTS)
