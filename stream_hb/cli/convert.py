"""``stream-hb convert``: a CSV table of your own as events."""

from datetime import UTC, datetime
from typing import Annotated

import typer

EXAMPLES = """\b
Examples:
  # a table of orders of 1997, one a row, taken for orders of 2017
  stream-hb convert orders.csv.gz --store shop --time date --time-format %Y%m%d \\
    --shift-days 7305 --amount usd --currency USD > orders.ndjson
  # a table of impressions: one visit a row, which converted or not
  stream-hb convert clicks.csv.gz --store campaign,item_id --time timestamp --converted click \\
    | stream-hb replay config/chain.yaml --events - --output out
"""


def convert(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="CSV, also .gz; - is stdin.")],
    store: Annotated[str, typer.Option(help="Column of the store; several with commas.")],
    chain: Annotated[str, typer.Option(help="Column of the chain; several with commas.")] = "",
    time: Annotated[str | None, typer.Option(help="Column of the time.")] = None,
    time_format: Annotated[str, typer.Option(help="iso, s, ms, or like %Y%m%d.")] = "iso",
    at: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Time where none is known."),
    ] = None,
    shift_days: Annotated[
        int, typer.Option(help="Days added to every time: events are of 2000 to 2100.")
    ] = 0,
    unsorted: Annotated[
        bool, typer.Option(help="Keep the table's order: for one too large for the memory.")
    ] = False,
    amount: Annotated[str | None, typer.Option(help="Column of the order's value.")] = None,
    currency: Annotated[str, typer.Option(help="Currency of the values (ISO 4217).")] = "XXX",
    converted: Annotated[
        str | None, typer.Option(help="Column that is 1 where a visit converted: rows are visits.")
    ] = None,
    order: Annotated[str | None, typer.Option(help="Column of the order id.")] = None,
    visit: Annotated[str | None, typer.Option(help="Column of the visit id.")] = None,
    visitor: Annotated[str | None, typer.Option(help="Column of the visitor id.")] = None,
    arm: Annotated[str | None, typer.Option(help="Column of the experiment's arm.")] = None,
    experiment: Annotated[str | None, typer.Option(help="Id of the experiment.")] = None,
) -> None:
    """Turn a CSV table into events (NDJSON), for `replay` or for a topic.

    A row with --amount is an order; with --converted it is a visit, and an order where the column
    is 1; with neither it is a visit. Orders and visits without an id are called after their row.
    """
    import msgspec

    from stream_hb.errors import UsageError
    from stream_hb.events.identifiers import is_currency, is_identifier
    from stream_hb.runtime.table_events import Columns, Reading, events, in_order

    if (time is None) == (at is None):
        raise UsageError("give one of --time (a column) and --at (a time for all rows)")
    if not is_currency(currency):
        raise UsageError(f"--currency: expected three capital letters like EUR, not {currency!r}")
    if (arm is None) != (experiment is None) or not is_identifier(experiment or "-"):
        raise UsageError("--arm (a column) needs --experiment (an id), and the other way round")
    columns = Columns(
        tuple(store.split(",")),
        tuple(filter(None, chain.split(","))),
        time,
        amount,
        converted,
        order,
        visit,
        visitor,
        arm,
    )
    at_ms = round(at.replace(tzinfo=UTC).timestamp() * 1000) if at else 0
    shift_ms = shift_days * 86_400_000
    reading = Reading(time_format, at_ms, currency, experiment, shift_ms)
    found = events(table, columns, reading)
    for event in found if unsorted else in_order(found):
        print(msgspec.json.encode(event).decode())
