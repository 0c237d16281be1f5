"""Events per CPU-second of clients that read a full topic, each as a ratio to a bare consumer."""

from collections.abc import Sequence
from uuid import uuid4

from tests.benchmarks.feed import PARTITIONS, fill, made_topics
from tests.benchmarks.job import QUIX_PYTHON, Job, Result, measured
from tests.benchmarks.table import RATES, middle, print_table, rate_rows
from tests.benchmarks.workload import payloads
from tests.support import topics

MODES = (
    "bare",
    "decode",
    "exactly-once",
    "every-batch",
    "everything",
    "at-least-once",
    "quix-exactly-once",
    "quix-at-least-once",
)
QUIX_SHARE = 0.25
"""Share of the events that the slow peer is given: its rate does not hang on how many there are."""


def modes_here(modes: Sequence[str]) -> list[str]:
    """Return the modes that can be run: those of Quix need its environment."""
    return [mode for mode in modes if not mode.startswith("quix") or QUIX_PYTHON.exists()]


def catching_up(
    bootstrap: str,
    stores: int,
    count: int,
    rounds: int,
    *,
    spread: float = 0.0,
    cpu_clock: bool = False,
) -> None:
    """Print the table of one number of stores."""
    topic = f"events-{uuid4().hex[:8]}"
    topics.create(bootstrap, topic, PARTITIONS)
    fill(bootstrap, topic, stores, payloads(count, stores, spread=spread))
    taken: dict[str, list[Result]] = {mode: [] for mode in modes_here(MODES)}
    for _ in range(rounds):
        for mode, runs in taken.items():
            runs.append(_run(mode, bootstrap, topic, count, cpu_clock=cpu_clock))
    clock = ", the clock goes with CPU time" if cpu_clock else ""
    what = f"{count:,} events, {stores:,} stores (spread {spread:g}), {PARTITIONS} partitions"
    print_table(f"Catching up: {what}, {rounds} rounds{clock}", RATES, rate_rows(taken, count))
    _print_beside_quix(taken)


def _run(mode: str, bootstrap: str, topic: str, count: int, *, cpu_clock: bool) -> Result:
    """Run one client; a slow one reads a share, and its seconds are those of the whole."""
    share = QUIX_SHARE if mode.startswith("quix") else 1.0
    run = f"run-{uuid4().hex[:8]}"
    count = int(share * count)
    job = Job(mode, bootstrap, topic, PARTITIONS, count, run, cpu_clock=cpu_clock)
    with made_topics(job):
        result = measured(job)
    return result | {name: result[name] / share for name in ("cpu", "wall")}


def _print_beside_quix(taken: dict[str, list[Result]]) -> None:
    mine = middle(taken["exactly-once"], "cpu")
    for mode, runs in taken.items():
        its = middle(runs, "cpu")
        if mode.startswith("quix") and mine and its:
            print(f"exactly-once is {its / mine:.1f} x {mode} (aim 5)", flush=True)
