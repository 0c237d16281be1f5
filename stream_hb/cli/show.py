"""``stream-hb show``: what the topics of estimates and of alerts say now."""

import os
import time
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stream_hb.config import Config

EXAMPLES = """\b
Examples:
  stream-hb show config/chain.yaml
  stream-hb show config/chain.yaml --metric conversion --sort wide --limit 5
  stream-hb show config/chain.yaml --store store-01 --json
  stream-hb show config/chain.yaml --calibration
  stream-hb show config/chain.yaml --experiments
  stream-hb show config/chain.yaml --alerts          # what is open; --all: what was, too
"""

ROWS = 15
"""Rows of a table, where nobody says how many."""


class Sort(StrEnum):
    """What comes first."""

    SHRUNK = "shrunk"
    WIDE = "wide"
    NEW = "new"
    STORE = "store"


def show(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.")],
    store: Annotated[str | None, typer.Option("--store", help="Only this store.")] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="Only this metric.")] = None,
    sort: Annotated[
        Sort,
        typer.Option(
            "--sort",
            help="First what pooling moved most (shrunk), the widest interval (wide), the newest "
            "record (new), or by store.",
        ),
    ] = Sort.SHRUNK,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=1, help=f"Most records of a metric: {ROWS} in tables, all in JSON."
        ),
    ] = None,
    calibration: Annotated[
        bool,
        typer.Option(
            "--calibration", help="How the intervals have kept their word (calibration.enabled)."
        ),
    ] = False,
    experiments: Annotated[
        bool, typer.Option("--experiments", help="Only the experiments, no estimates.")
    ] = False,
    alerts: Annotated[
        bool, typer.Option("--alerts", help="Print the open alerts in place of the estimates.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="With --alerts: those that are resolved, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as JSON.")] = False,
) -> None:
    """Print hyperparameters, estimates and experiments: the newest record of every key.

    One table a metric: how much data a store has, what it says alone (raw), what it is drawn to
    (pooled), and what comes of both (shrunk) with its interval. Where experiments are declared, of
    each: what to do and why, its arms, its stores. With --calibration: what share of the stores'
    ticks the predictive intervals have held.
    """
    from stream_hb.cli.show_alerts import show_alerts
    from stream_hb.config import load_config
    from stream_hb.errors import UsageError

    if every and not alerts:
        raise UsageError("--all goes with --alerts: what is resolved, too")
    settings = load_config(config, os.environ)
    if alerts:
        labels = {"store_id": store, "metric": metric}
        show_alerts(settings, labels, limit or ROWS, every, as_json)
        return
    if calibration:
        _refuse_for_calibration(store=store, sort=sort, limit=limit)
        _show_calibration(settings, metric, as_json)
        return
    if not experiments:
        _show_estimates(settings, store, metric, sort, limit, as_json=as_json)
    if experiments or (settings.experiments.enabled and not as_json):
        _show_experiments(settings, store, limit, as_json=as_json)


def _show_experiments(
    settings: "Config", store: str | None, limit: int | None, *, as_json: bool
) -> None:
    from stream_hb.cli.experiments_table import print_experiments
    from stream_hb.cli.output import note, print_json

    topic = settings.topics.experiments
    off = None if settings.experiments.enabled else "experiments.declared names none"
    records = _newest(settings, topic, off)
    if store is not None:
        records = [r for r in records if r["key"]["store_id"] in (None, store)]
    if as_json:
        print_json(records)
    elif not records:
        note(f"topic {topic!r} holds no looks yet: they come when a tick with a unit is closed")
    else:
        print_experiments(records, limit or ROWS)


def _show_estimates(
    settings: "Config",
    store: str | None,
    metric: str | None,
    sort: Sort,
    limit: int | None,
    *,
    as_json: bool,
) -> None:
    from stream_hb.cli.estimates_table import by_metric
    from stream_hb.cli.output import note, print_json

    records = _newest(settings, settings.topics.estimates)
    chosen = _only(records, "store", store, lambda record: record["key"]["store_id"])
    chosen = _only(chosen, "metric", metric, lambda record: record["metric"])
    if as_json:
        found = by_metric(chosen, sort, limit)
        print_json([record for some in found.values() for record in some])
    elif not records:
        note(f"topic {settings.topics.estimates!r} holds no estimates yet: is a worker running?")
    else:
        _print_tables(by_metric(chosen, sort), sort, limit or ROWS)


def _refuse_for_calibration(store: str | None, sort: Sort, limit: int | None) -> None:
    """Refuse what says which stores to show: calibration is of whole chains."""
    from stream_hb.errors import UsageError

    given = {
        "--store": store is not None,
        "--sort": sort is not Sort.SHRUNK,
        "--limit": bool(limit),
    }
    for option, is_given in given.items():
        if is_given:
            raise UsageError(f"--calibration is of chains, not of stores: leave {option} out")


def _show_calibration(settings: "Config", metric: str | None, as_json: bool) -> None:
    from stream_hb.cli.calibration_table import calibration_table, in_order
    from stream_hb.cli.output import note, print_json, print_table

    topic = settings.topics.calibration
    off = None if settings.calibration.enabled else "calibration.enabled is false"
    records = _newest(settings, topic, off)
    chosen = _only(records, "metric", metric, lambda record: record["metric"])
    if as_json:
        print_json(in_order(chosen))
    elif not records:
        is_on = settings.calibration.enabled
        why = "has a day been closed since the first fit?" if is_on else "set calibration.enabled"
        note(f"topic {topic!r} holds no scores yet: {why}")
    else:
        print_table(calibration_table(chosen, now_ms=time.time_ns() // 1_000_000))


def _newest(settings: "Config", topic: str, off: str | None = None) -> list[dict[str, Any]]:
    """Read a topic; ``off`` says why nobody writes to it, where nobody does."""
    from stream_hb.errors import TopicError, UsageError
    from stream_hb.runtime.reader import EstimateReader

    kafka = settings.kafka
    client = kafka.revealed_client()
    try:
        reader = EstimateReader(kafka.bootstrap_servers, topic, client)
    except TopicError as error:
        if off is None:
            raise
        raise UsageError(f"missing topic: {topic!r}, to which nobody writes: {off}") from error
    try:
        reader.read_to_end()
    finally:
        reader.close()
    return list(reader.newest.values())


def _only(
    records: "Sequence[dict[str, Any]]",
    what: str,
    name: str | None,
    name_of: "Callable[[dict[str, Any]], str]",
) -> "Sequence[dict[str, Any]]":
    """Return the records of one name; refuses one that no record has, unless there is none."""
    from stream_hb.errors import UsageError, nearest

    if name is None or not records:
        return records
    chosen = [record for record in records if name_of(record) == name]
    if not chosen:
        known = sorted(set(map(name_of, records)))
        near = get_close_matches(name, known, n=1) or known[:50]
        raise UsageError(f"no estimate of {what} {name!r}; {nearest(name, near)}")
    return chosen


def _print_tables(found: "Mapping[str, Sequence[dict[str, Any]]]", sort: str, limit: int) -> None:
    from stream_hb.cli.estimates_table import SORTED_AS, UNITS, estimates_table, hyper_table
    from stream_hb.cli.output import note, print_table

    now_ms = time.time_ns() // 1_000_000
    print_table(hyper_table((record for some in found.values() for record in some), now_ms))
    for metric, records in found.items():
        order = f", {SORTED_AS[sort]}" if len(records) > 1 else ""
        title = f"{metric} ({UNITS.get(metric, 'no unit known')}){order}"
        print_table(estimates_table(records[:limit], title, now_ms=now_ms))
    most = max(map(len, found.values()))
    if most > limit:
        note(f"{limit} of {most} stores of each metric are shown: --limit {most} shows all")
