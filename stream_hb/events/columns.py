"""Events as columns: a slice of structs becomes arrays, ids become hashes, stores and arms codes.

The memory of stores, arms and currencies only saves work: what a batch becomes does not depend on
earlier ones, but for the numbering.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import astuple

from stream_hb.events.batch import (
    Arm,
    Bools,
    ControlRows,
    Decoded,
    Hashes,
    Int64s,
    Objects,
    Purchases,
    Refunds,
    Texts,
    TotalsRows,
    Visits,
)
from stream_hb.events.id_hash import IdHash
from stream_hb.events.identifiers import (
    MalformedError,
    StoreCodes,
    is_currency,
    only_identifier_characters,
)
from stream_hb.events.schema import Accept, Experiment, Purchase, Refund, Totals, Visit

KNOWN_NAMES = 200_000
"""Chains, stores and arms after which the next batch begins a new memory of them."""

Fields = dict[str, tuple[Any, ...]]
"""The values of one field of every event, by the field's name."""


class Columns:
    """Makes the columns of events.

    Parameters
    ----------
    key
        Key of the ids' hash.
    """

    def __init__(self, key: bytes) -> None:
        self._hash = IdHash(key)
        self._currencies: set[str] = set()  # at most 26³
        self._begin()

    def _begin(self) -> None:
        self._stores = StoreCodes()
        self._arms: dict[Arm, int] = {}
        self._known_arms: list[Arm] = []
        # Most batches of a live feed have none of one kind or the other: made once.
        self._no_purchases: Purchases | None = None
        self._no_refunds: Refunds | None = None
        self._no_totals: TotalsRows | None = None
        self._no_controls: ControlRows | None = None

    def renewed(self) -> None:
        """Forget names if there are too many; codes of earlier batches keep their meaning."""
        if len(self._stores) + len(self._arms) >= KNOWN_NAMES:
            self._begin()

    def visits(self, events: Sequence[Visit], indexes: Int64s) -> Visits:
        """Return visits as columns; a MalformedError where an id is malformed."""
        f = _fields(Visit, events)
        _check(f["visit_id"])
        return Visits(**self._common(f, indexes), **self._session(f))

    def purchases(self, events: Sequence[Purchase], indexes: Int64s) -> Purchases:
        """Return purchases as columns; a MalformedError where an id is malformed."""
        if events:
            return self._purchases(events, indexes)
        if self._no_purchases is None:
            self._no_purchases = self._purchases(events, indexes)
        return self._no_purchases

    def _purchases(self, events: Sequence[Purchase], indexes: Int64s) -> Purchases:
        f = _fields(Purchase, events)
        _check(f["order_id"])
        _check(filter(None, f["visit_id"]))
        return Purchases(
            **self._common(f, indexes),
            **self._session(f),
            order_hash=self._hash.of(f["order_id"]),
            revision=np.array(f["revision"], np.int64),
            amount_minor=np.array(f["amount_minor"], np.int64),
            currencies=self._checked_currencies(f["currency"]),
        )

    def refunds(self, events: Sequence[Refund], indexes: Int64s) -> Refunds:
        """Return refunds as columns; a MalformedError where an id is malformed."""
        if events:
            return self._refunds(events, indexes)
        if self._no_refunds is None:
            self._no_refunds = self._refunds(events, indexes)
        return self._no_refunds

    def _refunds(self, events: Sequence[Refund], indexes: Int64s) -> Refunds:
        f = _fields(Refund, events)
        _check([*f["order_id"], *f["refund_id"], *filter(None, f["visit_id"])])
        return Refunds(
            **self._common(f, indexes),
            refund_hash=self._hash.of(f["refund_id"]),
            order_hash=self._hash.of(f["order_id"]),
            amount_minor=np.array(f["amount_minor"], np.int64),
            currencies=self._checked_currencies(f["currency"]),
            cancels_order=np.array(f["cancels_order"], np.bool_),
        )

    def totals(self, events: Sequence[Totals], indexes: Int64s) -> TotalsRows:
        """Return totals as columns; a MalformedError where an id is malformed."""
        if events:
            return self._totals(events, indexes)
        if self._no_totals is None:
            self._no_totals = self._totals(events, indexes)
        return self._no_totals

    def _totals(self, events: Sequence[Totals], indexes: Int64s) -> TotalsRows:
        f = _fields(Totals, events)
        self._checked_currencies([c for c in f["currency"] if c is not None])
        return TotalsRows(
            **self._common(f, indexes),
            source_hash=self._hash.of(f["source"]),
            arm_codes=self._arm_codes(f["experiment"]),
            arms=self._known_arms,
            totals=_objects(events),
        )

    def controls(self, events: Sequence[Accept], indexes: Int64s) -> ControlRows:
        """Return control events as columns; a MalformedError where an id is malformed."""
        if events:
            return self._controls(events, indexes)
        if self._no_controls is None:
            self._no_controls = self._controls(events, indexes)
        return self._no_controls

    def _controls(self, events: Sequence[Accept], indexes: Int64s) -> ControlRows:
        f = _fields(Accept, events)
        _check(f["control_id"])
        return ControlRows(**self._common(f, indexes), accepts=_objects(events))

    def _common(self, f: Fields, indexes: Int64s) -> dict[str, Any]:
        return {
            "store_codes": self._stores.of(f["chain_id"], f["store_id"]),
            "known_stores": self._stores.known,
            "event_time_ms": np.array(f["event_time_ms"], np.int64),
            "ingest_time_ms": _numbers(f["ingest_time_ms"]),
            "indexes": indexes,
        }

    def _session(self, f: Fields) -> dict[str, Any]:
        return {
            "visit_hash": self._hashes(f["visit_id"]),
            "visitor_hash": self._hashes(f["visitor_id"]),
            "arm_codes": self._arm_codes(f["experiment"]),
            "arms": self._known_arms,
            "is_bot": _marks(f["is_bot"]),
        }

    def _hashes(self, texts: tuple[str | None, ...]) -> Hashes:
        # Few logs name visitors: to count them costs nothing beside hashing.
        if texts.count(None) == len(texts):
            return np.zeros(len(texts), np.uint64)
        return self._hash.of(texts)

    def _arm_codes(self, experiments: tuple[Experiment | None, ...]) -> Int64s:
        if experiments.count(None) == len(experiments):
            return np.full(len(experiments), -1)
        return np.array([-1 if e is None else self._arm(e) for e in experiments], np.int64)

    def _arm(self, experiment: Experiment) -> int:
        arm = (experiment.experiment_id, experiment.arm)
        code = self._arms.setdefault(arm, len(self._arms))
        if code == len(self._known_arms):
            self._known_arms.append(arm)
        return code

    def _checked_currencies(self, currencies: Sequence[str]) -> Texts:
        unknown = set(currencies) - self._currencies
        if not all(map(is_currency, unknown)):
            raise MalformedError
        self._currencies |= unknown
        return np.array(currencies, "U3")


