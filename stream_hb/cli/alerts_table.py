"""Alert records as a table for people."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from math import exp
from typing import TYPE_CHECKING, Any

from stream_hb.cli.estimates_table import ago
from stream_hb.cli.output import new_table, short

if TYPE_CHECKING:
    from rich.table import Table

Record = dict[str, Any]

_STATUSES = ("firing", "recovering", "pending", "resolved")
_SEVERITIES = ("critical", "warning", "info")


def is_open(record: Record) -> bool:
    """Tell whether an alert's newest record leaves it open."""
    return bool(record["status"] != "resolved")


def in_order(records: Iterable[Record]) -> list[Record]:
    """Return what fires first, then what is worst, then what is oldest.

    >>> a = {"status": "resolved", "severity": "critical", "startsAt": "2026-01-01"}
    >>> b = {"status": "firing", "severity": "warning", "startsAt": "2026-01-02"}
    >>> c = {"status": "firing", "severity": "critical", "startsAt": "2026-01-03"}
    >>> [one["startsAt"][-1] for one in in_order([a, b, c])]
    ['3', '2', '1']
    """
    return sorted(records, key=_urgency)


def _urgency(record: Record) -> tuple[int, int, str]:
    status, severity = record["status"], record["severity"]
    return _STATUSES.index(status), _SEVERITIES.index(severity), record["startsAt"]


def alerts_table(records: Sequence[Record], title: str, now_ms: int) -> "Table":
    """Return one row per alert: since when, how much, how sure, and how it ended."""
    columns = ("alert", "chain / store", "metric", "status", "since", "effect", "evidence")
    table = new_table(*columns, names=len(columns))
    for record in records:
        labels = record["labels"]
        table.add_row(
            " ".join(filter(None, (labels["alertname"], labels.get("direction")))),
            f"{labels['chain_id']} / {labels.get('store_id', 'all')}",
            labels["metric"],
            _status(record),
            _since(record, now_ms),
            effect(record["evidence"]),
            evidence(record["evidence"]),
        )
    table.title = title
    table.title_justify = "left"
    return table


def _status(record: Record) -> str:
    if is_open(record):
        return f"{record['status']}, {record['severity']}"
    resolution = record["annotations"].get("resolution")
    return f"resolved {record['endsAt'][:10]}" + (f", {resolution}" if resolution else "")


def _since(record: Record, now_ms: int) -> str:
    started = record["startsAt"]
    age_ms = now_ms - datetime.fromisoformat(started).timestamp() * 1000
    return f"{started[:16].replace('T', ' ')} ({ago(age_ms)})"


def effect(found: Record) -> str:
    """Return the size of a shift, in per cent of the odds, the rate or the value.

    >>> effect({"effect": 0.25, "effect_interval": [0.1, 0.4]}), effect({})
    ('+28 % (+11 … +49)', '')
    """
    if "effect" not in found:
        return ""
    size, *ends = (100 * (exp(x) - 1) for x in (found["effect"], *found["effect_interval"]))
    return f"{size:+.0f} % ({ends[0]:+.0f} … {ends[1]:+.0f})"


def evidence(found: Record) -> str:
    """Return why an alert is believed, in a few words.

    >>> evidence({"detector": "chain_shift", "statistic": 0.42, "peers_firing": 9})
    '9 stores, 42 % of those watched'
    """
    detector, statistic = found["detector"], found["statistic"]
    if detector == "change":
        began = datetime.fromtimestamp(found["change_time_estimate_ms"] / 1000, UTC)
        ratio = statistic / found["threshold"]
        return f"{short(ratio)} times the threshold; changed about {began:%Y-%m-%d}"
    if detector == "level":
        return f"beyond {short(found['delta'])} with probability {statistic:.3f}"
    if detector == "silent":
        return f"so long without a visit: probability e^{statistic:.0f}"
    if detector == "chain_shift":
        return f"{found['peers_firing']} stores, {100 * statistic:.0f} % of those watched"
    return f"{short(statistic)} against {short(found['threshold'])}"
