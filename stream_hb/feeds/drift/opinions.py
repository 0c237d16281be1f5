"""Second opinions of river's detectors on the same innovations.

They are asked only when a record is written, over the innovations that are remembered: plain
numbers in the snapshot, no pickled detector, and the same verdict in every replay.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stream_hb.errors import UsageError, nearest
from stream_hb.feeds.drift.alerts import Opinion
from stream_hb.statistics.columns import Floats

NAMES = ("adwin", "page_hinkley")


def opinions(names: Sequence[str], innovations: Floats, last_tick: int) -> Mapping[str, Opinion]:
    """Return each detector's verdict on one store's innovations, oldest first.

    Parameters
    ----------
    innovations
        Standardised, of consecutive ticks that end with ``last_tick``; NaN where there was none.
        One NaN given to river's ADWIN or PageHinkley silences it for ever.

    Raises
    ------
    UsageError
        A name is unknown, or river is not installed.
    """
    return {name: _verdict(_detector(name), innovations, last_tick) for name in sorted(names)}


def need_river(names: Sequence[str]) -> None:
    """Raise where detectors are named and cannot be asked.

    An opinion is asked for at the first alert: a worker that found out then would end long after
    its start, and at that tick again after every other one.

    Raises
    ------
    UsageError
        A name is unknown, or river is not installed.
    """
    for name in names:
        _detector(name)


def _verdict(detector: Any, innovations: Floats, last_tick: int) -> Opinion:
    for back, z in zip(range(len(innovations) - 1, -1, -1), innovations.tolist(), strict=True):
        if np.isfinite(z):
            detector.update(z)
            if detector.drift_detected:
                return Opinion(drift=True, at_tick=last_tick - back)
    return Opinion(drift=False)


def _detector(name: str) -> Any:
    try:
        from river.drift import ADWIN, PageHinkley
    except ImportError as error:
        raise UsageError(
            "second opinions need river: pip install 'stream-hb[river]', "
            "or leave drift's `opinions` empty"
        ) from error
    if name == "page_hinkley":
        return PageHinkley(min_instances=7, delta=0.25, threshold=15.0)
    if name == "adwin":
        adwin: Any = ADWIN
        return adwin(clock=1, grace_period=5)
    raise UsageError(f"no second opinion {name!r}; {nearest(name, NAMES)}")
