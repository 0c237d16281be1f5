"""Estimate records as a table for people."""

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, Any

from stream_hb.cli.output import new_table, short

if TYPE_CHECKING:
    from rich.table import Table

Record = dict[str, Any]


def moved(record: Record) -> float:
    """Return how far pooling moved a group's estimate; 0 for a group without data."""
    raw = record["raw"]
    return 0.0 if raw is None else abs(record["estimate"] - raw)


def group_name(record: Record) -> str:
    """Return the group's chain and store."""
    return f"{record['key']['chain_id']} / {record['key']['store_id']}"


def estimates_table(
    records: Iterable[Record],
    title: str | None = None,
    unshown: Container[str] = ("plug_in",),
) -> "Table":
    """Return one row per record: raw, pooled, shrunk, interval, weight, flags but ``unshown``."""
    table = new_table(
        "group",
        "metric",
        "flags",
        "n",
        "raw",
        "pooled",
        "shrunk",
        "interval",
        "weight on pooled",
        names=3,
    )
    table.title = title
    for record in records:
        interval = record["interval"]
        table.add_row(
            group_name(record),
            record["metric"],
            " ".join(flag for flag in record["flags"] if flag not in unshown),
            f"{record['n_eff']:.0f}",
            _number(record["raw"]),
            _number(record["pooled"]),
            _number(record["estimate"]),
            f"{short(interval['lo'])} … {short(interval['hi'])}",
            _number(record["shrinkage_weight"]),
        )
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else short(value)


def hyper_table(records: Iterable[Record]) -> "Table":
    """Return one row per pool: the newest hyperparameters that its records name."""
    newest: dict[tuple[str, str], Record] = {}
    for record in records:
        pool = (record["key"]["chain_id"], record["metric"])
        if pool not in newest or record["hyper"]["version"] > newest[pool]["version"]:
            newest[pool] = record["hyper"]
    table = new_table("chain", "metric", "hyperparameters", "groups", "refit", names=3)
    for (chain, metric), hyper in sorted(newest.items()):
        params = ", ".join(f"{name} {short(float(v))}" for name, v in hyper["params"].items())
        table.add_row(chain, metric, params, str(hyper["groups"]), str(hyper["version"]))
    return table
