"""The pools' hyperparameters as a table."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stream_hb.cli.output import new_table, short

if TYPE_CHECKING:
    from rich.table import Table

    from stream_hb.pool_fit import Pool, PoolFit


def pools_table(pools: "Mapping[Pool, PoolFit]") -> "Table":
    """Return one row per pool: its groups and hyperparameters."""
    table = new_table("chain", "metric", "hyperparameters", "note", "groups", names=4)
    for (chain, metric), pool in sorted(pools.items()):
        parameters = pool.parameters()
        text = ", ".join(f"{name} {short(float(value))}" for name, value in parameters.items())
        notes = [flag for flag in pool.flags() if flag != "plug_in"]
        table.add_row(chain, metric, text, ", ".join(notes), str(pool.fit.groups_count))
    return table
