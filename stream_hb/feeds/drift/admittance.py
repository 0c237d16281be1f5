"""Which ticks are taken: each once, in order, and a leap of the clock only when it is confirmed."""

from enum import IntEnum

from stream_hb.feeds.drift.settings import DriftSettings
from stream_hb.feeds.drift.state import NEVER, DriftState


class Admittance(IntEnum):
    """What becomes of a tick."""

    TAKEN = 0
    LEAPT = 1
    STALE = 2
    SUSPECTED = 3


def admittance(state: DriftState, index: int, settings: DriftSettings) -> Admittance:
    """Judge a tick by its index.

    A single event from the future would close a tick of next year; were that taken, every tick of
    this year would come too late, and nothing would ever be told again. So a leap is set aside, and
    taken for true when the tick after it follows it.

    >>> settings, state = DriftSettings(), DriftState.of_new(DriftSettings())
    >>> admittance(state, 20_000, settings).name
    'TAKEN'
    """
    leap = settings.jump_days_max * settings.ticks_a_day
    if state.tick == NEVER:
        return Admittance.TAKEN
    if index <= state.tick:
        return Admittance.STALE
    if index - state.tick <= leap:
        return Admittance.TAKEN
    if state.suspected != NEVER and 0 < index - state.suspected <= leap:
        return Admittance.LEAPT
    return Admittance.SUSPECTED
