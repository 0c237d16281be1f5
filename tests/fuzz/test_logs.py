"""A short run of ``make fuzz``."""

import random

from tests.fuzz.logs import check


def test_nothing_escapes_from_500_mutated_logs() -> None:
    source = random.Random(7)
    totals = [check(source) for _ in range(500)]
    taken, refused = (sum(column) for column in zip(*totals, strict=True))
    assert taken > 1_000
    assert refused > 1_000
