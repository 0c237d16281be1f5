"""From a configuration to the parts of a running processor."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event

from stream_hb.config import Config
from stream_hb.engine import Engine
from stream_hb.errors import StreamHBError
from stream_hb.events.clock import TimeRules
from stream_hb.events.partitioner import PARTITIONERS
from stream_hb.runtime.at_least_once import AtLeastOnce
from stream_hb.runtime.checkpoints import Checkpoints
from stream_hb.runtime.client import TransientError
from stream_hb.runtime.delivery import Delivery, Route
from stream_hb.runtime.exactly_once import ExactlyOnce
from stream_hb.runtime.feeds import feed_topics, tick_clock, unit_rules
from stream_hb.runtime.http import served
from stream_hb.runtime.kafka import KafkaInput, KafkaOutput, consumer_settings, producer_settings
from stream_hb.runtime.kafka_ends import KafkaEnds
from stream_hb.runtime.kafka_state import KafkaState
from stream_hb.runtime.kafka_transactions import (
    TRANSACTION_MS,
    KafkaTransactions,
    transaction_settings,
)
from stream_hb.runtime.log_identity import LogIdentity
from stream_hb.runtime.rates_file import money_rules
from stream_hb.runtime.reader import EstimateReader
from stream_hb.runtime.restores import Restores
from stream_hb.runtime.shared_pooling import Board, SharedPooling
from stream_hb.runtime.snapshot_files import SnapshotFiles
from stream_hb.runtime.stores_file import known_stores
from stream_hb.runtime.topic_admin import inspect_topics, log_identity, origin_of
from stream_hb.runtime.topics import (
    TopicNeed,
    TopicState,
    TopicUse,
    check_topics,
    feed_needs,
    state_needs,
    topic_needs,
)
from stream_hb.runtime.worker import Worker, wall_clock_ms
from stream_hb.settings import BelongsTo, EmissionRule, EngineSettings

RUN_REFIT_SECONDS = 5.0
REPLAY_REFIT_SECONDS = 3600.0


def run_settings(config: Config, partitions_count: int) -> EngineSettings:
    """Return the engine's settings for a worker: its clock is the wall clock."""
    return _settings(
        config,
        time=_time(config, by_wall_clock=True),
        refit_seconds=config.refit.every_seconds or RUN_REFIT_SECONDS,
        heartbeat_seconds=config.emission.heartbeat_seconds,
        belongs=_belongs(config, partitions_count),
        registers=_registers(config, partitions_count),
    )


def replay_settings(config: Config, as_of_ms: int | None = None) -> EngineSettings:
    """Return the engine's settings for a replay: its clock is event time, and files beat no heart.

    All files feed one shard, so stores are not checked against a partition. ``as_of_ms`` is when
    the log was taken: later events are from the future.
    """
    return _settings(
        config,
        time=_time(config, as_of_ms=as_of_ms),
        refit_seconds=config.refit.every_seconds or REPLAY_REFIT_SECONDS,
        heartbeat_seconds=None,
        belongs=None,
        registers=lambda _store, _shard: True,
    )


def _time(config: Config, *, by_wall_clock: bool = False, as_of_ms: int | None = None) -> TimeRules:
    time = config.time
    lateness_ms, horizon_ms = (
        round(seconds * 1000) for seconds in (time.lateness_seconds, time.horizon_seconds)
    )
    return TimeRules(lateness_ms, horizon_ms, by_wall_clock, as_of_ms)


def _settings(
    config: Config,
    time: TimeRules,
    refit_seconds: float,
    heartbeat_seconds: float | None,
    belongs: BelongsTo | None,
    registers: BelongsTo | None,
) -> EngineSettings:
    emission = EmissionRule(
        config.emission.changed_sd,
        config.emission.changed_width,
        None if heartbeat_seconds is None else round(heartbeat_seconds * 1000),
        config.emission.everything_touched,
    )
    stores = known_stores(config)
    return EngineSettings(
        methods=config.metrics.kept(),
        models=config.metrics.models(),
        composites=config.metrics.composites(),
        stores=stores,
        default_chain=config.default_chain,
        refit_every_ms=round(refit_seconds * 1000),
        refit_min_change=config.refit.min_change,
        emission=emission,
        level=config.interval.level,
        time=time,
        forgetting=config.metrics.forgetting(),
        money=money_rules(config),
        inputs=config.metrics.inputs(),
        bot_visits_per_hour=config.bots.visits_per_hour,
        units_kept_ms=round(config.experiments.keep_seconds * 1000),
        units=unit_rules(config),
        ticks=tick_clock(config, stores),
        controls=config.drift.enabled,
        groups_max=config.limits.groups,
        belongs=belongs,
        registers=registers,
    )


