"""Experiments as tables for people: the decision with its reasons, the arms, the stores."""

import io

import pytest
from rich.console import Console

from stream_hb.cli.experiments_table import (
    arms_table,
    by_experiment,
    print_experiments,
    stores_table,
    verdict,
)
from tests.feeds.experiments.looked import THREE, TWO, records, seen, totals

UNEQUAL = totals([[4000, 4000], [4000, 4000]], [[200, 330], [210, 200]])


def printed(table: object) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_chain_stands_with_its_stores_for_the_metric_that_decides() -> None:
    ((chain, stores),) = by_experiment(reversed(records(TWO, seen(UNEQUAL))))
    assert chain["scope"] == "chain"
    assert sorted(store["key"]["store_id"] for store in stores) == ["s0", "s1"]


def test_the_verdict_has_every_reason() -> None:
    (chain, *_) = records(TWO, seen(UNEQUAL, undeclared=3.0))
    assert verdict(chain) == (
        "ab / north: hold\n  unexpected_arm: 3 units in arms switched off or not declared"
    )


def test_every_arm_has_a_row_and_the_control_no_effect() -> None:
    stats = totals([[4000, 2000, 2000]], [[200, 130, 80]])
    chain, *_ = records(THREE, seen(stats))
    lines = [line.strip() for line in printed(arms_table(chain)).splitlines()]
    control, b, c = (next(ln for ln in lines if ln.startswith(f"{name} ")) for name in "abc")
    assert control.split()[:6] == ["a", "(control)", "0.5", "4,000", "4,000", "200"]
    assert " to " not in control
    assert b.split()[:5] == ["b", "0.25", "2,000", "2,000", "130"]
    assert "%" in c


def test_stores_with_the_largest_effects_come_first() -> None:
    _, *stores = records(TWO, seen(UNEQUAL))
    lines = [line.strip() for line in printed(stores_table(stores, limit=1)).splitlines()]
    assert any(line.startswith("s0") for line in lines)
    assert not any(line.startswith("s1") for line in lines)


def test_an_experiment_without_anything_to_say_is_printed_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_experiments(records(TWO, seen(totals([[0, 0]], [[0, 0]]))), 5)
    out = capsys.readouterr().out
    assert "ab / north: continue\n  insufficient" in out
    assert "nan" not in out
