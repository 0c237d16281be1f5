"""A worker over a broker in memory, driven a step at a time."""

from threading import Event

from stream_hb.engine import Engine
from stream_hb.runtime.at_least_once import AtLeastOnce
from stream_hb.runtime.client import TopicPartition
from stream_hb.runtime.delivery import Route
from stream_hb.runtime.worker import Worker
from stream_hb.settings import EmissionRule, EngineSettings
from tests.support.fake_client import FakeBroker, FakeInput, FakeOutput
from tests.support.logs import START_MS, shop_log
from tests.support.records import Record, checked_record, checked_reject

EVENTS = TopicPartition("events", 0)
EVERY_CHANGE = EmissionRule(changed_sd=0.0, changed_width=0.0, heartbeat_ms=None)
# What a worker does does not depend on the method, and point fits are quicker.
METHODS = {"conversion": "ml", "order_rate": "ml", "log_order_value": "reml"}
SETTINGS = EngineSettings(
    METHODS, refit_every_ms=1_000, refit_min_change=0.0, emission=EVERY_CHANGE
)
BAD = b"not json"


class Running:
    """A worker with its clients and its clock, driven a step at a time."""

    def __init__(
        self,
        broker: FakeBroker,
        batch_events: int = 40,
        settings: EngineSettings = SETTINGS,
        last_epoch: int = 0,
        refits: str | None = None,
    ) -> None:
        self.broker = broker
        self.now_ms = START_MS + 1_000_000
        self.stop = Event()
        self.inputs = FakeInput(broker, idle=self.stop.set)
        self.outputs = FakeOutput(broker)
        self.engine = Engine(settings)
        route = Route("estimates", "rejects", batch_events, refits=refits)
        delivery = AtLeastOnce(self.engine, self.inputs, self.outputs, route, lambda: last_epoch)
        self.worker = Worker(self.engine, self.inputs, delivery, route, self._clock_ms)

    def _clock_ms(self) -> int:
        return self.now_ms

    def step(self, count: int = 1) -> None:
        """Poll so often, a second apart."""
        for _ in range(count):
            self.now_ms += 1_000
            self.worker.step(self.stop)

    def to_end(self) -> None:
        """Poll until nothing comes, and once more: the last refit sees everything."""
        self.stop.clear()
        while not self.stop.is_set():
            self.step()
        self.step(2)
        self.stop.clear()


def broker_with(*payloads: bytes | None, topic: str = "events", partition: int = 0) -> FakeBroker:
    broker = FakeBroker()
    broker.append(payloads or shop_log(), topic, partition)
    return broker


def live(
    *payloads: bytes | None, batch_events: int = 40, settings: EngineSettings = SETTINGS
) -> Running:
    """Return a worker that had caught up before these events came."""
    broker = FakeBroker()
    broker.append([], "events")
    running = Running(broker, batch_events, settings)
    running.step()
    broker.append(payloads or shop_log(), "events")
    return running


def estimates(broker: FakeBroker) -> list[Record]:
    """Return the records that were delivered; all of them are checked."""
    return [
        checked_record(written.value, written.key)
        for written in broker.written
        if written.topic == "estimates" and written.value is not None
    ]


def rejects(broker: FakeBroker) -> list[Record]:
    return [checked_reject(value) for value in broker.values("rejects")]


def epochs(records: list[Record]) -> set[int]:
    return {record["version"]["epoch"] for record in records}
