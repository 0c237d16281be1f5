"""Experiment records as tables for people: the decision, the arms, the stores."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from stream_hb.cli.output import new_table, print_table, short

if TYPE_CHECKING:
    from rich.table import Table

Record = dict[str, Any]


def by_experiment(records: Iterable[Record]) -> list[tuple[Record, list[Record]]]:
    """Return each chain's record with those of its stores for the deciding metric, by name."""
    found: dict[tuple[str, str], tuple[list[Record], list[Record]]] = {}
    for record in records:
        key = record["key"]
        of_chain, of_stores = found.setdefault((key["experiment_id"], key["chain_id"]), ([], []))
        (of_chain if record["scope"] == "chain" else of_stores).append(record)
    return [
        (chain, [s for s in stores if s["key"]["metric"] == chain["decision"]["metric"]])
        for _, (some, stores) in sorted(found.items())
        for chain in some
    ]


def verdict(record: Record) -> str:
    """Say what to do with an experiment, and why.

    >>> key = {"experiment_id": "ab", "chain_id": "north"}
    >>> decision = {"action": "hold", "arm": None, "reasons": ["srm: shares are off"]}
    >>> print(verdict({"key": key, "decision": decision}))
    ab / north: hold
      srm: shares are off
    """
    key, decision = record["key"], record["decision"]
    arm = f" {decision['arm']}" if decision["arm"] else ""
    lines = [f"{key['experiment_id']} / {key['chain_id']}: {decision['action']}{arm}"]
    return "\n  ".join([*lines, *decision["reasons"]])


def arms_table(record: Record) -> "Table":
    """Return the arms with what the deciding metric says of them."""
    metric = record["metrics"][0]
    effects = {effect["arm"]: effect for effect in metric["effects"]}
    said = {arm["arm"]: arm for arm in metric["arms"]}
    table = new_table(
        *("arm", "weight", "assigned", "analysed", "ordered", metric["metric"]),
        *("lift", "sequence", "p", "P(best)"),
    )
    for arm in record["arms"]:
        name = arm["arm"]
        table.add_row(
            f"{name} (control)" if arm["is_control"] else name,
            f"{arm['weight']:g}",
            *(f"{arm[count]:,.0f}" for count in ("assigned_units", "units", "conversions")),
            _number(said[name]["mean"]),
            *_effect(effects.get(name)),
            _share(said[name]["probability_best"]),
        )
    return table


def _effect(effect: Record | None) -> tuple[str, str, str]:
    if effect is None:
        return "", "", ""
    return (
        _lift(effect["relative"]["effect"]),
        _ends(effect["relative"]["sequence"]),
        short(effect["p"]),
    )


def stores_table(records: Sequence[Record], limit: int) -> "Table":
    """Return the stores with the largest effects, in either direction, first."""
    table = new_table(
        *("store", "arm", "control's units", "arm's units", "raw", "shrunk", "interval"),
        *("weight on chain", "p", "flags"),
        names=2,
    )
    rows = [(record, effect) for record in records for effect in record["effects"]]
    rows.sort(key=lambda row: (-abs(row[1]["effect"] or 0.0), row[0]["key"]["store_id"]))
    for record, effect in rows[:limit]:
        flags = [*record["flags"], *(["discovered"] if effect["discovered"] else [])]
        table.add_row(
            record["key"]["store_id"],
            effect["arm"],
            *(f"{effect[units]:,.0f}" for units in ("control_units", "units")),
            *(_number(effect[name]) for name in ("raw", "effect")),
            _ends(effect["interval"], percent=False),
            _share(effect["shrinkage_weight"]),
            short(effect["p"]),
            " ".join(flags),
        )
    return table


def print_experiments(records: Iterable[Record], limit: int) -> None:
    """Print every experiment: what to do and why, its arms, its stores."""
    for chain, stores in by_experiment(records):
        print(verdict(chain))
        print_table(arms_table(chain))
        if stores:
            print(f"stores, {stores[0]['scale'].replace('_', ' ')}, largest first")
            print_table(stores_table(stores, limit))


def _number(value: float | None) -> str:
    return "-" if value is None else short(value)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _lift(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1%}"


def _ends(interval: Record | None, *, percent: bool = True) -> str:
    if interval is None:
        return "-"
    write = _lift if percent else short
    return f"{write(interval['lo'])} to {write(interval['hi'])}"
