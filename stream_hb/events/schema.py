"""The input events as msgspec types: ``schemas/event_v1.json`` and ``control_v1.json``, by field.

Two things are not in the types because a regular expression an event costs a quarter of the
decoding: the alphabet of identifiers and currencies, which :mod:`stream_hb.events.identifiers`
checks for many events at once, and the rules between the fields of totals (:func:`inconsistency`).

An attribute that is None was absent, or null where the schema allows null. Fields that no feed
reads yet are here because a wrong one makes the event invalid.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct

SCHEMA_VERSION = 1

#: Longest reason of an operator: it travels in the alert's annotations.
REASON_CHARACTERS = 256

#: Default of a field that may be absent but never null: msgspec does not check defaults against
#: the type, so ``str`` refuses null while an absent field still reads as None.
ABSENT: Any = None

Version = Annotated[int, Meta(ge=SCHEMA_VERSION, le=SCHEMA_VERSION)]
EventId = Annotated[str, Meta(min_length=8, max_length=64)]
Identifier = Annotated[str, Meta(min_length=1, max_length=64)]
# A pattern costs a quarter of the decoding; in an experiment only where there is one.
Checked = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}\Z")]
Label = Annotated[str, Meta(max_length=64)]
Currency = Annotated[str, Meta(min_length=3, max_length=3)]
TimeMs = Annotated[int, Meta(ge=946_684_800_000, le=4_102_444_800_000)]
Revision = Annotated[int, Meta(ge=0, le=2_147_483_647)]
Count = Annotated[int, Meta(ge=0, le=10**12)]
# \Z, not $: Python's $ also matches before a final newline, the schema's does not.
CovariateName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}\Z")]
Covariates = Annotated[
    dict[CovariateName, Annotated[float, Meta(ge=-1e9, le=1e9)]], Meta(max_length=16)
]


class Experiment(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The arm that a unit was assigned to."""

    experiment_id: Checked
    arm: Checked


class Visit(Struct, frozen=True, gc=False, kw_only=True, tag_field="event_type", tag="visit"):
    """Somebody came into a store or opened a shop's page."""

    schema_version: Version
    event_id: EventId
    event_time_ms: TimeMs
    ingest_time_ms: TimeMs = ABSENT
    store_id: Identifier
    chain_id: Identifier = ABSENT
    visit_id: Identifier
    visitor_id: Label | None = None
    experiment: Experiment | None = None
    is_bot: bool = False
    source: Label | None = None
    covariates: Covariates = ABSENT


class Purchase(Struct, frozen=True, gc=False, kw_only=True, tag_field="event_type", tag="purchase"):
    """An order; a higher ``revision`` of the same order replaces the lower."""

    schema_version: Version
    event_id: EventId
    event_time_ms: TimeMs
    ingest_time_ms: TimeMs = ABSENT
    store_id: Identifier
    chain_id: Identifier = ABSENT
    visit_id: Identifier = ABSENT
    visitor_id: Label | None = None
    experiment: Experiment | None = None
    is_bot: bool = False
    source: Label | None = None
    covariates: Covariates = ABSENT
    order_id: Identifier
    amount_minor: Count
    currency: Currency
    units: Annotated[int, Meta(ge=1, le=100_000)] = ABSENT
    unit_price_minor: Annotated[int, Meta(ge=0, le=10**10)] | None = None
    revision: Revision = 0


class Refund(Struct, frozen=True, gc=False, kw_only=True, tag_field="event_type", tag="refund"):
    """Money given back for an order; the amount is positive."""

    schema_version: Version
    event_id: EventId
    event_time_ms: TimeMs
    ingest_time_ms: TimeMs = ABSENT
    store_id: Identifier
    chain_id: Identifier = ABSENT
    visit_id: Identifier = ABSENT
    visitor_id: Label | None = None
    experiment: Experiment | None = None
    is_bot: bool = False
    source: Label | None = None
    covariates: Covariates = ABSENT
    refund_id: Identifier
    order_id: Identifier
    amount_minor: Annotated[int, Meta(ge=1, le=10**12)]
    currency: Currency
    cancels_order: bool = False


class LogAmount(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Count, mean and sum of squared deviations of ln(amount_minor) over amounts > 0."""

    count: Count
    mean: Annotated[float, Meta(ge=-50.0, le=50.0)]
    m2: Annotated[float, Meta(ge=0.0, le=1e15)]


class Totals(Struct, frozen=True, gc=False, kw_only=True, tag_field="event_type", tag="totals"):
    """Counts of a period that someone else added up; absolute, the higher revision replaces."""

    schema_version: Version
    event_id: EventId
    event_time_ms: TimeMs
    ingest_time_ms: TimeMs = ABSENT
    store_id: Identifier
    chain_id: Identifier = ABSENT
    experiment: Experiment | None = None
    source: Annotated[str, Meta(min_length=1, max_length=64)]
    covariates: Covariates = ABSENT
    period_start_ms: TimeMs
    period_end_ms: TimeMs
    visits: Count
    conversions: Count = ABSENT
    orders: Count = ABSENT
    currency: Currency = ABSENT
    amount_minor_sum: Annotated[int, Meta(ge=0, le=10**15)] = ABSENT
    log_amount: LogAmount = ABSENT
    revision: Revision = 0


class Accept(Struct, frozen=True, gc=False, kw_only=True, tag_field="event_type", tag="accept"):
    """An operator's word: a store's present level is its own from now on (``control_v1.json``)."""

    schema_version: Version
    event_id: EventId
    event_time_ms: TimeMs
    ingest_time_ms: TimeMs = ABSENT
    store_id: Identifier
    chain_id: Identifier = ABSENT
    control_id: Identifier
    metric: Checked | None = None
    reason: Annotated[str, Meta(max_length=REASON_CHARACTERS)] | None = None


Event = Visit | Purchase | Refund | Totals | Accept


def inconsistency(totals: Totals) -> str:
    """Return what contradicts itself in the totals, empty where nothing does.

    The rules between fields that a JSON Schema cannot say: the period has a length, it was over
    when the totals were taken, and no part is greater than its whole.
    """
    orders, log_amount = totals.orders, totals.log_amount
    if totals.period_end_ms <= totals.period_start_ms:
        return f"period_end_ms {totals.period_end_ms} <= period_start_ms {totals.period_start_ms}"
    if totals.event_time_ms < totals.period_end_ms:
        return f"event_time_ms {totals.event_time_ms} < period_end_ms {totals.period_end_ms}"
    if totals.conversions is not None and totals.conversions > totals.visits:
        return f"conversions {totals.conversions} > visits {totals.visits}"
    if orders is not None and log_amount is not None and log_amount.count > orders:
        return f"log_amount.count {log_amount.count} > orders {orders}"
    return ""
