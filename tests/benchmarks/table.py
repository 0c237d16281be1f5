"""Tables of measurements, printed as they are to stand in a document."""

from collections.abc import Mapping, Sequence
from statistics import median

from tests.benchmarks.job import Result

Taken = Mapping[str, Sequence[Result]]
"""The runs of every mode, by its name; the first one is the anchor of the ratios."""


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table under a title, its columns as wide as they must be."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    print(f"\n{title}\n")
    for number, line in enumerate(lines):
        cells = [
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print(f"| {' | '.join(cells)} |")
        if number == 0:
            print(f"|{'|'.join('-' * (width + 2) for width in widths)}|", flush=True)
    print(flush=True)


def middle(runs: Sequence[Result], name: str) -> float | None:
    """Return the median of what the runs say, None where they say nothing of it."""
    values = [run[name] for run in runs if name in run]
    return median(values) if values else None


def rate_rows(taken: Taken, count: int) -> list[list[str]]:
    """Return each mode's median rate, and its ratio to the first mode's.

    The ratio is of the medians; how far it differs from round to round stands behind it.
    """
    anchor = [run["cpu"] for run in next(iter(taken.values()))]
    rows = []
    for mode, runs in taken.items():
        cpu = [run["cpu"] for run in runs]
        each = [a / c for a, c in zip(anchor, cpu, strict=True)]
        wall, records = middle(runs, "wall"), middle(runs, "records")
        rows.append(
            [
                mode,
                f"{count / median(cpu):,.0f}",
                f"{1e6 * median(cpu) / count:.2f}",
                f"{median(anchor) / median(cpu):.2f}",
                f"{min(each):.2f}-{max(each):.2f}",
                "" if wall is None else f"{count / wall:,.0f}",
                "" if records is None else f"{records / count:.3f}",
            ]
        )
    return rows


RATES = ("", "events/CPU-s", "us/event", "ratio", "rounds", "events/s", "records/event")
"""The header of :func:`rate_rows`."""
