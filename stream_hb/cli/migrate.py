"""``stream-hb migrate``: the state after the input's partitions have become more."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """\b
Example, for a chain whose inputs had 4 partitions and are to have 12:
  1. let the workers read everything while nothing is produced; end them
  2. kafka-topics --alter --topic visits --partitions 12   (the other inputs, too;
     control, where alerts are on)
  3. in chain.yaml: topics: {state: state-v2, summaries: summaries-v2}
  4. stream-hb migrate chain.yaml --from state
  5. start producers and workers again
"""


def migrate(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG",
            help="A YAML file that names new topics for the state and the summaries.",
        ),
    ],
    old: Annotated[
        str, typer.Option("--from", metavar="TOPIC", help="The topic that holds the state now.")
    ],
    accept_unread: Annotated[
        bool,
        typer.Option(
            "--accept-unread",
            help="Go on although unread events stand in partitions that are no longer their "
            "stores': workers reject them (wrong_partition), with their bytes.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Move the state to as many partitions as the input topics have now.

    Everything that is remembered of a store goes to the partition that its events come to, as
    topics.partitioner says, and estimates are what they were. The new topics (topics.state,
    topics.summaries) are made if they are missing; the old one is left as it is. All is written in
    one transaction: killed in the middle, nothing is migrated and the command can be run again;
    run once more after it is done, it does nothing. It refuses, with the exact reason, while
    workers run, or if unread events were placed by the old number of partitions.
    """
    from stream_hb.cli.output import note, print_json
    from stream_hb.config import load_config
    from stream_hb.runtime.kafka_migration import lines, run_migration

    settings = load_config(config, os.environ)
    migrated = run_migration(settings, old, note, accept_unread=accept_unread)
    if as_json:
        print_json({"migrated": migrated is not None, **(asdict(migrated) if migrated else {})})
    elif migrated is None:
        print(f"topic {settings.topics.state!r} holds the migrated state already: nothing is done")
    else:
        print("\n".join(lines(migrated, settings)))
