"""``stream-hb demo``: the newcomer's minute."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Group
    from rich.table import Table

    from stream_hb.cli.estimates_table import Record
    from stream_hb.runtime.demo import Demo
    from stream_hb.runtime.heldout import HeldOut
    from stream_hb.runtime.sample import Impression

EXAMPLES = """\b
Examples:
  stream-hb demo
  stream-hb demo --feed config/chain.yaml     # the same events to a broker of yours
"""

ROWS = 12
PROGRESS_SECONDS = 3.0


def demo(
    rate: Annotated[
        float, typer.Option("--rate", min=1, metavar="EVENTS", help="Events fed per second.")
    ] = 3000,
    feed: Annotated[
        Path | None,
        typer.Option(
            "--feed",
            metavar="CONFIG",
            help="Only feed the bundled events, to the input topics of this configuration.",
        ),
    ] = None,
) -> None:
    """Feed a real click log through an embedded broker and watch its estimates come back.

    60,000 impressions of 160 items in three campaigns (Open Bandit Dataset, CC BY 4.0): items are
    the stores, campaigns their chains, clicks the purchases.
    """
    from stream_hb.cli.logs import configure_logs
    from stream_hb.runtime.sample import impressions

    configure_logs(quiet=feed is None)
    log = impressions()
    if feed is not None:
        _feed(feed, log, rate)
        return
    _show(log, rate)


def _feed(path: Path, log: "Sequence[Impression]", rate: float) -> None:
    from threading import Event

    from stream_hb.cli.output import note
    from stream_hb.config import load_config
    from stream_hb.events.partitioner import PARTITIONERS, murmur2_partition
    from stream_hb.runtime.assembly import checked_partitions, output_client
    from stream_hb.runtime.feeder import Feeder
    from stream_hb.runtime.sample import events

    config = load_config(path, os.environ)
    partition_of = PARTITIONERS[config.topics.partitioner] or murmur2_partition
    inputs = config.topics.inputs
    feeder = Feeder(output_client(config), inputs, checked_partitions(config), partition_of)
    note(f"feeding {', '.join(inputs)} at {rate:,.0f} events/s")
    feeder.feed(events(log), rate, Event())
    print(f"fed {feeder.fed} events")


def _show(log: "Sequence[Impression]", rate: float) -> None:
    from stream_hb.runtime.demo import Demo
    from stream_hb.runtime.heldout import score

    with Demo(log, rate) as running:
        if sys.stdout.isatty():
            _live(running)
        else:
            _lines(running)
        records = list(running.reader.newest.values())
        _experiment(list(running.looks.newest.values()))
        _conclude(running, records, score(log))


def _live(running: "Demo") -> None:
    from rich.live import Live

    with Live(auto_refresh=False, transient=True) as live:
        while running.poll():
            live.update(_screen(running), refresh=True)


def _lines(running: "Demo") -> None:
    import time

    from stream_hb.cli.output import note

    said_at = time.monotonic()
    while running.poll():
        if time.monotonic() - said_at >= PROGRESS_SECONDS:
            said_at = time.monotonic()
            note(_progress(running))


def _progress(running: "Demo") -> str:
    worker = running.worker
    return (
        f"{worker.status.events} of {running.total} events, {worker.engine.groups_count} groups, "
        f"{worker.engine.refits} refits, {running.reader.records} estimates read back, "
        f"{running.events_per_second():,.0f} events/s"
    )


def _screen(running: "Demo") -> "Group":
    from rich.console import Group

    records = list(running.reader.newest.values())
    return Group(_progress(running), *_tables(records))


def _tables(records: "Sequence[Record]") -> "list[Table]":
    from stream_hb.cli.estimates_table import estimates_table, hyper_table, moved

    conversions = [record for record in records if record["metric"] == "conversion"]
    most = sorted(conversions, key=moved, reverse=True)[:ROWS]
    # The log is of 2019, so that every record says "stale_input".
    table = estimates_table(most, "moved most by pooling", unshown=("plug_in", "stale_input"))
    return [hyper_table(records), table]


def _experiment(records: "Sequence[Record]") -> None:
    """Print what the feed of experiments would do with the two policies, and how to read it."""
    from stream_hb.cli.experiments_table import arms_table, by_experiment, verdict
    from stream_hb.cli.output import print_table

    print("\nThe log's two policies, random and bts, as the arms of an experiment:\n")
    for chain, _ in by_experiment(records):
        print(verdict(chain))
        print_table(arms_table(chain))
    print(
        "The policies choose what is shown, and here the items are the stores: bts shows some of "
        "them more\noften than random does. So within an item the arms have not the shares that "
        "were declared, and the\nfeed holds, as it should: in a chain it would mean that somebody "
        "sends customers to stores by arm.\n"
    )


def _conclude(running: "Demo", records: "Sequence[Record]", held_out: "HeldOut") -> None:
    from stream_hb.cli.demo_drift import print_drift
    from stream_hb.cli.estimates_table import group_name, moved
    from stream_hb.cli.output import print_table

    for table in _tables(records):
        print_table(table)
    print(_progress(running))
    most = max((r for r in records if r["metric"] == "conversion"), key=moved)
    interval = most["interval"]
    scores = {"raw": held_out.raw, "pooled": held_out.pooled, "shrunk": held_out.shrunk}
    ranked = sorted(scores, key=scores.__getitem__, reverse=True)
    figures = ", ".join(f"{1000 * scores[name]:.2f} {name}" for name in ranked)
    print(
        f"\nPooling moved {group_name(most)} most: its {most['n_eff']:.0f} impressions alone say "
        f"{most['raw']:.2%} click, with its chain it is {most['estimate']:.2%} (95 % interval "
        f"{interval['lo']:.2%} to {interval['hi']:.2%}).\n"
        f"Fitted on the first 70 % of the week and scored on the {held_out.visits:,} impressions "
        f"after it, the estimates rank, by log score per 1,000 impressions (higher is better): "
        f"{figures}."
    )
    print_drift()
    print(
        "\nNext (the command is in .venv/bin): stream-hb fit --help (a table of your own), "
        "stream-hb replay --help\n(events of your own), or README.md for a real broker."
    )
