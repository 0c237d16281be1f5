"""What operators said, until the tick in which they said it is closed."""

from collections.abc import Callable
from typing import NamedTuple

from stream_hb.events.schema import Accept

CONTROLS_MAX = 500
"""Most that wait in a shard: all of them stand in one record, with every transaction, so that the
longest of them must fit into it."""


class Control(NamedTuple):
    """An operator accepts a store's present level.

    Attributes
    ----------
    tick
        Of the store, in which it was said.
    chain, store
        Whose level. A store that nobody knows is no new group: it might be misspelt.
    control_id
        What repetitions are recognised by.
    time_ms
        When it was said.
    metric
        Empty: all.
    reason
        For people.
    """

    tick: int
    chain: str
    store: str
    control_id: str
    time_ms: int
    metric: str = ""
    reason: str = ""

    @property
    def name(self) -> tuple[str, str, str]:
        """What is the same in repetitions."""
        return self.chain, self.store, self.control_id


Controls = tuple[Control, ...]
"""Ascending; of one name there is one: of contradictory repetitions the earliest."""


class Waiting(NamedTuple):
    """What a shard knows of controls when more of them come.

    Attributes
    ----------
    known
        Those that wait.
    closed
        Ticks before this one are closed.
    tick_of
        Returns the tick of a time in a store of a chain.
    """

    known: Controls
    closed: int
    tick_of: Callable[[str, str, int], int]

    def control(self, chain: str, store: str, accept: Accept) -> Control:
        """Return an event as what waits for its tick."""
        time_ms = accept.event_time_ms
        tick = self.tick_of(chain, store, time_ms)
        told = accept.metric or "", accept.reason or ""
        return Control(tick, chain, store, accept.control_id, time_ms, *told)


class Collected:
    """Collects what waits for its tick.

    Examples
    --------
    >>> collected = Collected(Waiting((Control(2, "c", "s", "x", 50),), 3, lambda *_: 0))
    >>> collected.refusal(Control(2, "c", "s", "y", 60))
    ('too_late', 'its tick is closed')
    >>> collected.refusal(Control(4, "c", "s", "y", 80)), len(collected.controls)
    (None, 1)
    """

    def __init__(self, waiting: Waiting) -> None:
        self._closed = waiting.closed
        self._found = {c.name: c for c in waiting.known if c.tick >= waiting.closed}

    def refusal(self, control: Control) -> tuple[str, str] | None:
        """Take a control, or say why not."""
        if control.tick < self._closed:
            return "too_late", "its tick is closed"
        known = self._found.get(control.name, control)
        if control.name not in self._found and len(self._found) >= CONTROLS_MAX:
            return "too_many_controls", f"{CONTROLS_MAX} wait for their tick already"
        self._found[control.name] = min(known, control)
        return None

    @property
    def controls(self) -> Controls:
        """All that wait then."""
        return tuple(sorted(self._found.values()))
