"""``stream-hb accept``: the operator says that a store's new level is right."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stream_hb.config import Config

EXAMPLES = """\b
Examples:
  stream-hb accept config/chain.yaml --chain north --store s07 --reason "moved to the first floor"
  stream-hb accept config/chain.yaml --chain north --store s07 --print >> events.ndjson
"""


def accept(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.")],
    store: Annotated[str, typer.Option("--store", help="The store.")],
    chain: Annotated[
        str | None, typer.Option("--chain", help="Its chain; without it the default_chain.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="Only this metric; else all that are watched.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="For people: it stands in the resolved alert.")
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="When it was said (UTC); else now."
        ),
    ] = None,
    control_id: Annotated[
        str | None,
        typer.Option("--id", help="What repetitions are recognised by; else a new one, printed."),
    ] = None,
    only_print: Annotated[
        bool,
        typer.Option("--print", help="Print the event, for a file that replay reads; write none."),
    ] = False,
) -> None:
    """Accept a store's present level: its open alerts end, and its baseline is taken anew.

    The word is an event on topics.control. It takes effect when the tick (the store's day, or the
    hour) in which it was said is closed; said twice under one --id it counts once. Where no alert
    is open nothing follows.
    """
    import time
    from uuid import uuid4

    from stream_hb.cli.output import note
    from stream_hb.config import load_config
    from stream_hb.runtime.control import accept_event, say

    settings = load_config(config, os.environ)
    _check_metric(settings, metric)
    chain = chain or settings.default_chain
    moment = at.replace(tzinfo=UTC).timestamp() if at else time.time()
    name = uuid4().hex if control_id is None else control_id
    more = {"metric": metric, "reason": reason}
    event = accept_event(chain, store, round(moment * 1000), name, more)
    if only_print:
        print(event.decode())
        return
    _warn_where_nothing_is_open(settings, chain, store)
    say(settings, store, event)
    print(f"accepted under the id {name}")
    note(f"it takes effect when the {settings.ticks.every} in which it was said is closed")


def _check_metric(config: "Config", metric: str | None) -> None:
    from stream_hb.errors import UsageError, nearest

    if not config.drift.enabled:
        raise UsageError("no alerts are kept: drift.enabled is false")
    watched: tuple[str, ...] = config.drift.metrics or tuple(config.metrics.kept())
    if metric is not None and metric not in watched:
        raise UsageError(f"metric {metric!r} is not watched; {nearest(metric, watched)}")


def _warn_where_nothing_is_open(config: "Config", chain: str, store: str) -> None:
    from stream_hb.cli.alerts_table import is_open
    from stream_hb.cli.output import note
    from stream_hb.cli.show_alerts import newest_alerts

    named = {"chain_id": chain, "store_id": store}
    found = [a for a in newest_alerts(config) if named.items() <= a["labels"].items()]
    if not any(map(is_open, found)):
        note(f"no alert of store {store!r} of chain {chain!r} is open: nothing may follow from it")
