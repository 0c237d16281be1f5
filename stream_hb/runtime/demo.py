"""The newcomer's minute: embedded broker, bundled log, worker and reader in one process."""

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from stream_hb.engine import Engine
from stream_hb.errors import StreamHBError
from stream_hb.events.ticks import TickClock
from stream_hb.experiments_feed import ExperimentsFeed
from stream_hb.runtime.at_least_once import AtLeastOnce
from stream_hb.runtime.delivery import Route
from stream_hb.runtime.embedded import PARTITIONS, EmbeddedBroker
from stream_hb.runtime.feeder import Feeder
from stream_hb.runtime.feeds import unit_rule
from stream_hb.runtime.kafka import KafkaInput, KafkaOutput, consumer_settings, producer_settings
from stream_hb.runtime.reader import EstimateReader
from stream_hb.runtime.sample import Impression, events, policies_experiment
from stream_hb.runtime.worker import Worker, wall_clock_ms
from stream_hb.settings import EngineSettings

TOPIC = "impressions"
REFIT_MS = 1_000
POLL_SECONDS = 0.2
FINISH_SECONDS = 30.0


def _engine() -> Engine:
    """Return an engine that estimates clicks, and watches the experiment of the two policies."""
    policies = policies_experiment()
    settings = EngineSettings(
        {"conversion": "bayes", "order_rate": "bayes"},
        refit_every_ms=REFIT_MS,
        refit_min_change=0,
        units=(unit_rule(policies),),
        ticks=TickClock("day"),
    )
    return Engine(settings, feeds={"experiments": ExperimentsFeed((policies,))})


class Demo:
    """Everything that runs; it ends when the ``with`` block does.

    Parameters
    ----------
    log
        The impressions to feed.
    events_per_second
        Pace of the feeder.

    Attributes
    ----------
    reader
        The estimates as they come back from the output topic.
    looks
        The experiments, likewise.
    worker
        The worker, in a thread of its own.
    """

    reader: EstimateReader
    looks: EstimateReader
    worker: Worker

    def __init__(self, log: Sequence[Impression], events_per_second: float) -> None:
        self._events = list(events(log))
        self._events_per_second = events_per_second
        self._stop = threading.Event()
        self._failures: list[Exception] = []
        self._events_seen = 0
        self._first_at = self._last_at = 0.0
        self._quiet_since = time.monotonic()
        self._used_at_ms = 0
        self._broker = EmbeddedBroker()
        self.worker_thread = threading.Thread(target=self._work, name="worker")
        self.feeder_thread = threading.Thread(target=self._feed, name="feeder")

    @property
    def total(self) -> int:
        """Number of events to feed."""
        return len(self._events)

    def __enter__(self) -> Self:
        servers = self._broker.bootstrap_servers
        route = Route("estimates", "rejects", feeds={"experiments": "experiments"})
        self._broker.make_topics([TOPIC, route.estimates, route.rejects, *route.feeds.values()])
        self.reader, self.looks = (
            EstimateReader(servers, topic, {}) for topic in (route.estimates, "experiments")
        )
        engine = _engine()
        inputs = KafkaInput([TOPIC], consumer_settings(servers, "demo", [TOPIC]))
        # The embedded broker has no transactions.
        delivery = AtLeastOnce(engine, inputs, KafkaOutput(producer_settings(servers)), route)
        self.worker = Worker(engine, inputs, delivery, route)
        self.worker_thread.start()
        self.feeder_thread.start()
        return self

    def events_per_second(self) -> float:
        """Return the worker's pace from its first event to its newest."""
        return self.worker.status.events / max(self._last_at - self._first_at, POLL_SECONDS)

    def _clock_events(self) -> None:
        """Note when the first and when the newest event had been used."""
        events = self.worker.status.events
        if events > self._events_seen:
            self._last_at = time.monotonic()
            self._first_at = self._first_at or self._last_at - POLL_SECONDS
            self._events_seen = events

    def poll(self) -> bool:
        """Take the records that came back; False when everything fed has come back as estimates.

        Raises
        ------
        StreamHBError
            A part failed, or the end took too long.
        """
        came = self.reader.poll(POLL_SECONDS) + self.looks.poll(0)
        self._clock_events()
        if self._failures:
            raise StreamHBError(f"the demo broke: {self._failures[0]}") from self._failures[0]
        if self.feeder_thread.is_alive() or came:
            self._quiet_since = time.monotonic()
            return True
        if time.monotonic() - self._quiet_since > FINISH_SECONDS:
            raise StreamHBError(
                f"only {self.worker.status.events} of {self.total} events came back"
            )
        return not self._finished()

    def _finished(self) -> bool:
        """Everything fed was used under a refit after it, and every record has come back."""
        status = self.worker.status
        if status.events < self.total:
            return False
        self._used_at_ms = self._used_at_ms or wall_clock_ms()
        fitted = status.emitted_refit_at_ms > self._used_at_ms
        return fitted and self.reader.records == status.records

    def _work(self) -> None:
        try:
            self.worker.run(self._stop)
        except Exception as error:
            self._failures.append(error)

    def _feed(self) -> None:
        outputs = KafkaOutput(producer_settings(self._broker.bootstrap_servers))
        try:
            feeder = Feeder(outputs, (TOPIC,), PARTITIONS)
            feeder.feed(self._events, self._events_per_second, self._stop)
        except Exception as error:
            self._failures.append(error)
        finally:
            outputs.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self.feeder_thread.join()
        self.worker_thread.join()
        self.reader.close()
        self.looks.close()
        self._broker.close()