def _belongs(config: Config, partitions_count: int) -> BelongsTo | None:
    partition_of = PARTITIONERS[config.topics.partitioner]
    if partition_of is None:
        return None
    return lambda store, partition: partition_of(store.encode(), partitions_count) == partition


def _registers(config: Config, partitions_count: int) -> BelongsTo | None:
    """Return which shard a store without events is in; None where only its events will tell.

    To put it into any one would be worse than to wait: the shard that its events come to may be
    another worker's, and two of them would write records of one key under versions of their own.
    """
    if partitions_count == 1:
        return lambda _store, _shard: True
    return _belongs(config, partitions_count)


def worker(
    config: Config,
    engine: Engine,
    slot: int,
    partitions_count: int,
    *,
    accept_loss: bool = False,
    log: LogIdentity | None = None,
    stop: Event | None = None,
) -> Worker:
    """Return the worker that holds a slot.

    Parameters
    ----------
    config, engine, slot
        Which worker.
    partitions_count
        Of every input topic.
    accept_loss
        The operator's word: go on without what is lost.
    log
        Which state it is: without it no snapshots are used or written.
    stop
        Ends what takes long at a start, as it ends the worker.
    """
    kafka = config.kafka
    exactly = config.delivery == "exactly_once"
    writer = f"{kafka.group_id}-{slot}"
    settings = consumer_settings(
        kafka.bootstrap_servers,
        kafka.group_id,
        config.sources,
        # A static member: without it the broker takes offsets that it cannot tell to be a zombie's.
        instance_id=writer if exactly else None,
        overrides=kafka.revealed_client(),
    )
    inputs = KafkaInput(config.sources, settings, partitions_count)
    route = route_of(config)
    files = _snapshot_files(config, log) if exactly else None
    make = _exactly_once if exactly else _at_least_once
    epoch = partial(last_epoch, config, stop)
    delivery = make(config, engine, inputs, route, writer, accept_loss, files, epoch)
    pooling = _shared_pooling(config, engine, writer, partitions_count) if exactly else None
    return Worker(engine, inputs, delivery, route, pooling=pooling)


def _shared_pooling(
    config: Config, engine: Engine, writer: str, partitions_count: int
) -> SharedPooling:
    kafka, topics = config.kafka, config.topics
    board = Board(topics.summaries, topics.hyper, partitions_count, kafka.group_id, writer)
    summaries, hyper = (
        KafkaState(kafka.bootstrap_servers, topic, kafka.revealed_client())
        for topic in (topics.summaries, topics.hyper)
    )
    return SharedPooling(engine, summaries, hyper, board)


def _exactly_once(
    config: Config,
    engine: Engine,
    inputs: KafkaInput,
    route: Route,
    writer: str,
    accept_loss: bool,
    files: SnapshotFiles | None,
    epoch: Callable[[], int],
) -> Delivery:
    servers, client = config.kafka.bootstrap_servers, config.kafka.revealed_client()
    state = KafkaState(servers, config.topics.state, client)
    group = config.kafka.group_id
    restores = Restores(
        inputs,
        state,
        engine.settings,
        group,
        time.monotonic,
        accept_loss=accept_loss,
        files=files,
        origin=origin_of(servers, config.sources, client),
    )
    every_seconds = config.snapshots.every_seconds
    checkpoints = Checkpoints(files, every_seconds, restores.snapshots) if files else None
    transactions = KafkaTransactions(transaction_settings(servers, writer, client))
    header = {"group": group, "writer": writer}
    return ExactlyOnce(
        engine,
        inputs,
        transactions,
        restores,
        route,
        header,
        time.monotonic,
        epoch,
        checkpoints,
    )


