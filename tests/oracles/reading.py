"""The tests' copies of what other software answered (tests/data/oracles)."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from stream_hb.statistics.columns import Floats

_FOLDER = Path(__file__).parents[1] / "data" / "oracles"


def oracle(name: str) -> dict[str, Any]:
    """Return one file: ``data``, and under ``oracle`` the answers of each program."""
    content: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


def assert_agree(ours: Floats, theirs: list[float | None], rtol: float, name: str) -> None:
    """Compare by what is there: a part of the answers is held out (cut off, or null)."""
    expected = np.array(theirs, dtype=np.float64)
    there = ~np.isnan(expected)
    assert there.any(), name
    given = ours[: len(expected)]
    np.testing.assert_allclose(given[there], expected[there], rtol=rtol, err_msg=name)
