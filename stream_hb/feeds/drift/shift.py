"""Chain shift: many stores at once in one direction are one thing to be told of, not many."""

from dataclasses import dataclass

from stream_hb.feeds.drift.columns import Bools
from stream_hb.feeds.drift.settings import DriftSettings


@dataclass(frozen=True, slots=True)
class Shift:
    """What one direction's stores say together.

    Attributes
    ----------
    peers
        Stores that fire in this direction.
    share
        Of the stores that are tested.
    on, off
        Whether it is the chain that shifts, and whether it certainly no longer is.
    """

    peers: int
    share: float
    on: bool
    off: bool


def shift(fires: Bools, tested: Bools, settings: DriftSettings) -> Shift:
    """Judge one direction.

    >>> import numpy as np
    >>> half = np.arange(20) < 8
    >>> shift(half, half | True, DriftSettings()).on, shift(half, half | True, DriftSettings()).off
    (True, False)
    """
    peers = int(fires.sum())
    share = peers / max(int((tested | fires).sum()), 1)
    on = share >= settings.shift_share and peers >= settings.shift_stores_min
    return Shift(peers, share, on, share < settings.shift_share / 2)
