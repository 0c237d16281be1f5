"""What was kept under one way to forget is not taken for what another one keeps."""

from dataclasses import replace

import numpy as np
import pytest

from stream_hb.engine import Engine
from stream_hb.errors import SnapshotError
from stream_hb.statistics.forgetting import Forgetting, HalfLife, Never, Window
from stream_hb.statistics.half_lives import HalfLives
from tests.laws.test_event_laws import HOUR_MS
from tests.statelog.test_statelog_laws import WORLDS, Driven, compacted, restored_from
from tests.support.logs import shop_log

H = HOUR_MS
CHANGES: list[tuple[Forgetting, Forgetting]] = [
    (Never(), HalfLife(H)),
    (HalfLife(H), Never()),
    (HalfLife(H), HalfLife(2 * H)),
    (HalfLife(H), HalfLives((H, 2 * H))),
    (HalfLives((H, 2 * H)), HalfLife(H)),
    (HalfLives((H, 2 * H)), HalfLives((2 * H, H))),
    (Window(6), Window(7)),
]


def driven(rule: Forgetting) -> Driven:
    chain = Driven(replace(WORLDS["plain"], forgetting={"conversion": rule}))
    chain.step(shop_log())
    return chain


@pytest.mark.parametrize(("was", "becomes"), CHANGES)
def test_a_log_of_another_way_to_forget_is_refused(was: Forgetting, becomes: Forgetting) -> None:
    """Weights would be read as counts, or a landmark in half-lives as one in others."""
    records = compacted(driven(was).records, np.random.default_rng(1))
    assert restored_from(records, driven(was).world) is not None
    with pytest.raises(SnapshotError, match="the state keeps conversion under"):
        restored_from(records, driven(becomes).world)


def test_so_is_a_snapshot_of_an_engine() -> None:
    snapshot = driven(HalfLife(H)).engine.snapshot()
    with pytest.raises(SnapshotError, match="the state keeps conversion under"):
        Engine(driven(HalfLife(2 * H)).world).restore(snapshot)
