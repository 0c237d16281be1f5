import numpy as np
import pytest

from stream_hb.feeds.drift.feed import Step
from stream_hb.feeds.drift.settings import DriftSettings
from stream_hb.statistics.columns import Floats
from tests.feeds.drift.chains import STORES, fed, quick, records, statuses, tick

SETTINGS = quick()


def run(visits: list[Floats], settings: DriftSettings = SETTINGS) -> list[Step]:
    ticks = (tick(day, size, 0.05 * size) for day, size in enumerate(visits))
    return list(fed(ticks, settings=settings))


def chain(days: int, closed: dict[int, list[int]], visits: float = 100.0) -> list[Floats]:
    """Return visits of which some stores have none on some days."""
    out = [np.full(STORES, visits) for _ in range(days)]
    for day, rows in closed.items():
        out[day][rows] = 0
    return out


def closing(first: int, last: int) -> dict[int, list[int]]:
    return {day: [3] for day in range(first, last)}


def test_a_store_that_closes_is_silent_and_not_drifting() -> None:
    done = run(chain(60, closing(30, 60)))
    assert statuses(done, "StoreSilent") == [("s3", "firing")]
    assert records(done, "StoreDrift") == []
    first = records(done, "StoreSilent")[0]
    assert first.labels["metric"] == "visits"
    assert first.evidence.statistic < first.evidence.threshold
    assert [bool(each.records) for each in done].index(True) == 30


def test_a_store_that_opens_again_is_resolved() -> None:
    done = run(chain(60, closing(30, 40)))
    assert statuses(done, "StoreSilent") == [
        ("s3", "firing"),
        ("s3", "recovering"),
        ("s3", "resolved"),
    ]


def test_a_store_of_few_visits_is_silent_after_more_days() -> None:
    done = run(chain(60, closing(30, 60), visits=4.0))
    day = [bool(each.records) for each in done].index(True)
    assert 32 <= day <= 40


def test_a_chain_that_is_closed_is_not_silent() -> None:
    assert records(run(chain(60, {40: list(range(STORES))})), "StoreSilent") == []


def test_a_store_that_is_closed_on_sundays_is_not_silent() -> None:
    closed = {day: [3] for day in range(60) if day % 7 == 4}
    assert records(run(chain(60, closed)), "StoreSilent") == []


def test_a_retired_store_is_not_silent() -> None:
    visits = chain(60, closing(30, 60))
    ticks = [tick(day, size, 0.05 * size) for day, size in enumerate(visits)]
    object.__setattr__(ticks[30], "retired", np.array([3]))
    assert records(list(fed(iter(ticks), settings=SETTINGS)), "StoreSilent") == []


def test_a_store_whose_numbers_are_refused_is_not_silent() -> None:
    visits = chain(60, {})
    for day in range(30, 60):
        visits[day][3] = np.nan
    done = run(visits)
    assert records(done) == []
    assert done[-1].diagnostics.refused == 1


@pytest.mark.parametrize("days", [1, 20])
def test_a_tick_without_any_row_is_a_closed_chain(days: int) -> None:
    visits = chain(40, {})
    ticks = [tick(day, size, 0.05 * size) for day, size in enumerate(visits)]
    ticks += [tick(40 + day, np.empty(0), np.empty(0)) for day in range(days)]
    assert records(list(fed(iter(ticks), settings=SETTINGS))) == []
