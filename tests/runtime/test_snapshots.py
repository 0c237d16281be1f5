"""A worker with snapshots does what one without them does, only sooner."""

from collections import Counter
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from stream_hb.engine import Candidate, Engine
from stream_hb.errors import LostError
from stream_hb.runtime.checkpoints import Checkpoints
from stream_hb.runtime.client import (
    Committed,
    LogRead,
    TransactionAbortedError,
    TransientError,
)
from stream_hb.runtime.delivery import Outgoing, Route
from stream_hb.runtime.exactly_once import ExactlyOnce
from stream_hb.runtime.log_identity import LogIdentity
from stream_hb.runtime.pooling import Broadcast
from stream_hb.runtime.restores import Restores
from stream_hb.runtime.snapshot_files import SnapshotFiles
from stream_hb.runtime.worker import Worker
from tests.statelog.test_statelog_laws import everything
from tests.support.fake_client import FakeBroker, FakeInput
from tests.support.fake_transactions import FakeState, FakeTransactions
from tests.support.logs import START_MS, shop_log
from tests.support.once import assert_once
from tests.support.running import BAD, EVENTS, SETTINGS, broker_with

LOG = LogIdentity("cluster", "topic-1", "state", "g")
EVERY_SECONDS = 5.0


class Counting(FakeState):
    """Counts what is read of the state."""

    read = 0

    def poll(self, timeout_seconds: float) -> dict[int, LogRead]:
        found = super().poll(timeout_seconds)
        self.read += sum(len(each.records) for each in found.values())
        return found


class Keeping:
    """A worker with snapshots in a folder; made again it goes on."""

    def __init__(
        self,
        broker: FakeBroker,
        folder: Path | None,
        transactions: FakeTransactions | None = None,
        every_seconds: float | None = EVERY_SECONDS,
        now_ms: int = START_MS + 1_000_000,
        *,
        accept_loss: bool = False,
    ) -> None:
        self.broker, self.folder = broker, folder
        self.seconds = 0.0
        self.now_ms = now_ms
        self.stop = Event()
        self.inputs = FakeInput(broker, idle=self.stop.set)
        self.transactions = transactions or FakeTransactions(broker)
        self.state = Counting(self.transactions)
        self.engine = Engine(SETTINGS)
        files = SnapshotFiles(folder, LOG, lambda: self.now_ms) if folder else None
        self.restores = Restores(
            self.inputs,
            self.state,
            SETTINGS,
            "g",
            lambda: self.seconds,
            accept_loss=accept_loss,
            files=files,
        )
        self.checkpoints = (
            Checkpoints(files, every_seconds, self.restores.snapshots, lambda: self.seconds)
            if files
            else None
        )
        route = Route("estimates", "rejects", 40, state="state")
        delivery = ExactlyOnce(
            self.engine,
            self.inputs,
            self.transactions,
            self.restores,
            route,
            {"group": "g", "writer": "g-0"},
            lambda: self.seconds,
            checkpoints=self.checkpoints,
        )
        self.delivery = delivery
        self.worker = Worker(self.engine, self.inputs, delivery, route, lambda: self.now_ms)

    @property
    def counts(self) -> Counter[str]:
        if self.checkpoints is not None:
            self.checkpoints.wait()
        return self.worker.tally.snapshots

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self.now_ms += 1_000
            self.seconds += 1
            self.worker.step(self.stop)
            if self.checkpoints is not None:
                self.checkpoints.wait()  # so that what is written when is the same every time

    def to_end(self) -> None:
        self.stop.clear()
        while not self.stop.is_set():
            self.step()
        self.step(2)
        self.stop.clear()

    def ended(self) -> "Keeping":
        """End it as SIGTERM does; return the next one."""
        self.stop.set()
        self.worker.run(self.stop)
        return self.again()

    def again(self, folder: Path | None = None) -> "Keeping":
        """Return the next worker after this one was killed."""
        self.transactions._drop()
        folder = folder or self.folder
        return Keeping(self.broker, folder, self.transactions, now_ms=self.now_ms)

    def without(self, *, accept_loss: bool = False) -> "Keeping":
        """Return one that reads the whole log."""
        return Keeping(
            self.broker, None, self.transactions, now_ms=self.now_ms, accept_loss=accept_loss
        )

    def restored(self) -> "Keeping":
        while self.restores.numbers or not self.engine.shards:
            self.step()
        return self


def busy(folder: Path, steps: int = 6) -> Keeping:
    keeping = Keeping(broker_with(*shop_log(), BAD), folder, every_seconds=None)
    keeping.step(steps)
    return keeping


def test_a_snapshot_from_before_an_accepted_loss_is_not_believed(tmp_path: Path) -> None:
    """The log that has grown again over its lost end may fit it by offset and by transaction."""
    first = busy(tmp_path)
    log = first.transactions.logs["state", 0]
    kept = len(log)
    first.step(3)
    first.ended()
    assert len(log) > kept
    grown = len(log)
    del log[kept:]
    lossy = first.without(accept_loss=True)
    while len(log) <= grown:
        lossy.broker.append([BAD], "events")
        lossy.step()
    following = lossy.again(tmp_path).restored()
    assert following.counts["contradicted"] == 1
    assert following.engine.shards[0].epoch == 2
    np.testing.assert_equal(
        everything(following.engine.shards[0]), everything(lossy.engine.shards[0])
    )


