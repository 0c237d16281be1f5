"""``stream-hb run``: the Kafka worker."""

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """\b
Examples:
  stream-hb run config/chain.yaml
  STREAM_HB__KAFKA__BOOTSTRAP_SERVERS=broker:9092 stream-hb run config/chain.yaml
"""


def run(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.")],
) -> None:
    """Consume events and emit shrunk estimates, until SIGTERM or SIGINT.

    Several workers with the same kafka.group_id share the partitions. Delivery is at least once:
    after a restart the state is rebuilt from the beginning of the input before anything is emitted.
    """
    import signal
    from threading import Event

    import structlog

    from stream_hb.cli.logs import configure_logs
    from stream_hb.config import load_config
    from stream_hb.engine import Engine
    from stream_hb.runtime.assembly import (
        checked_partitions,
        input_client,
        last_epoch,
        output_client,
        route,
        run_settings,
    )
    from stream_hb.runtime.at_least_once import AtLeastOnce
    from stream_hb.runtime.worker import Worker

    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    configure_logs()
    settings = load_config(config, os.environ)
    # Who sends events cannot know the key, so nobody can choose ids that collide.
    engine = Engine(run_settings(settings, checked_partitions(settings)), secrets.token_bytes(32))
    if engine.settings.stores and engine.settings.registers is None:
        structlog.get_logger("stream_hb.run").warning(
            "a registered store has no record before its first event: without topics.partitioner "
            "its partition is not known"
        )
    inputs, ways = input_client(settings), route(settings)
    delivery = AtLeastOnce(
        engine, inputs, output_client(settings), ways, lambda: last_epoch(settings)
    )
    Worker(engine, inputs, delivery, ways).run(stop)
