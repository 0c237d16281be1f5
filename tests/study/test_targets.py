"""The study's own judgement: it must be able to find a miss."""

import numpy as np

from stream_hb.statistics.columns import Floats
from tests.study.study import Replicates
from tests.study.table import missed
from tests.study.targets import misses
from tests.study.worlds import World

RAW, ORACLE = 1.0, 0.4


def cell(spread: float | None, shares: Floats, bayes: float = 0.5) -> Replicates:
    """A cell of 20 groups whose pools all gave about these shares and this squared error."""
    wiggle = np.where(np.arange(400) % 2 == 0, 0.1, -0.1)[:, None]
    errors = {"raw": RAW, "oracle": ORACLE, "bayes": bayes, "ml": bayes, "pooled": bayes}
    return Replicates(
        World("beta-binomial", 20, False, spread),
        {"bayes": shares + wiggle, "ml": shares + wiggle},
        {name: np.full(400, value) for name, value in errors.items()},
    )


def test_a_calibrated_cell_misses_nothing() -> None:
    assert misses(cell(None, np.array([0.5, 0.8, 0.95]))) == []
    assert missed([cell(None, np.array([0.5, 0.8, 0.95]))]) == "None."


def test_coverage_off_by_four_errors_is_a_miss_at_its_level() -> None:
    """The error is .1/√400 = .005."""
    found = misses(cell(None, np.array([0.5, 0.82, 0.95])))
    assert len(found) == 1
    assert found[0].startswith("80% intervals cover 0.8200, +4.0 errors")


def test_at_a_fixed_spread_more_than_nominal_is_no_miss_and_less_than_90_is() -> None:
    assert misses(cell(0.1, np.array([0.7, 0.9, 0.999]))) == []
    assert "below 0.90" in misses(cell(0.1, np.array([0.5, 0.8, 0.899])))[0]


def test_squared_error_is_held_to_the_oracle_and_to_raw() -> None:
    calibrated = np.array([0.5, 0.8, 0.95])
    allowed = ORACLE + 4 / 20 * RAW
    assert misses(cell(0.1, calibrated, bayes=allowed - 0.001)) == []
    assert "exceeds the oracle's" in misses(cell(0.1, calibrated, bayes=allowed + 0.001))[0]
    assert "of raw's" in misses(cell(0.1, calibrated, bayes=1.01))[0]
