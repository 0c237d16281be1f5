"""A study goes on where it was stopped, and never with another code's figures."""

from pathlib import Path

import numpy as np
import pytest

from tests.study.kept import Kept, fingerprint
from tests.study.study import run
from tests.study.worlds import World

WORLD = World("normal", 5, False, 0.25)


def test_a_kept_cell_is_the_cell(tmp_path: Path) -> None:
    kept, fresh = Kept(tmp_path / "new", "a"), run(WORLD, 2, (1, 2))
    for again in (kept.judged(WORLD, 2, (1, 2)), kept.judged(WORLD, 2, (1, 2))):
        assert again.world == WORLD
        assert again.covered.keys() == fresh.covered.keys()
        assert again.squared_error.keys() == fresh.squared_error.keys()
        for method, shares in fresh.covered.items():
            np.testing.assert_array_equal(again.covered[method], shares)
        for name, errors in fresh.squared_error.items():
            np.testing.assert_array_equal(again.squared_error[name], errors)


def test_a_kept_cell_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(tmp_path, "a")
    kept.judged(WORLD, 2, (1, 2))
    monkeypatch.setattr("tests.study.kept.run", _never)
    kept.judged(WORLD, 2, (1, 2))
    with pytest.raises(AssertionError, match="run again"):
        kept.judged(WORLD, 2, (1, 3))
    with pytest.raises(AssertionError, match="run again"):
        kept.judged(WORLD, 3, (1, 2))
    with pytest.raises(AssertionError, match="run again"):
        kept.judged(World("normal", 5, True, 0.25), 2, (1, 2))
    with pytest.raises(AssertionError, match="run again"):
        Kept(tmp_path, "b").judged(WORLD, 2, (1, 2))


def test_the_fingerprint_follows_the_code(tmp_path: Path) -> None:
    source = tmp_path / "model.py"
    source.write_text("a = 1\n")
    before = fingerprint([source])
    source.write_text("a = 2\n")
    assert fingerprint([source]) != before
    assert fingerprint() == fingerprint()


def _never(*_: object) -> None:
    message = "run again"
    raise AssertionError(message)
