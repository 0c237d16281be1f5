"""Ids as keyed 64-bit numbers: equal in every process, not to be chosen from outside.

Multilinear hashing (Lemire & Kaser 2014, doi:10.1093/comjnl/bxt070): the text's bytes as 32-bit
characters s₁…s_m, h = ⌊(k₀ + Σ kᵢsᵢ mod 2⁶⁴) / 2³²⌋ with random 64-bit k, is strongly universal:
two different texts collide with probability 2⁻³², whoever chose them, as long as k is secret. Two
such hashes with keys of their own make 64 bits. Among n ids the chance of any collision is at most
n²/2⁶⁵: 2.7e-6 for ten million.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import cast

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

CHARACTERS = 16
"""32-bit characters of the longest id, 64 bytes; longer texts are digested first."""

_BYTES = 4 * CHARACTERS
_MIX = np.uint64(0x9E3779B97F4A7C15)
_CURRENCY = np.uint64(0xD1B54A32D192ED03)
_LOW = np.uint64(0xFFFFFFFF)


class IdHash:
    """Hashes ids.

    Parameters
    ----------
    key
        1 to 64 bytes; secret where others choose the ids.

    Examples
    --------
    >>> one, other = IdHash(b"one"), IdHash(b"other")
    >>> bool(one.of(["v1"]) == one.of(["v0", "v1", None])[1])
    True
    >>> bool(one.of(["v1"]) == other.of(["v1"])), one.of([None])
    (False, array([0], dtype=uint64))
    """

    def __init__(self, key: bytes) -> None:
        self._words = np.array([_random_words(key, half) for half in (b"high", b"low")])

    def of(self, texts: Sequence[str | None]) -> Hashes:
        """Return the hash of every text, 0 for None and for nothing else."""
        missing = texts.count(None)
        if missing:
            # Empty texts are labels that say nothing, but they are texts: they hash to k₀.
            hashes = self._of_texts([text or "" for text in texts])
            hashes[[text is None for text in texts]] = 0
            return hashes
        return self._of_texts(cast("Sequence[str]", texts))

    def _of_texts(self, texts: Sequence[str]) -> Hashes:
        characters = _characters(texts).T.astype(np.uint64)
        keys = self._words[:, 1 : len(characters) + 1]
        high, low = keys @ characters + self._words[:, :1]
        hashes: Hashes = (high & ~_LOW) | (low >> np.uint64(32))
        hashes[hashes == 0] = 1
        return hashes


def _characters(texts: Sequence[str]) -> NDArray[np.uint32]:
    """Return the texts' bytes as 32-bit characters, padded with zeros, which add nothing."""
    together = "".join(texts)
    if together.isascii():
        return _padded(together.encode(), texts)
    raws = [text.encode() for text in texts]
    return _padded(b"".join(raws), raws)


def _padded(together: bytes, texts: Sequence[str | bytes]) -> NDArray[np.uint32]:
    """Return a row for each text; ``together`` are their bytes, one after the other."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    longest = int(lengths.max(initial=1))
    if longest > _BYTES:
        short = [_shortened(text) for text in texts]
        return _padded(b"".join(short), short)
    rows = np.zeros((len(texts), 4 * -(-longest // 4)), np.uint8)
    raw = np.frombuffer(together, np.uint8)
    if len(raw) == rows.shape[0] * longest:  # all as long as each other, as ids mostly are
        rows[:, :longest] = raw.reshape(-1, longest)
    else:
        rows[np.arange(rows.shape[1]) < lengths[:, None]] = raw
    return rows.view(np.uint32)


def _shortened(text: str | bytes) -> bytes:
    raw = text if isinstance(text, bytes) else text.encode()
    return raw if len(raw) <= _BYTES else blake2b(raw, digest_size=31).hexdigest().encode()


@lru_cache(maxsize=16)
def _random_words(key: bytes, person: bytes) -> Hashes:
    """Return k₀…k_16 as the key's digests."""
    words = [
        int.from_bytes(blake2b(bytes([place]), digest_size=8, key=key, person=person).digest())
        for place in range(CHARACTERS + 1)
    ]
    return np.array(words, np.uint64)


def group_hash(chain: str, store: str, key: bytes) -> int:
    """Return a group's 64-bit hash.

    >>> group_hash("c", "s1", b"k") == group_hash("c", "s1", b"k") != group_hash("cs", "1", b"k")
    True
    """
    digest = blake2b(f"{chain}|{store}".encode(), digest_size=8, key=key, person=b"group")
    return int.from_bytes(digest.digest())


def scoped(hashes: Hashes, groups: Hashes) -> Hashes:
    """Return the keys under which ids of groups are remembered, never 0.

    The group's hash is added before the product: equal ids of two groups, whose hashes are as
    good as random, are as far apart as any two ids.
    """
    keys = (hashes + groups) * _MIX
    keys[keys == 0] = _MIX
    return keys


def in_currency(keys: Hashes, currencies: NDArray[np.int64]) -> Hashes:
    """Return the keys of orders by their currencies' numbers, never 0; those of 0 stay.

    Equal ids in two currencies are two orders. Their keys lie a distance apart that is known, as
    any two ids do with a chance of 2^-64 only.

    >>> keys = np.array([5, 5], np.uint64)
    >>> made = in_currency(keys, np.array([0, 7]))
    >>> made == keys, without_currency(made, np.array([0, 7]))
    (array([ True, False]), array([5, 5], dtype=uint64))
    """
    if not currencies.any():
        return keys
    made: Hashes = keys + currencies.astype(np.uint64) * _CURRENCY
    made[made == 0] = _CURRENCY
    return made


def without_currency(keys: Hashes, currencies: NDArray[np.int64]) -> Hashes:
    """Return the keys that :func:`in_currency` was given."""
    if not currencies.any():
        return keys
    plain: Hashes = keys - currencies.astype(np.uint64) * _CURRENCY
    return plain
