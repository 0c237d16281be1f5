"""Calibration records as a table for people."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stream_hb.cli.estimates_table import ago
from stream_hb.cli.output import new_table, short

if TYPE_CHECKING:
    from rich.table import Table

Record = dict[str, Any]


def in_order(records: Iterable[Record]) -> list[Record]:
    """Return the records by chain, then metric."""
    return sorted(records, key=lambda record: (record["pool"], record["metric"]))


def calibration_table(records: Sequence[Record], now_ms: int | None = None) -> "Table":
    """Return one row per chain and metric: what share each interval has held, and what that says.

    A share stands with its standard error. Half-lives that are compared stand below with their
    scores, the one in use first.
    """
    levels = sorted({each["level"] for record in records for each in record["coverage"]})
    held = [f"{100 * level:g} % held" for level in levels]
    aged = ["age"] if now_ms is not None else []
    names = ("chain", "metric", *held, "log score", "stores x ticks", "half-life", *aged)
    table = new_table(*names, names=2)
    table.add_column("intervals are", justify="left", overflow="fold")
    for record in in_order(records):
        shares = {each["level"]: each for each in record["coverage"]}
        table.add_row(
            record["pool"],
            record["metric"],
            *(_share(shares.get(level)) for level in levels),
            short(record["log_score"]),
            f"{record['ticks']:,.0f}",
            half_lives(record),
            *([] if now_ms is None else [ago(now_ms - record["as_of_ms"])]),
            verdict(record),
        )
    return table


def _share(told: Record | None) -> str:
    if told is None:
        return "-"
    return f"{100 * told['covered']:.1f} ± {100 * told['standard_error']:.1f}"


def half_lives(record: Record) -> str:
    """Write the half-life in use, and by how much others score less.

    >>> one = {"half_life_s": 86_400.0, "log_score": -3.0, "in_use": True}
    >>> two = {"half_life_s": None, "log_score": -3.25, "in_use": False}
    >>> half_lives({"half_life_s": 86_400.0, "candidates": [two, one]})
    '1 d (none: -0.25)'
    """
    candidates = record.get("candidates") or []
    used = next((one["log_score"] for one in candidates if one["in_use"]), None)
    others = [
        f"{_days(one['half_life_s'])}: {one['log_score'] - used:+.2g}"
        for one in candidates
        if used is not None and not one["in_use"]
    ]
    return _days(record["half_life_s"]) + (f" ({', '.join(others)})" if others else "")


def _days(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds / 86_400:g} d"


def verdict(record: Record) -> str:
    """Say what the alarm says.

    >>> verdict({"alarm": "under_coverage", "alarm_since_ms": 1_700_000_000_000})
    'too narrow since 2023-11-14'
    >>> verdict({"alarm": "none"})
    'as wide as they say'
    """
    said = {"under_coverage": "too narrow", "over_coverage": "too wide"}.get(record["alarm"])
    if said is None:
        return "as wide as they say"
    since_ms = record.get("alarm_since_ms")
    if since_ms is None:
        return said
    return f"{said} since {datetime.fromtimestamp(since_ms / 1000, UTC):%Y-%m-%d}"
