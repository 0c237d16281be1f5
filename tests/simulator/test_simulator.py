"""Whatever goes wrong with a cluster, once is once; and the simulator would see it if not.

``make simulate SEEDS=a-b`` runs as many seeds as one likes.
"""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import repeat

import pytest

from stream_hb.runtime.client import InputClient, StateClient, TransactionClient
from tests.simulator.mutants import MUTANTS, Mutant
from tests.simulator.runs import first_kill, outcome_of, prepare, quiet
from tests.simulator.world import Outcome

SEEDS = range(5_000)

MUTANT_SEEDS = range(2_000)
"""The first ones, not one that is known to find it: every change of the worker makes other runs of
the same seed. Most mutants are found by the first ten."""

FAULTS = (
    "brokers away",
    "call without brokers",
    "commit beyond its timeout",
    "cooperative runs",
    "eager runs",
    "emission in parts",
    "end_delayed",
    "end_lost",
    "end_slow",
    "end_twice",
    "end_unanswered",
    "error of hyper.end",
    "error of hyper.poll",
    "error of input.committed",
    "error of input.start",
    "error of input.watermarks",
    "error of state.end",
    "error of state.low",
    "error of state.poll",
    "error of summaries.end",
    "error of summaries.poll",
    "error of transactions.abort",
    "error of transactions.commit",
    "error of transactions.produce",
    "error of transactions.renew",
    "error of transactions.send_offsets",
    "error of transactions.send_offsets, done",
    "fenced by epoch",
    "fenced by generation",
    "group set back",
    "kill",
    "kill in transaction",
    "late EndTxn meets a transaction",
    "late start",
    "markers apart",
    "own leftovers found",
    "pause",
    "pause in transaction",
    "reread",
    "runs with snapshots",
    "session expired",
    "snapshot read",
    "snapshot written",
    "state opened under another's transaction",
    "stopped",
    "stray",
    "transaction timed out",
    "unstable offset",
    "warm shard refused",
    "warm shard taken back",
)

PROTOCOLS = (InputClient, TransactionClient, StateClient)

CRASHES = ("kill before ", "kill after ")

NEVER_CALLED = frozenset({"InputClient.commit", "InputClient.resume"})
"""By a worker that delivers exactly once: the simulator's raise if they are."""


@cache
def outcomes() -> list[Outcome]:
    with ProcessPoolExecutor(initializer=prepare) as pool:
        return list(pool.map(outcome_of, SEEDS, chunksize=25))


@cache
def counts() -> Counter[str]:
    total: Counter[str] = Counter()
    for outcome in outcomes():
        total += outcome.counts
    return total


@pytest.mark.timeout(1_800)
def test_no_seed_loses_or_doubles_anything() -> None:
    wrong = [
        f"python -m tests.simulator --seeds {o.seed}-{o.seed}: {o.violations[0]}"
        for o in outcomes()
        if o.violations
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_has_happened(fault: str) -> None:
    assert counts()[fault] > 0


@pytest.mark.timeout(1_800)
def test_a_third_of_the_kills_fall_into_open_transactions() -> None:
    assert counts()["kill in transaction"] >= counts()["kill"] / 3


def test_a_worker_has_died_before_and_after_every_call_of_its_clients() -> None:
    calls = {f"{p.__name__}.{name}" for p in PROTOCOLS for name in vars(p) if name[0] != "_"}
    points = {f"{when} {call}" for call in calls - NEVER_CALLED for when in ("before", "after")}
    assert points == {n.removeprefix("kill ") for n in counts() if n.startswith(CRASHES)}


@cache
def kills() -> dict[str, int | None]:
    with ProcessPoolExecutor(initializer=prepare) as pool:
        found = pool.map(first_kill, MUTANTS, repeat(MUTANT_SEEDS))
        return dict(zip((mutant.name for mutant in MUTANTS), found, strict=True))


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_worker_with_one_thing_wrong_is_found(mutant: Mutant) -> None:
    assert kills()[mutant.name] is not None


def test_a_seed_says_the_same_again() -> None:
    quiet()
    assert outcome_of(7) == outcome_of(7)
