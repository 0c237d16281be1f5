"""Slots: each worker of a host has one of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream_hb.errors import SlotError
from stream_hb.runtime.slots import HeldSlot, held_slot


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[..., HeldSlot]]:
    held: list[HeldSlot] = []

    def take(group: str, number: int | None = None) -> HeldSlot:
        held.append(held_slot(group, number, tmp_path))
        return held[-1]

    yield take
    for each in held:
        each.lock.close()


def test_workers_of_a_host_get_the_lowest_free_slots(hold: Callable[..., HeldSlot]) -> None:
    first, second = hold("g"), hold("g")
    assert (first.number, second.number) == (0, 1)
    first.lock.close()
    assert hold("g").number == 0


def test_groups_have_slots_of_their_own(hold: Callable[..., HeldSlot]) -> None:
    held = hold("g/1")
    assert hold("g/2").number == held.number == 0


def test_a_slot_that_is_held_is_refused(hold: Callable[..., HeldSlot]) -> None:
    held = hold("g", 4)
    assert held.number == 4
    with pytest.raises(SlotError, match="slot 4 is held by other workers of group 'g'"):
        hold("g", 4)
