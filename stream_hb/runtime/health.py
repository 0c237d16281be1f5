"""Is a worker alive, and is it ready? For whoever starts workers and sends them away."""

from dataclasses import dataclass

from stream_hb.runtime.worker import Worker

STUCK_SECONDS = 120.0
"""The loop waits up to a minute for a broker that is away; a poll that hangs takes longer."""

UNDELIVERED_MAX = 5
"""A rebalance or a broker that restarts aborts one or two transactions in turn; what aborts more is
a wrong that lasts, a missing right to write, say."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to one question.

    Attributes
    ----------
    good
        Whether all is well.
    detail
        In words.
    """

    good: bool
    detail: str


def liveness(worker: Worker) -> Answer:
    """Tell whether the loop comes round: if not, only a new start helps."""
    seconds = (worker.now_ms() - worker.status.stepped_at_ms) / 1000
    return Answer(seconds <= STUCK_SECONDS, f"the loop came round {seconds:.1f} s ago")


def readiness(worker: Worker) -> Answer:
    """Tell whether the worker's estimates follow its input by now."""
    status = worker.status
    if status.stopping:
        return Answer(False, "stopping")
    if status.rebuilding:
        return Answer(False, f"{status.rebuilding} shards are being restored or catch up")
    if status.undelivered > UNDELIVERED_MAX:
        return Answer(False, f"{status.undelivered} transactions in turn were not committed")
    if not worker.engine.shards:
        return Answer(False, "no partition is assigned")
    return Answer(True, f"{len(worker.engine.shards)} shards work")
