"""Slots: which of a group's workers a process is. Two holders of one would fence each other."""

import fcntl
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from stream_hb.errors import SlotError

SLOTS_MAX = 1024
OWN_SLOT = "Give every worker a slot of its own (--slot)"


@dataclass(frozen=True, slots=True)
class HeldSlot:
    """A slot that is this process's as long as the file is open.

    Attributes
    ----------
    number
        The slot.
    lock
        The locked file.
    """

    number: int
    lock: TextIO


def held_slot(group_id: str, number: int | None = None, folder: Path | None = None) -> HeldSlot:
    """Take a slot: the one that is named, else the lowest that no process on this host holds.

    Raises
    ------
    SlotError
        A process on this host holds it. Processes elsewhere are fenced by the broker.
    """
    place = folder or Path(tempfile.gettempdir())
    wanted = range(SLOTS_MAX) if number is None else [number]
    for each in wanted:
        lock = _locked(place / f"stream-hb-{_plain(group_id)}-{each}.lock")
        if lock is not None:
            return HeldSlot(each, lock)
    taken = "all slots are" if number is None else f"slot {number} is"
    raise SlotError(f"{taken} held by other workers of group {group_id!r} on this host")


def _locked(path: Path) -> TextIO | None:
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)
