"""The stores table in the engine: what is known of a group beforehand."""

import numpy as np

from stream_hb.stores import NEVER_MS, Stores

KEYS = [("c", "a"), ("c", "b"), ("d", "a"), ("d", "x")]
STORES = Stores.of(
    KEYS,
    regions=np.array([0, -1, 1, 0]),
    retired_ms=np.array([NEVER_MS, 1_000, NEVER_MS, NEVER_MS]),
    covariates={
        "size": np.array([1.0, 3.0, 10.0, np.nan]),
        "f=b": np.array([0.0, np.nan, 1.0, 1.0]),
        "none": np.full(4, np.nan),
    },
    columns_of={"size": ("size",), "f": ("f=b",), "none": ("none",), "empty": ()},
)


def test_a_store_is_known_by_chain_and_name() -> None:
    assert STORES.places([("d", "a"), ("c", "x"), ("c", "a")]).tolist() == [2, -1, 0]


def test_what_is_not_known_of_a_store_is_the_mean_of_its_chain() -> None:
    places = STORES.places([("d", "x"), ("d", "unknown"), ("d", "a")])
    assert STORES.covariates_at(places, "d", ["size", "f"]).tolist() == [[10, 1], [10, 1], [10, 1]]
    places = STORES.places([("c", "a"), ("c", "unknown"), ("c", "b")])
    assert STORES.covariates_at(places, "c", ["f", "size"]).tolist() == [[0, 1], [0, 2], [0, 3]]


def test_a_chain_without_a_store_in_the_table_has_the_mean_of_all() -> None:
    places = STORES.places([("other", "a")])
    assert STORES.covariates_at(places, "other", ["size"]).tolist() == [[14 / 3]]


def test_a_column_that_tells_nothing_shifts_nothing() -> None:
    places = STORES.places(KEYS)
    assert STORES.covariates_at(places, "c", ["none", "empty"]).tolist() == [[0.0]] * 4


def test_a_region_that_is_not_known_is_minus_one() -> None:
    places = STORES.places([*KEYS, ("c", "unknown")])
    assert STORES.regions_at(places).tolist() == [0, -1, 1, 0, -1]


def test_a_store_is_retired_from_its_time_on() -> None:
    places = STORES.places([*KEYS, ("c", "unknown")])
    assert not STORES.retired_at(places, 999).any()
    assert STORES.retired_at(places, 1_000).tolist() == [False, True, False, False, False]
