"""``stream-hb show --alerts``: what is open now."""

import time
from typing import TYPE_CHECKING, Any

from stream_hb.cli.output import note, print_json, print_table
from stream_hb.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_hb.config import Config


def show_alerts(
    config: "Config", labels: "Mapping[str, str | None]", limit: int, closed: bool, as_json: bool
) -> None:
    """Print alerts: the newest record of every fingerprint.

    Parameters
    ----------
    config
        Says where they are.
    labels
        Which are shown; None: whatever the label says.
    limit
        Most rows of the table.
    closed
        Whether those that are resolved are shown, too.
    as_json
        Whether the records are printed as JSON, all of them.

    Raises
    ------
    UsageError
        No alerts are kept, or none has such a label.
    """
    from stream_hb.cli.alerts_table import in_order, is_open

    found = newest_alerts(config)
    chosen = in_order(_of(found, labels))
    shown = [record for record in chosen if closed or is_open(record)]
    if as_json:
        print_json(shown)
    elif not found:
        note(f"topic {config.topics.alerts!r} holds no alerts: none has been raised yet")
    elif not shown:
        note(f"no alert is open; {len(chosen)} are resolved (--all shows them)")
    else:
        _print(shown, limit)


def newest_alerts(config: "Config") -> "list[dict[str, Any]]":
    """Read the newest record of every alert from the broker.

    Raises
    ------
    UsageError
        No alerts are kept.
    """
    from stream_hb.runtime.reader import EstimateReader

    if not config.drift.enabled:
        raise UsageError("no alerts are kept: drift.enabled is false")
    kafka = config.kafka
    reader = EstimateReader(kafka.bootstrap_servers, config.topics.alerts, kafka.revealed_client())
    try:
        reader.read_to_end()
    finally:
        reader.close()
    return list(reader.newest.values())


def _of(
    records: "Sequence[dict[str, Any]]", labels: "Mapping[str, str | None]"
) -> "Sequence[dict[str, Any]]":
    for label, value in labels.items():
        if value is None or not records:
            continue
        chosen = [record for record in records if record["labels"].get(label) == value]
        if not chosen:
            known = {record["labels"][label] for record in records if label in record["labels"]}
            what = label.removesuffix("_id")
            raise UsageError(f"no alert of {what} {value!r}; {nearest(value, known)}")
        records = chosen
    return records


def _print(records: "Sequence[dict[str, Any]]", limit: int) -> None:
    from stream_hb.cli.alerts_table import alerts_table, is_open

    now_ms = time.time_ns() // 1_000_000
    open_count = sum(map(is_open, records))
    closed = f", {len(records) - open_count} resolved" if open_count < len(records) else ""
    print_table(alerts_table(records[:limit], f"{open_count} alerts open{closed}", now_ms))
    if len(records) > limit:
        note(f"{limit} of {len(records)} alerts are shown: --limit {len(records)} shows all")
