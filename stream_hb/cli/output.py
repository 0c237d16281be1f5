"""How commands print: results on standard output, everything else on standard error."""

import json
import sys
from math import isinf, isnan
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

_NAME_WIDTH_MIN = 12


def note(text: str) -> None:
    """Print a remark for the person who waits, out of the result's way."""
    print(text, file=sys.stderr)


def print_json(value: Any) -> None:
    """Print one JSON value on lines of its own."""
    print(json.dumps(value, indent=2, allow_nan=False))


def print_table(table: "Table") -> None:
    """Print a table: all of it in a pipe; on a narrow terminal the first column folds."""
    from rich.console import Console

    console = Console(highlight=False)
    shown = console.width
    console.width = 10_000  # a console measures nothing that is wider than itself
    if console.is_terminal and console.measure(table).maximum > shown:
        name = table.columns[0]
        name.max_width = _NAME_WIDTH_MIN
        name.max_width += max(0, shown - console.measure(table).maximum)
    console.width = console.measure(table).maximum
    console.print(table)


def new_table(*columns: str, names: int = 1) -> "Table":
    """Return an empty table: the first columns, ``names``, to the left, numbers to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        if place < names:
            table.add_column(column, justify="left", overflow="fold")
        else:
            table.add_column(column, justify="right", no_wrap=True)
    return table


def short(number: float) -> str:
    """Write a number for people: four digits.

    >>> short(0.123456), short(float("nan")), short(float("inf"))
    ('0.1235', '-', 'inf')
    """
    return "-" if isnan(number) else f"{number:.4g}"


def exact(number: float) -> float | str | None:
    """Write a number for JSON, which has neither NaN nor infinity.

    >>> exact(0.1), exact(float("nan")), exact(float("inf"))
    (0.1, None, 'inf')
    """
    if isnan(number):
        return None
    return str(number) if isinf(number) else number
