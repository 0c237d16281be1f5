"""A worker in numbers, for Prometheus: read off when asked for, so that they cost no work."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from stream_hb.runtime.calibration_metrics import calibration_metrics
from stream_hb.runtime.client import TopicPartition
from stream_hb.runtime.durations import BOUNDS_SECONDS
from stream_hb.runtime.worker import Worker

TRIES = 5

Ends = Callable[[Iterable[TopicPartition]], Mapping[TopicPartition, int]]


class WorkerMetrics(Collector):
    """Every metric of one worker.

    The worker goes on while it is looked at, so numbers of one answer may be a batch apart.

    Parameters
    ----------
    worker
        Whose.
    ends
        Asks where partitions end.
    """

    def __init__(self, worker: Worker, ends: Ends) -> None:
        self._worker = worker
        self._ends = ends

    def collect(self) -> Iterable[Metric]:
        """Return all metrics."""
        for _ in range(TRIES):
            with suppress(RuntimeError):  # a shard came or went while they were counted
                return list(self._all())
        return []

    def _all(self) -> Iterator[Metric]:
        yield from self._counters()
        yield from self._gauges()
        yield self._lag()
        yield self._transactions()
        yield from calibration_metrics(self._worker.engine.memory.feeds.values())

    def _counters(self) -> Iterator[Metric]:
        status, tally = self._worker.status, self._worker.tally
        yield InfoMetricFamily("stream_hb_worker", "How it delivers", {"delivery": status.delivery})
        plain = {
            "events_accepted": ("Events used", status.accepted),
            "records": ("Estimates delivered", status.records),
            "refits": ("Number of the newest refit of the group", self._worker.engine.refits),
            "restores": ("Shards restored or begun", tally.restores),
            "restore_seconds": ("Time in which their logs were read", tally.restore_seconds),
            "rebalances": ("Changes of the assignment", status.rebalances),
        }
        for name, (text, value) in plain.items():
            yield CounterMetricFamily(f"stream_hb_{name}", text, value)
        yield _labelled("stream_hb_rejects", "Rejects written", "reason", status.rejected)
        yield _labelled("stream_hb_aborts", "Transactions not committed", "cause", tally.aborts)
        yield _labelled("stream_hb_snapshots", "Local snapshots", "outcome", tally.snapshots)
        yield _labelled("stream_hb_warm_shards", "Shards that came back", "outcome", tally.warm)
        tallies = self._worker.engine.tallies
        tallies.pop("orders", None)  # those are counted: what the others are a part of
        yield _labelled("stream_hb_uncounted", "Seen and not counted as it came", "kind", tallies)

    def _gauges(self) -> Iterator[Metric]:
        engine, status = self._worker.engine, self._worker.status
        now_ms = self._worker.now_ms()
        delay = (now_ms - engine.watermark_ms(now_ms=now_ms)) / 1000
        refit_age = (now_ms - engine.refitted_at_ms) / 1000 if engine.refitted_at_ms else None
        values = {
            "groups": ("Groups of the own shards", engine.groups_count),
            "shards": ("Shards that work", len(engine.shards)),
            "shards_behind": ("Shards restored or catching up", status.rebuilding),
            "watermark_delay_seconds": ("The time of day less the watermark", delay),
            "refit_age_seconds": ("Time since the last refit", refit_age),
        }
        for name, (text, value) in values.items():
            if value is not None:
                yield GaugeMetricFamily(f"stream_hb_{name}", text, value)

    def _lag(self) -> Metric:
        metric = GaugeMetricFamily(
            "stream_hb_lag_events",
            "Offsets from the next event to the end of its partition",
            labels=["topic", "partition"],
        )
        positions = self._worker.next_offsets()
        for where, end in self._ends(sorted(positions)).items():
            labels = [where.topic, str(where.partition)]
            metric.add_metric(labels, max(end - positions[where], 0))
        return metric

    def _transactions(self) -> Metric:
        took = self._worker.status.took
        upto = [*map(str, BOUNDS_SECONDS), "+Inf"]
        buckets = list(zip(upto, accumulate(took.counts), strict=True))
        return HistogramMetricFamily(
            "stream_hb_delivery_seconds",
            "From the poll's end to the commit",
            buckets=buckets,
            sum_value=took.sum_seconds,
        )


def _labelled(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    metric = CounterMetricFamily(name, text, labels=[label])
    for value, count in sorted(counts.items()):
        metric.add_metric([value], count)
    return metric