def identified(config: Config) -> LogIdentity | None:
    """Ask the broker which log the state is; None: it does not tell, or there is none."""
    if config.delivery != "exactly_once":
        return None
    kafka = config.kafka
    return log_identity(
        kafka.bootstrap_servers, config.topics.state, kafka.group_id, kafka.revealed_client()
    )


def ids_key(log: LogIdentity | None) -> bytes:
    """Return the key of the ids' hashes for shards that begin: nobody who sends events knows it."""
    return secrets.token_bytes(32) if log is None else log.ids_key()


def _snapshot_files(config: Config, log: LogIdentity | None) -> SnapshotFiles | None:
    if config.snapshots.path is None or log is None:
        return None
    folder = Path(config.snapshots.path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StreamHBError(f"snapshots.path: {folder} cannot be made: {error}") from error
    return SnapshotFiles(folder, log, wall_clock_ms)


def _at_least_once(
    config: Config,
    engine: Engine,
    inputs: KafkaInput,
    route: Route,
    _writer: str,
    _accept_loss: bool,
    _files: SnapshotFiles | None,
    epoch: Callable[[], int],
) -> Delivery:
    return AtLeastOnce(engine, inputs, output_client(config), route, epoch)


@contextmanager
def watched(config: Config, working: Worker) -> Iterator[int | None]:
    """Serve metrics and health while the block runs, if that is configured; yields the port."""
    if config.http.port is None:
        yield None
        return
    ends = KafkaEnds(config.kafka.bootstrap_servers, config.kafka.revealed_client())
    try:
        with served(working, ends.of, config.http.host, config.http.port) as port:
            yield port
    finally:
        ends.close()


def output_client(config: Config) -> KafkaOutput:
    """Return a client that writes outside of transactions."""
    kafka = config.kafka
    return KafkaOutput(producer_settings(kafka.bootstrap_servers, kafka.revealed_client()))


def route_of(config: Config) -> Route:
    """Return where the worker's records go, and how much goes at once."""
    topics = config.topics
    timeout = config.kafka.revealed_client().get("transaction.timeout.ms", TRANSACTION_MS)
    transaction_ms = int(timeout)
    return Route(
        topics.estimates,
        topics.rejects,
        config.limits.batch_events,
        refits=topics.refits,
        feeds=feed_topics(config),
        state=topics.state if config.delivery == "exactly_once" else None,
        batch_seconds=transaction_ms / 3 / 1000,
    )


def last_epoch(config: Config, stop: Event | None = None) -> int:
    """Return the newest epoch in the estimates topic, 0 where it holds none.

    Raises
    ------
    TransientError
        It was told to stop before it had read them all.
    """
    kafka = config.kafka
    reader = EstimateReader(
        kafka.bootstrap_servers, config.topics.estimates, kafka.revealed_client()
    )
    try:
        if not reader.read_to_end(stop):
            raise TransientError("told to end before all estimates were read")
    finally:
        reader.close()
    return max((record["version"]["epoch"] for record in reader.newest.values()), default=0)


def inspected(config: Config) -> list[TopicState]:
    """Ask the broker for the topics that the configuration needs."""
    return inspect_topics(
        config.kafka.bootstrap_servers, needs_of(config), config.kafka.revealed_client()
    )


def needs_of(config: Config) -> list[TopicNeed]:
    """Return the topics that the configuration needs."""
    topics = config.topics
    needs = topic_needs(config.sources, topics.estimates, topics.rejects, refits=topics.refits)
    needs += feed_needs(feed_topics(config).values())
    if config.delivery == "exactly_once":
        needs += state_needs(topics.state, topics.summaries, topics.hyper)
    return needs


def checked_partitions(config: Config) -> int:
    """Return the number of partitions of the input topics.

    Raises
    ------
    TopicError
        A topic is missing, the inputs differ in their partitions, or a setting would lose data.
    """
    states = inspected(config)
    check_topics(states)
    return next(state.partitions for state in states if state.need.use is TopicUse.INPUT)
