from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_hb.events import arm_sets
from stream_hb.events.arm_sets import MOST_ARMS, NO_ARMS, ArmSets

ARMS = [("e", "a"), ("e", "b"), ("f", "a"), ("f", "c")]


def numbers(*values: int) -> Any:
    return np.array(values, np.int64)


@given(named=st.lists(st.integers(0, 3), min_size=1, max_size=6), random=st.randoms())
def test_the_order_of_naming_does_not_matter(named: list[int], random: Any) -> None:
    sets = ArmSets()
    told = []
    for _ in range(2):
        random.shuffle(named)
        together = numbers(NO_ARMS)
        for code in named:
            together = sets.union(together, numbers(0), sets.of(numbers(code), ARMS))
        told.append(sets.known[together[0]])
    assert told[0] == told[1] == tuple(sorted({ARMS[code] for code in named}))


def test_of_more_arms_than_a_set_holds_the_first_by_name_are_kept() -> None:
    many = [("e", f"{number:03}") for number in range(3 * MOST_ARMS)]
    kept = set()
    for order in (many, many[::-1]):
        sets, together = ArmSets(), numbers(NO_ARMS)
        for code in range(len(order)):
            together = sets.union(together, numbers(0), sets.of(numbers(code), order))
        kept.add(sets.known[together[0]])
    assert kept == {tuple(many[:MOST_ARMS])}


def test_an_arm_beyond_the_most_sets_is_left_out_and_counted(monkeypatch: Any) -> None:
    monkeypatch.setattr(arm_sets, "MOST_SETS", 2)
    sets = ArmSets()
    assert sets.of(numbers(0, 1, 2, -1), ARMS).tolist() == [0, 1, NO_ARMS, NO_ARMS]
    assert sets.union(numbers(0), numbers(0), numbers(1)).tolist() == [0]
    assert sets.left_out == 2


def test_sets_come_apart_by_experiment() -> None:
    sets = ArmSets([tuple(ARMS), (("e", "b"),)])
    places, experiments, parts = sets.by_experiment(numbers(1, NO_ARMS, 0, 1))
    assert places.tolist() == [0, 2, 2, 3]
    assert [sets.known[part] for part in parts] == [
        (("e", "b"),),
        (("e", "a"), ("e", "b")),
        (("f", "a"), ("f", "c")),
        (("e", "b"),),
    ]
    assert experiments[0] == experiments[1] == experiments[3] != experiments[2]


def test_ranks_are_by_name_and_hashes_do_not_depend_on_numbers() -> None:
    one, other = ArmSets(), ArmSets()
    mine = one.of(numbers(0, 1, 2, 3, -1), ARMS)
    theirs = other.of(numbers(3, 2, 1, 0, -1), ARMS[::-1])
    assert one.ranks(mine).tolist() == [0, 1, 2, 3, -1]
    assert other.ranks(theirs).tolist() == [0, 1, 2, 3, -1]
    reversed_ = other.of(numbers(3, 2, 1, 0, -1), ARMS[::-1])
    assert (one.hashes(mine) == other.hashes(reversed_)).all()
    assert one.hashes(numbers(-1)).tolist() == [0]
