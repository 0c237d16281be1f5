"""The alphabet of identifiers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_hb.events.identifiers import (
    MalformedError,
    StoreCodes,
    is_identifier,
    only_identifier_characters,
)


@given(st.lists(st.text(min_size=1, max_size=64) | st.from_regex(r"[\w.:-]{1,64}", fullmatch=True)))
def test_many_at_once_are_judged_as_each_alone(texts: list[str]) -> None:
    assert only_identifier_characters(texts) == all(map(is_identifier, texts))


def test_a_store_keeps_the_code_it_got_first() -> None:
    codes = StoreCodes()
    assert codes.of(["a", "b", "a"], ["s", "s", "t"]).tolist() == [0, 1, 2]
    assert codes.of(["a", "a"], ["t", "s"]).tolist() == [2, 0]
    assert codes.known == [("a", "s"), ("b", "s"), ("a", "t")]


def test_a_store_without_chain_is_not_a_store_of_a_chain() -> None:
    codes = StoreCodes()
    assert codes.of([None], ["s"]).tolist() != codes.of(["a"], ["s"]).tolist()
    assert codes.known == [(None, "s"), ("a", "s")]


@pytest.mark.parametrize(
    ("chains", "stores"),
    [(["a b"], ["s"]), ([None], ["s 1"]), (["a", "b"], ["s", ""]), (["é", None], ["s", "s"])],
)
def test_a_malformed_part_is_an_error_however_often_it_comes(
    chains: list[str | None], stores: list[str]
) -> None:
    codes = StoreCodes()
    for _ in range(2):
        with pytest.raises(MalformedError):
            codes.of(chains, stores)
