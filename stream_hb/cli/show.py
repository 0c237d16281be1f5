"""``stream-hb show``: what the estimates topic says now."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

EXAMPLES = """\b
Examples:
  stream-hb show config/chain.yaml
  stream-hb show config/chain.yaml --store store-01 --json
"""


def show(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.")],
    store: Annotated[str | None, typer.Option("--store", help="Only this store.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="Rows at the most.")] = 40,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as JSON.")] = False,
) -> None:
    """Print hyperparameters and groups: the newest record of every key of the estimates topic.

    Groups are sorted by how far pooling moved them.
    """
    from stream_hb.cli.estimates_table import estimates_table, hyper_table, moved
    from stream_hb.cli.output import note, print_json, print_table
    from stream_hb.config import load_config
    from stream_hb.errors import UsageError, nearest
    from stream_hb.runtime.reader import EstimateReader

    settings = load_config(config, os.environ)
    client = settings.kafka.revealed_client()
    reader = EstimateReader(settings.kafka.bootstrap_servers, settings.topics.estimates, client)
    try:
        reader.read_to_end()
    finally:
        reader.close()
    records = list(reader.newest.values())
    chosen = [r for r in records if store is None or r["key"]["store_id"] == store]
    if store is not None and records and not chosen:
        raise UsageError(f"no estimate of store {store!r}; {nearest(store, _stores(records))}")
    chosen.sort(key=moved, reverse=True)
    if as_json:
        print_json(chosen)
    elif not records:
        note(f"topic {settings.topics.estimates!r} holds no estimates yet: is a worker running?")
    else:
        print_table(hyper_table(records))
        print_table(estimates_table(chosen[:most]))
        if len(chosen) > most:
            note(f"{len(chosen) - most} more: --most {len(chosen)}")


def _stores(records: "Iterable[dict[str, Any]]") -> list[str]:
    return sorted({record["key"]["store_id"] for record in records})[:50]
