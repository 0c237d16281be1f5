"""The table at the end of a run of faults, as the README shows it."""

from dataclasses import astuple, dataclass
from typing import Self

from tests.faults.verify import Verdict

HEAD = (
    "fault",
    "injected",
    "transactions",
    "events",
    "records",
    "aborted",
    "violations",
    "recovery, s",
)
"""``transactions`` are counted once for each shard that they changed; ``aborted`` are records that
the broker hides from readers; ``recovery`` is the time from the last fault until everything was
committed, or what the row says."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    name: str
    injected: str
    transactions: str
    events: str
    records: str
    aborted: str
    violations: str
    recovery: str

    @classmethod
    def of(cls, name: str, injected: str, verdict: Verdict, recovery: str = "") -> Self:
        """Make a line of a verdict."""
        return cls(
            name,
            injected,
            f"{verdict.transactions:,}",
            f"{verdict.events:,}",
            f"{verdict.records:,}",
            f"{verdict.aborted:,}",
            f"{len(verdict.violations):,}",
            recovery,
        )


rows: list[Row] = []


def add_row(row: Row) -> None:
    """Add a line."""
    rows.append(row)


def table() -> list[str]:
    """Return the lines of the table."""
    lines = [HEAD, ("---",) * len(HEAD), *map(astuple, rows)]
    return [f"| {' | '.join(line)} |" for line in lines]
