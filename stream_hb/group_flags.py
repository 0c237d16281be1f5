"""What a record must say of its group besides its numbers."""

import numpy as np
from numpy.typing import NDArray

from stream_hb.metrics import METRICS, OF_MONEY
from stream_hb.moment import Moment
from stream_hb.settings import EngineSettings
from stream_hb.statistics.columns import Rows
from stream_hb.statistics.moments import Moments
from stream_hb.view import View

Mask = NDArray[np.bool_]

CLAMPED_SHARE = 0.001
"""Share of a group's orders above the cap beyond which its records are flagged ``clamped``: a cap
at the 99.9th percentile is meant to hold so many."""

NO_VARIANCE = 1e-10
"""Variance of the logs of a group's order values below which they are taken as all alike."""

TOMBSTONE_NOTICE_MS = 7 * 86_400_000
"""How long before its store retires a record says so."""


def group_flags(
    view: View, metric: str, rows: Rows, moment: Moment, settings: EngineSettings
) -> list[tuple[str, ...]]:
    """Return the flags of each of the groups, of those that are one group's own."""
    flags: list[tuple[str, ...]] = [()] * len(rows)
    for name, raised in _raised(view, metric, rows, moment, settings).items():
        for place in np.flatnonzero(raised).tolist():
            flags[place] += (name,)
    return flags


def _raised(
    view: View, metric: str, rows: Rows, moment: Moment, settings: EngineSettings
) -> dict[str, Mask]:
    incidents = view.incidents(rows)
    since_ms = max(moment.watermark_ms - settings.time.horizon_ms, 0)
    raised = {
        "late_data": incidents.late_ms > since_ms,
        "mixed_currency": incidents.currency_ms > since_ms,
        "tombstone_pending": view.retires(rows, moment.now_ms + TOMBSTONE_NOTICE_MS),
    }
    if metric in OF_MONEY:
        raised["no_variance"] = _without_variance(view, rows)
        if settings.money.cap_minor is not None:
            raised["clamped"] = _clamped(view, rows)
    if moment.srm:
        raised["srm"] = np.array([key in moment.srm for key in view.keys(rows)], bool)
    return raised


def _without_variance(view: View, rows: Rows) -> Mask:
    """Tell which groups have two orders or more that are all of one value."""
    values = METRICS["log_order_value"].seen(view.kept("log_order_value", rows, None).statistic)
    assert isinstance(values, Moments)
    alike: Mask = (values.weight > 1.5) & (values.variance() < NO_VARIANCE)
    return alike


def _clamped(view: View, rows: Rows) -> Mask:
    orders = view.order_tallies(rows)
    clamped: Mask = orders.capped > CLAMPED_SHARE * orders.orders
    return clamped