def accepting(folder: Path) -> Keeping:
    """Return who has accepted that the log lost its end, and has written nothing yet."""
    first = busy(folder)
    log = first.transactions.logs["state", 0]
    kept = len(log)
    first.step(3)
    del log[kept:]
    accepted = Keeping(
        first.broker, folder, first.transactions, now_ms=first.now_ms, accept_loss=True
    )
    accepted.delivery.assigned([EVENTS])
    while accepted.restores.numbers:
        accepted.delivery.open()
    assert accepted.engine.shards[0].epoch == 2
    return accepted


def test_no_snapshot_is_taken_of_an_epoch_that_the_log_does_not_know(tmp_path: Path) -> None:
    """To take one commits the offsets: they would fit the log, and its old epoch, again."""
    accepted = accepting(tmp_path)
    accepted.delivery.finish()
    with pytest.raises(LostError, match="not of one history"):
        accepted.without().step(40)


def test_offsets_are_not_committed_for_an_epoch_that_the_log_does_not_know(tmp_path: Path) -> None:
    accepted = accepting(tmp_path)
    told = Broadcast("summaries", 0, b"s", b"told", shard=0)
    assert accepted.delivery.deliver(Outgoing(Candidate({}), [], [], None, [told]), Event())
    assert accepted.without().restored().engine.shards[0].epoch == 2


def test_a_clean_end_leaves_a_snapshot_with_which_the_next_one_reads_nothing(
    tmp_path: Path,
) -> None:
    following = busy(tmp_path).ended()
    following.inputs.polls.extend(following.inputs.polls)  # stay without events for a while
    following.delivery.assigned([EVENTS])
    following.delivery.open()
    following.delivery.open()
    assert following.counts == {"used": 1}
    assert following.state.read == 0
    assert following.engine.shards[0].table.keys
    following = following.again()
    following.to_end()
    assert_once(following.broker)


def test_a_shard_from_a_snapshot_is_to_the_bit_the_one_from_the_log(tmp_path: Path) -> None:
    first = busy(tmp_path)
    first.ended()
    going_on = first.again()
    going_on.step(4)
    tail, whole = going_on.again(), going_on.without()
    for each in (tail, whole):
        each.delivery.assigned([EVENTS])
        while not each.engine.shards:
            each.delivery.open()
    assert tail.counts == {"used": 1}
    assert 0 < tail.state.read < whole.state.read
    np.testing.assert_equal(everything(tail.engine.shards[0]), everything(whole.engine.shards[0]))
    assert tail.delivery._logs.complete()[0].state == whole.delivery._logs.complete()[0].state


def test_while_it_runs_a_shard_is_written_every_so_often(tmp_path: Path) -> None:
    keeping = Keeping(broker_with(*shop_log(), BAD), tmp_path)
    keeping.step(int(EVERY_SECONDS) + 3)
    assert keeping.counts == {"written": 1}
    keeping.step(int(EVERY_SECONDS) + 1)
    assert keeping.counts == {"written": 2}
    following = keeping.again()
    following.to_end()
    assert following.counts["used"] == 1
    assert_once(following.broker)


@pytest.mark.parametrize("call", ["begin", "send_offsets", "commit"])
@pytest.mark.parametrize("fault", [TransactionAbortedError("gone"), TransientError("late")])
def test_who_is_not_proved_to_own_a_shard_writes_no_snapshot(
    call: str, fault: Exception, tmp_path: Path
) -> None:
    """A zombie knows an end of the log that others have written since."""
    keeping = busy(tmp_path)
    keeping.transactions.faults[call].append(fault)
    following = keeping.ended()
    assert not list(tmp_path.iterdir())
    following.to_end()
    assert following.counts["used"] == 0
    assert_once(following.broker)


def test_a_log_whose_end_is_not_known_gives_no_snapshot(tmp_path: Path) -> None:
    keeping = busy(tmp_path)
    keeping.state.faults["end"].append(TransientError("no answer"))
    keeping.ended()
    assert not list(tmp_path.iterdir())


def test_a_disk_that_takes_nothing_is_told_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    keeping = busy(folder)
    folder.rmdir()
    following = keeping.ended()
    assert keeping.counts == {"failed": 1}
    following.to_end()
    assert_once(following.broker)


def test_a_damaged_snapshot_is_told_and_the_log_is_read(tmp_path: Path) -> None:
    following = busy(tmp_path).ended()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    following.to_end()
    assert following.counts["corrupt"] == 1
    assert following.counts["used"] == 0
    assert_once(following.broker)


def test_a_snapshot_that_the_log_contradicts_is_left_and_the_log_is_read(tmp_path: Path) -> None:
    """The log's end was lost and written anew: at the snapshot's offset stands something else."""
    keeping = busy(tmp_path, steps=4)
    offset = len(keeping.transactions.logs["state", 0])
    keeping.step(3)
    following = keeping.ended()
    raw = next(tmp_path.iterdir()).read_bytes()
    body_at = 28 + int.from_bytes(raw[24:28], "big")
    files = SnapshotFiles(tmp_path, LOG, lambda: following.now_ms)
    files.write(0, offset, raw[body_at:])
    following.to_end()
    assert (following.counts["used"], following.counts["contradicted"]) == (1, 1)
    assert_once(following.broker)


def test_a_group_that_was_set_back_is_refused_with_a_snapshot_too(tmp_path: Path) -> None:
    following = busy(tmp_path).ended()
    following.broker.committed[EVENTS] = Committed(3)
    with pytest.raises(LostError, match="was set back to 3"):
        following.step(99)
