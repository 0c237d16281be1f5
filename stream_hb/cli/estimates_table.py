"""Estimate records as tables for people."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from stream_hb.cli.output import new_table, short

if TYPE_CHECKING:
    from rich.table import Table

Record = dict[str, Any]

UNITS: Mapping[str, str] = MappingProxyType(
    {
        "conversion": "purchasing visits per visit",
        "order_rate": "orders per visit",
        "log_order_value": "mean of ln(order in minor units)",
        "revenue_per_visit": "minor units per visit",
    }
)


def moved(record: Record) -> float:
    """Return how far pooling moved a group's estimate; 0 for a group without data."""
    raw = record["raw"]
    return 0.0 if raw is None else abs(record["estimate"] - raw)


def width(record: Record) -> float:
    """Return the width of the interval."""
    return float(record["interval"]["hi"] - record["interval"]["lo"])


def group_name(record: Record) -> str:
    """Return the group's chain and store."""
    return f"{record['key']['chain_id']} / {record['key']['store_id']}"


SORTS: Mapping[str, Callable[[Record], Any]] = MappingProxyType(
    {
        "shrunk": lambda record: -moved(record),
        "wide": lambda record: -width(record),
        "new": lambda record: -record["as_of_ms"],
        "store": group_name,
    }
)
"""What records are sorted by; of equal ones by the store."""

SORTED_AS: Mapping[str, str] = MappingProxyType(
    {
        "shrunk": "moved most by pooling first",
        "wide": "widest interval first",
        "new": "newest record first",
        "store": "by store",
    }
)


def by_metric(
    records: Iterable[Record], sort: str, limit: int | None = None
) -> dict[str, list[Record]]:
    """Return the records of each metric, sorted; at most ``limit`` of each."""
    found: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: (SORTS[sort](r), group_name(r))):
        found.setdefault(record["metric"], []).append(record)
    known = [*(name for name in UNITS if name in found), *sorted(found.keys() - UNITS.keys())]
    return {name: found[name][:limit] for name in known}


def estimates_table(
    records: Sequence[Record],
    title: str | None = None,
    unshown: Collection[str] = (),
    now_ms: int | None = None,
) -> "Table":
    """Return one row per record: raw, pooled, shrunk, interval, weight, flags but ``unshown``.

    What all records say is said once, below; the records' age is shown where ``now_ms`` is given.
    """
    numbers = ("n", "raw", "pooled", "shrunk", _interval_name(records), "weight on pooled")
    table = new_table("group", *numbers, *(["age"] if now_ms is not None else []))
    table.add_column("flags", justify="left", overflow="fold")
    table.title = title
    table.title_justify = table.caption_justify = "left"
    shared = _shared_flags(records)
    if shared - set(unshown):
        table.caption = f"all: {' '.join(sorted(shared - set(unshown)))}"
    for record in records:
        interval = record["interval"]
        age = [] if now_ms is None else [ago(now_ms - record["as_of_ms"])]
        hidden = shared | set(unshown)
        table.add_row(
            group_name(record),
            f"{record['n_eff']:.0f}",
            _number(record["raw"]),
            _number(record["pooled"]),
            _number(record["estimate"]),
            f"{_number(interval['lo'])} … {_number(interval['hi'])}",
            _number(record["shrinkage_weight"]),
            *age,
            " ".join(flag for flag in record["flags"] if flag not in hidden),
        )
    return table


def _shared_flags(records: Sequence[Record]) -> set[str]:
    """Return the flags of all records, where there are several."""
    if len(records) < 2:
        return set()
    return set.intersection(*(set(record["flags"]) for record in records))


def _interval_name(records: Sequence[Record]) -> str:
    levels = {record["interval"]["level"] for record in records}
    return f"{100 * levels.pop():g} % interval" if len(levels) == 1 else "interval"


def _number(value: float | None) -> str:
    """Write a number: amounts of money with their thousands apart, not as powers of ten.

    >>> _number(None), _number(0.123456), _number(10921.4)
    ('-', '0.1235', '10,921')
    """
    if value is None:
        return "-"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else short(value)


def ago(milliseconds: float) -> str:
    """Write an age for people.

    >>> ago(4_200), ago(150_000), ago(7_200_000), ago(3e9), ago(-50)
    ('4 s', '2 min', '2 h', '34 d', '0 s')
    """
    seconds = max(0, int(milliseconds // 1000))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def hyper_table(records: Iterable[Record], now_ms: int | None = None) -> "Table":
    """Return one row per pool: the newest hyperparameters that its records name.

    Metrics that are made of others have none of their own.
    """
    newest: dict[tuple[str, str], Record] = {}
    for record in records:
        pool = (record["key"]["chain_id"], record["metric"])
        if record["model"] != "composite" and (
            pool not in newest or record["hyper"]["version"] > newest[pool]["version"]
        ):
            newest[pool] = record["hyper"]
    aged = ["age"] if now_ms is not None else []
    table = new_table("chain", "metric", "hyperparameters", "groups", "refit", *aged, names=3)
    for (chain, metric), hyper in sorted(newest.items()):
        params = ", ".join(f"{name} {short(float(v))}" for name, v in hyper["params"].items())
        age = [] if now_ms is None else [ago(now_ms - hyper["fitted_at_ms"])]
        table.add_row(chain, metric, params, str(hyper["groups"]), str(hyper["version"]), *age)
    return table