def joined(
    parts: Sequence[Decoded],
) -> tuple[Visits, Purchases, Refunds, TotalsRows, ControlRows]:
    """Put the events of consecutive slices, at least one, together by type."""
    of_kinds = zip(*(part.events for part in parts), strict=True)
    visits, purchases, refunds, totals, controls = of_kinds
    return (
        Visits.joined(visits),
        Purchases.joined(purchases),
        Refunds.joined(refunds),
        TotalsRows.joined(totals),
        ControlRows.joined(controls),
    )


def _fields(kind: type[Struct], events: Sequence[Struct]) -> Fields:
    """Transpose structs of one kind: one pass for all fields is quicker than one for each."""
    names = kind.__struct_fields__
    if not events:
        return dict.fromkeys(names, ())
    return dict(zip(names, zip(*map(astuple, events), strict=True), strict=True))


def _objects(events: Sequence[Struct]) -> Objects:
    rows = np.empty(len(events), np.object_)
    rows[:] = events
    return rows


def _numbers(values: tuple[int | None, ...]) -> Int64s:
    if values.count(None) == len(values):
        return np.zeros(len(values), np.int64)
    return np.array([value or 0 for value in values], np.int64)


def _marks(values: tuple[bool, ...]) -> Bools:
    if True not in values:
        return np.zeros(len(values), np.bool_)
    return np.array(values, np.bool_)


def _check(identifiers: Any) -> None:
    if not only_identifier_characters(identifiers):
        raise MalformedError
