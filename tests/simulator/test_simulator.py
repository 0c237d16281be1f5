"""Whatever goes wrong with a cluster, once is once; and the simulator would see it if not.

``make simulate SEEDS=a-b`` runs as many seeds as one likes.
"""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import repeat

import pytest

from tests.simulator.mutants import MUTANTS, Mutant
from tests.simulator.runs import first_kill, outcome_of, quiet
from tests.simulator.world import Outcome

SEEDS = range(200)
"""A run takes a third of a second of a core: more of them belong to ``make simulate``."""

MUTANT_SEEDS = range(400)
"""The first ones, not one that is known to find it: every change of the worker makes other runs of
the same seed. Most mutants are found by the first ten."""

FAULTS = (
    "cooperative runs",
    "eager runs",
    "end_delayed",
    "end_lost",
    "end_twice",
    "end_unanswered",
    "error of commit",
    "error of committed",
    "error of end of hyper",
    "error of end of state",
    "error of end of summaries",
    "error of produce",
    "error of read of hyper",
    "error of read of state",
    "error of read of summaries",
    "error of renew",
    "error of send_offsets",
    "error of send_offsets, done",
    "error of start",
    "error of watermarks",
    "group set back",
    "kill",
    "kill in transaction",
    "pause",
    "pause in transaction",
    "reread",
    "stray",
)


@cache
def outcomes() -> list[Outcome]:
    with ProcessPoolExecutor(initializer=quiet) as pool:
        return list(pool.map(outcome_of, SEEDS, chunksize=5))


@cache
def counts() -> Counter[str]:
    total: Counter[str] = Counter()
    for outcome in outcomes():
        total += outcome.counts
    return total


@pytest.mark.timeout(600)
def test_no_seed_loses_or_doubles_anything() -> None:
    wrong = [
        f"python -m tests.simulator --seeds {o.seed}-{o.seed}: {o.violations[0]}"
        for o in outcomes()
        if o.violations
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_has_happened(fault: str) -> None:
    assert counts()[fault] > 0


@pytest.mark.timeout(600)
def test_a_third_of_the_kills_fall_into_open_transactions() -> None:
    assert counts()["kill in transaction"] >= counts()["kill"] / 3


@cache
def kills() -> dict[str, int | None]:
    with ProcessPoolExecutor(initializer=quiet) as pool:
        found = pool.map(first_kill, MUTANTS, repeat(MUTANT_SEEDS))
        return dict(zip((mutant.name for mutant in MUTANTS), found, strict=True))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_worker_with_one_thing_wrong_is_found(mutant: Mutant) -> None:
    assert kills()[mutant.name] is not None


def test_a_seed_says_the_same_again() -> None:
    quiet()
    assert outcome_of(7) == outcome_of(7)
