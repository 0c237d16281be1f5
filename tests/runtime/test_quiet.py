import gc
from collections.abc import Iterator

import pytest

from stream_hb.runtime.quiet import quiet_collector


@pytest.fixture(autouse=True)
def _collector_as_before() -> Iterator[None]:
    was_enabled = gc.isenabled()
    yield
    gc.enable() if was_enabled else gc.disable()


def test_the_collector_is_off_inside_and_on_again_after() -> None:
    gc.enable()
    with quiet_collector():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_an_error_inside_switches_it_on_again() -> None:
    gc.enable()
    with pytest.raises(ZeroDivisionError), quiet_collector():
        _ = 1 / 0
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    with quiet_collector():
        pass
    assert not gc.isenabled()


def test_it_collects_now_and_then_only(monkeypatch: pytest.MonkeyPatch) -> None:
    collected: list[float] = []
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("gc.collect", lambda: collected.append(now[0]))
    with quiet_collector() as collect:
        at_start = len(collected)
        for second in range(25):
            now[0] = 100.0 + second
            collect()
    assert collected[at_start:] == [110.0, 120.0]
