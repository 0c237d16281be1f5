"""Chain shift: many stores at once in one direction are one thing to be told of, not many.

The chain's offset follows a part of its stores: where half of them rise by 2δ, they seem to rise by
δ and the others to fall by as much. So it is one shift, in the direction of the more stores, and
while it lasts the alerts of single stores are held that its other side would raise too.
"""

from dataclasses import dataclass

from stream_hb.feeds.drift.columns import Bools
from stream_hb.feeds.drift.settings import DriftSettings


@dataclass(frozen=True, slots=True)
class Shift:
    """What one direction's stores say together.

    Attributes
    ----------
    peers
        Stores that lean this way.
    share
        Of the stores that are tested.
    on, off
        Whether it is the chain that shifts, and whether it certainly no longer is.
    part
        Enough stores lean this way to be the other side of a shift.
    """

    peers: int
    share: float
    on: bool
    off: bool
    part: bool


def shifts(up: Bools, down: Bools, tested: Bools, settings: DriftSettings) -> tuple[Shift, Shift]:
    """Judge both directions, by the stores that lean up and those that lean down.

    >>> import numpy as np
    >>> stores = np.arange(20)
    >>> [one.on for one in shifts(stores < 8, stores > 12, stores >= 0, DriftSettings())]
    [True, False]
    """
    above, below = _shift(up, tested, settings), _shift(down, tested, settings)
    return _if_larger(above, below.share), _if_larger(below, above.share, or_equal=False)


def _shift(leaning: Bools, tested: Bools, settings: DriftSettings) -> Shift:
    peers = int((leaning & tested).sum())
    share = peers / max(int(tested.sum()), 1)
    on = share >= settings.shift_share and peers >= settings.shift_stores_min
    half = settings.shift_share / 2
    return Shift(peers, share, on, share < half, share >= half)


def _if_larger(one: Shift, other_share: float, or_equal: bool = True) -> Shift:
    larger = one.share > other_share or (or_equal and one.share == other_share)
    return Shift(one.peers, one.share, one.on and larger, one.off, one.part)
