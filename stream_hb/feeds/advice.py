"""Whether to act on an estimate, and on which number."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from stream_hb.errors import UsageError
from stream_hb.feeds.estimate_record import Estimate

Bound = Literal["lower", "upper"]

DATA_AGE_MS_MAX = 20 * 60_000
"""Oldest data that is acted on unless the caller says otherwise: the default lateness of ten
minutes, by which every watermark lags, the five of ``stale_input``, and some heartbeats."""

REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "cold_start": "the store has no data of its own yet, the estimate is its chain's",
        "srm": "an experiment's arms do not have the shares that they should, so its data mislead",
        "not_converged": "the fit of its chain did not converge",
    }
)
"""The flags that nobody may act on, and why."""


@dataclass(frozen=True, slots=True)
class Current:
    """An estimate at a reading of the clock.

    Attributes
    ----------
    estimate
        The newest record.
    age_ms
        How long ago it was written.
    missed
        Records of this key that never came; this one is newer than they are.
    """

    estimate: Estimate
    age_ms: int
    missed: int

    @property
    def data_age_ms(self) -> int:
        """How old the newest data may be that it rests on: its staleness and its age."""
        return self.estimate.staleness_ms + self.age_ms


@dataclass(frozen=True, slots=True)
class Advice:
    """A number to act on, or why not to.

    Attributes
    ----------
    value
        The interval's bound; None: do not act.
    reasons
        Why not, in words; empty where there is a value.
    estimate
        The estimate; None where there is none.
    """

    value: float | None
    reasons: tuple[str, ...]
    estimate: Estimate | None

    @property
    def reason(self) -> str:
        """All reasons in one line."""
        return "; ".join(self.reasons)


def advise(current: Current, bound: Bound, data_age_ms_max: int = DATA_AGE_MS_MAX) -> Advice:
    """Return the bound of an estimate to act on, or why nobody should.

    The bound and not the mean: a store of which little is known has a wide interval, and its bound
    is the careful number by itself.

    Raises
    ------
    UsageError
        There is no such bound.
    """
    if bound not in ("lower", "upper"):
        raise UsageError(f"expected bound 'lower' or 'upper', got {bound!r}")
    estimate = current.estimate
    reasons = [f"{why} ({flag})" for flag, why in REFUSED.items() if flag in estimate.flags]
    if current.data_age_ms > data_age_ms_max:
        ages = f"{_age(current.data_age_ms)} old, more than {_age(data_age_ms_max)}"
        reasons.append(f"its data are {ages}")
    if reasons:
        return Advice(None, tuple(reasons), estimate)
    interval = estimate.interval
    return Advice(interval.lo if bound == "lower" else interval.hi, (), estimate)


def _age(milliseconds: int) -> str:
    """Write an age for people.

    >>> _age(4_200_000), _age(4 * 3_600_000), _age(220_000_000_000)
    ('70 min', '4 h', '2,546 days')
    """
    minutes = milliseconds / 60_000
    if minutes < 180:
        return f"{minutes:.3g} min"
    return f"{minutes / 60:.3g} h" if minutes < 72 * 60 else f"{minutes / 1440:,.0f} days"
