"""``stream-hb replay``: the engine over files."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stream_hb.engine import Engine
    from stream_hb.runtime.replay import ReplaySummary

READ_MAX = 100_000
"""Rejects that are looked at for an example of each reason."""

EXAMPLES = """\b
Examples:
  stream-hb replay config/chain.yaml --events visits.ndjson.gz purchases.ndjson.gz --output out
  cat events.ndjson | stream-hb replay config/chain.yaml --events - --output out
"""


def replay(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.")],
    events: Annotated[
        list[str],
        typer.Option("--events", metavar="FILE…", help="NDJSON, also .gz; - is standard input."),
    ],
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="Folder for the feeds' files.")
    ],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE…]", help="Further files.", hidden=True)
    ] = None,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            help="When the log was taken (UTC): events five minutes later are rejected.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run the processor over files of events; the same input gives the same bytes.

    Writes estimates.ndjson, rejects.ndjson, refits.ndjson; where they are on, alerts.ndjson,
    calibration.ndjson and experiments.ndjson; with a table of stores, tombstones.ndjson. Event time
    drives it: a refit every hour of it unless the configuration says otherwise, and at the end one
    last record of every key.
    """
    import time

    from stream_hb.config import load_config
    from stream_hb.engine import Engine
    from stream_hb.runtime.assembly import replay_settings
    from stream_hb.runtime.feeds import feeds_of
    from stream_hb.runtime.replay import replay_files

    as_of_ms = round(as_of.replace(tzinfo=UTC).timestamp() * 1000) if as_of else None
    loaded = load_config(config, os.environ)
    settings = replay_settings(loaded, as_of_ms)
    engine = Engine(settings, feeds=feeds_of(loaded, settings))
    started = time.perf_counter()
    summary = replay_files(engine, [*events, *(more or [])], output)
    seconds = time.perf_counter() - started
    if as_json:
        _print_json(summary)
    else:
        _print_summary(engine, summary, output, seconds)


def _print_json(summary: "ReplaySummary") -> None:
    from dataclasses import fields

    from stream_hb.cli.output import print_json

    # asdict() would make a Counter of (reason, count) pairs.
    print_json({field.name: getattr(summary, field.name) for field in fields(summary)})


def _print_summary(
    engine: "Engine", summary: "ReplaySummary", output: Path, seconds: float
) -> None:
    from stream_hb.cli.output import note, print_table
    from stream_hb.cli.pools import pools_table

    rejected = sum(summary.rejected.values())
    print(
        f"{summary.received} events: {summary.accepted} used, {rejected} rejected; "
        f"{summary.groups} groups, {summary.refits} refits, {summary.records} records"
        + "".join(f", {number} of {name}" for name, number in summary.feeds.items())
    )
    why = _first_details(output / "rejects.ndjson", set(summary.rejected))
    for reason, count in summary.rejected.most_common():
        print(f"  rejected {count}: {reason}{why.get(reason, '')}")
    told = {name: count for name, count in summary.tallies.items() if count and name != "orders"}
    if told:
        print(
            "  of these: " + ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in told.items())
        )
    if engine.pools:
        print_table(pools_table(engine.pools))
    warned = {w for pool in engine.pools.values() for w in pool.check_warnings()}
    if warned:
        print(f"{len(warned)} warnings of the last refits: see {output / 'refits.ndjson'}")
    tombstones = ["tombstones"] if engine.settings.stores else []
    names = ("estimates", "rejects", "refits", *tombstones, *engine.memory.feeds)
    print("written: " + ", ".join(str(output / f"{name}.ndjson") for name in names))
    if not summary.received:
        note("the files hold no events")
    elif summary.accepted and not summary.records:
        note("nothing is estimated: of the metrics that are kept none has data in these events")
    note(f"{summary.received / max(seconds, 1e-9):,.0f} events/s")


def _first_details(rejects: Path, reasons: set[str]) -> dict[str, str]:
    """Return, for people, where each reason came first and what was wrong there."""
    import json
    from itertools import islice

    found: dict[str, str] = {}
    with rejects.open(encoding="utf-8") as lines:
        for line in islice(lines, READ_MAX):
            reject = json.loads(line)
            where = f"{reject['topic']}, line {reject['offset'] + 1}"
            found.setdefault(reject["reason"], f" (first in {where}: {reject['detail']})")
            if len(found) == len(reasons):
                break
    return found
