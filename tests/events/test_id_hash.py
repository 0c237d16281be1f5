"""Keyed hashes of ids: the formula, in plain integers, and what a key is for."""

from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_hb.events.id_hash import IdHash, group_hash, scoped

KEY = b"secret"
ids = st.text(st.characters(codec="ascii", exclude_characters="\x00"), min_size=1, max_size=64)


def plain(text: str, key: bytes) -> int:
    """Multilinear hashing by its formula: two halves of floor((k0 + sum k s mod 2^64) / 2^32)."""
    raw = text.encode()
    raw += b"\0" * (-len(raw) % 4)
    characters = [int.from_bytes(raw[at : at + 4], "little") for at in range(0, len(raw), 4)]
    halves = []
    for person in (b"high", b"low"):
        words = [
            int.from_bytes(
                blake2b(bytes([at]), digest_size=8, key=key, person=person).digest(), "big"
            )
            for at in range(len(characters) + 1)
        ]
        total = words[0] + sum(k * s for k, s in zip(words[1:], characters, strict=True))
        halves.append(total % 2**64 >> 32)
    return (halves[0] << 32 | halves[1]) or 1


@given(texts=st.lists(ids, min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_it_is_the_formula_whatever_the_other_texts(texts: list[str]) -> None:
    assert IdHash(KEY).of(texts).tolist() == [plain(text, KEY) for text in texts]


def test_none_is_zero_and_nothing_else_is() -> None:
    assert (IdHash(KEY).of(["a", None, ""]) == 0).tolist() == [False, True, False]
    assert IdHash(KEY).of([None]).tolist() == [0]
    assert len(IdHash(KEY).of([])) == 0


@pytest.mark.parametrize("text", ["é", "x" * 65, "😀" * 64])
def test_any_text_has_a_hash(text: str) -> None:
    one, other = IdHash(KEY).of([text, text + "y"])
    assert one != other
    assert IdHash(KEY).of(["a", text])[1] == one


def test_a_hundred_thousand_ids_do_not_collide() -> None:
    hashes = IdHash(KEY).of([f"visit-{number}" for number in range(100_000)])
    assert len(np.unique(hashes)) == 100_000
    for bits in (np.uint64(32), np.uint64(0)):  # either half is spread: 100,000²/2³³ pairs expected
        half = hashes >> bits & np.uint64(0xFFFFFFFF)
        assert len(np.unique(half)) > 100_000 - 20


def test_ids_that_collide_under_one_key_do_not_under_another() -> None:
    """Whoever knows the key can choose ids that begin alike; a new key parts them."""
    chosen = [f"v{number}" for number in range(200_000)]
    buckets = IdHash(KEY).of(chosen) >> np.uint64(52)
    flood = [text for text, bucket in zip(chosen, buckets.tolist(), strict=True) if bucket == 7]
    assert len(flood) > 30
    spread = np.unique(IdHash(b"another").of(flood) >> np.uint64(52))
    assert len(spread) > 0.9 * len(flood)


def test_an_id_of_two_groups_is_two_keys() -> None:
    groups = np.array([group_hash("c", store, KEY) for store in ("a", "b")], np.uint64)
    one, other = scoped(np.repeat(IdHash(KEY).of(["v1"]), 2), groups)
    assert one != other
