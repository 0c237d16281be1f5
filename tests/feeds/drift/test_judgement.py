"""Firing, all-clear, and the ground between them."""

from dataclasses import replace

import numpy as np
import pytest

from stream_hb.feeds.drift.expectation import expectation
from stream_hb.feeds.drift.families import FAMILIES
from stream_hb.feeds.drift.judgement import Drifting, drifting
from stream_hb.feeds.drift.state import DriftState
from stream_hb.feeds.drift.tick import Kind, cleaned
from tests.feeds.drift.chains import HYPER, SETTINGS, STORES, steady, tick


def judged(log_s: float, offset: float = 0.0) -> Drifting:
    """Judge stores of which the first has this evidence (upward) and this current offset."""
    state = DriftState.of_new(SETTINGS, STORES)
    evidence = replace(state.evidence, log_s=np.full((8, STORES), -1.0))
    evidence.log_s[:4, 0] = log_s + np.log(2)
    known = replace(
        state.known, score=np.full(STORES, offset * 1e4), information=np.full(STORES, 1e4)
    )
    state = replace(state, evidence=evidence, known=known)
    given = tick(0, np.full(STORES, 1_000.0), 1_000 * steady(0))
    family, clean = FAMILIES[Kind.COUNTS], cleaned(given, Kind.COUNTS, STORES)
    seen = expectation(state, family, clean, given.index, SETTINGS, HYPER)
    certain = replace(seen, relation_variance=np.full(STORES, 1e-6))
    return drifting(state, family, certain, SETTINGS)


A = SETTINGS.log_threshold


@pytest.mark.parametrize(
    ("log_s", "fires", "clear"),
    [
        (A + 0.1, True, False),
        (A - 0.1, False, False),
        (A - 4.0, False, False),
        (A - 5.0, False, True),
    ],
)
def test_an_alert_begins_at_the_threshold_and_ends_far_below_it(
    log_s: float, fires: bool, clear: bool
) -> None:
    """Of one threshold for both, a store that hovers there would be told of again and again."""
    found = judged(log_s)
    assert (bool(found.fires[0]), bool(found.clear[0])) == (fires, clear)


def test_an_alert_does_not_end_while_the_current_offset_is_beyond_the_dead_band() -> None:
    assert judged(A - 9.0, offset=0.06).clear[0]  # within its own uncertainty of the band
    assert not judged(A - 9.0, offset=0.2).clear[0]


def test_ticks_that_say_nothing_are_no_evidence_however_many_there_are() -> None:
    """S of a store with an order a day counts its ticks: in both directions, and in all stores."""
    state = DriftState.of_new(SETTINGS, STORES)
    evidence = replace(state.evidence, log_s=np.full((8, STORES), A + 1.0))
    state = replace(state, evidence=evidence)
    given = tick(0, np.full(STORES, 1_000.0), 1_000 * steady(0))
    clean = cleaned(given, Kind.COUNTS, STORES)
    family = FAMILIES[Kind.COUNTS]
    seen = expectation(state, family, clean, given.index, SETTINGS, HYPER)
    assert not drifting(state, family, seen, SETTINGS).fires.any()
