"""The alphabet of identifiers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_hb.events.identifiers import (
    MalformedError,
    StoreKeys,
    is_identifier,
    only_identifier_characters,
)


@given(st.lists(st.text(min_size=1, max_size=64) | st.from_regex(r"[\w.:-]{1,64}", fullmatch=True)))
def test_many_at_once_are_judged_as_each_alone(texts: list[str]) -> None:
    assert only_identifier_characters(texts) == all(map(is_identifier, texts))


def test_events_of_a_store_share_one_key() -> None:
    keys = StoreKeys(100)
    (first,) = keys.of(["chain-1"], ["".join(["store-", "01"])])
    (second,) = keys.of(["chain-1"], ["".join(["store-", "01"])])
    assert first is second


@pytest.mark.parametrize(
    ("chains", "stores"),
    [(["a b"], ["s"]), ([None], ["s 1"]), (["a", "b"], ["s", ""]), (["é", None], ["s", "s"])],
)
def test_a_malformed_part_is_an_error_however_often_it_comes(
    chains: list[str | None], stores: list[str]
) -> None:
    keys = StoreKeys(100)
    for _ in range(2):
        with pytest.raises(MalformedError):
            keys.of(chains, stores)
