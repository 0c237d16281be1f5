"""The uniform numbers that randomise PITs: hashed, so that a replay draws the same ones.

A random generator's would depend on the order in which groups are scored, and on the process.
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from stream_hb.events.id_hash import IdHash
from stream_hb.statistics.columns import Floats

_HASH = IdHash(b"stream_hb calibration")
"""Not secret: whoever chooses a store's id gains nothing by choosing its draws."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def uniforms(keys: Sequence[str], pool: str, metric: str, end_ms: int) -> Floats:
    """Return a number in (0, 1) for each group's tick of a pool and metric.

    Examples
    --------
    >>> one = uniforms(["s1", "s2"], "main", "conversion", 3_600_000)
    >>> one.round(6)
    array([0.221383, 0.361598])
    >>> bool((uniforms(["s2", "s1"], "main", "conversion", 3_600_000)[::-1] == one).all())
    True
    """
    words = _HASH.of(keys) ^ _salt(pool, metric, end_ms)
    # Ids' hashes are only told apart by design; mixed, every bit depends on every other.
    mixed = _mixed(_mixed(words + _GOLDEN) + _GOLDEN)
    out: Floats = ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return out


def _salt(pool: str, metric: str, end_ms: int) -> np.uint64:
    told = f"{len(pool)}:{pool}{metric}@{end_ms}".encode()
    return np.uint64(int.from_bytes(blake2b(told, digest_size=8).digest(), "little"))


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the finaliser of SplitMix64 (Steele, Lea & Flood 2014, 10.1145/2714064.2660195)."""
    x = (x ^ (x >> np.uint64(30))) * _FIRST
    x = (x ^ (x >> np.uint64(27))) * _SECOND
    return x ^ (x >> np.uint64(31))
