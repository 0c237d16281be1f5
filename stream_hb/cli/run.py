"""``stream-hb run``: the Kafka worker."""

import os
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

EXAMPLES = """\b
Examples:
  stream-hb run config/chain.yaml
  STREAM_HB__KAFKA__BOOTSTRAP_SERVERS=broker:9092 stream-hb run config/chain.yaml
"""


def run(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.")],
    slot: Annotated[
        int | None,
        typer.Option(
            envvar="STREAM_HB_SLOT",
            min=0,
            help="Which of the group's workers this is: stable over restarts, different for each. "
            "Default: the lowest that no worker on this host holds.",
        ),
    ] = None,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss", help="Go on although events or the state are gone (exit code 5)."
        ),
    ] = False,
) -> None:
    """Consume events and emit shrunk estimates, until SIGTERM or SIGINT.

    Several workers with the same kafka.group_id share the partitions, each with a slot of its own.
    Records, the state's log and the read offsets are committed in one transaction: every event
    counts exactly once (delivery: at_least_once, for brokers without transactions, does not).
    """
    from stream_hb.cli.leaving import stopped_by_signals
    from stream_hb.cli.logs import configure_logs

    stop = Event()
    configure_logs()
    with stopped_by_signals(stop):
        _work(config, slot, stop, accept_loss=accept_loss)


def _work(config: Path, slot: int | None, stop: Event, *, accept_loss: bool) -> None:
    """Make a worker and let it work until it is told to stop."""
    import structlog

    from stream_hb.config import load_config
    from stream_hb.engine import Engine
    from stream_hb.runtime.assembly import (
        checked_partitions,
        identified,
        ids_key,
        run_settings,
        watched,
        worker,
    )
    from stream_hb.runtime.feeds import feeds_of
    from stream_hb.runtime.slots import held_slot

    log = structlog.get_logger("stream_hb.run")
    settings = load_config(config, os.environ)
    partitions_count = checked_partitions(settings)
    which = identified(settings)
    if which is None and settings.snapshots.path is not None:
        log.warning("no snapshots: the broker does not tell which topic the state's is")
    kept = run_settings(settings, partitions_count)
    engine = Engine(kept, ids_key(which), feeds_of(settings, kept))
    if engine.settings.stores and engine.settings.registers is None:
        log.warning(
            "a registered store has no record before its first event: without topics.partitioner "
            "its partition is not known"
        )
    held = held_slot(settings.kafka.group_id, slot)
    working = worker(
        settings,
        engine,
        held.number,
        partitions_count,
        accept_loss=accept_loss,
        log=which,
        stop=stop,
    )
    with watched(settings, working) as port:
        if port is not None:
            log.info("listening", url=f"http://{settings.http.host}:{port}", slot=held.number)
        working.run(stop)
