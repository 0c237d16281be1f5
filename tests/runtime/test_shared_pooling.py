"""Hyperparameters across workers: one refits for all, and nobody sees a part of the chain."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Event
from types import MappingProxyType

import pytest

from stream_hb.engine import Engine
from stream_hb.errors import SnapshotError
from stream_hb.refit import Refit
from stream_hb.runtime.client import Polled, TopicPartition, TransactionAbortedError, TransientError
from stream_hb.runtime.delivery import Route
from stream_hb.runtime.exactly_once import ExactlyOnce
from stream_hb.runtime.restores import Restores
from stream_hb.runtime.shared_pooling import Board, SharedPooling
from stream_hb.runtime.worker import Worker
from stream_hb.settings import EngineSettings
from stream_hb.statistics.half_lives import HalfLives
from stream_hb.summary_rows import CLOCKS_KEY, Clocks, clocks_row
from stream_hb.tick_feeds import TickFeed
from tests.laws.test_half_lives_laws import Chosen
from tests.support.fake_client import FakeBroker, FakeInput
from tests.support.fake_transactions import FakeState, FakeTransactions, Logs
from tests.support.logs import START_MS, shop_log
from tests.support.records import assert_same_estimates, assert_without_gaps, newest
from tests.support.running import SETTINGS, estimates

PARTITIONS = 3


class Member:
    """One of several workers, with the partitions that it is given."""

    def __init__(
        self,
        broker: FakeBroker,
        logs: Logs,
        numbers: tuple[int, ...],
        *,
        writer: str = "g-0",
        settings: EngineSettings = SETTINGS,
        feeds: Mapping[str, TickFeed] = MappingProxyType({}),
    ) -> None:
        self.stop = Event()
        self.now_ms = START_MS + 1_000_000
        self.inputs = FakeInput(broker)
        self.inputs.polls.clear()
        self.give(*numbers)
        self.transactions = FakeTransactions(broker, logs)
        self.engine = Engine(settings, feeds=feeds)
        self.hyper, self.summaries = (
            FakeState(self.transactions, topic=topic) for topic in ("hyper", "summaries")
        )
        state = FakeState(self.transactions)
        restores = Restores(self.inputs, state, settings, "g", self._seconds)
        topics = {name: name for name in feeds}
        route = Route("estimates", "rejects", 40, state="state", feeds=topics)
        header = {"group": "g", "writer": writer}
        delivery = ExactlyOnce(
            self.engine, self.inputs, self.transactions, restores, route, header, self._seconds
        )
        board = Board("summaries", "hyper", PARTITIONS, "g", writer)
        self.pooling = SharedPooling(self.engine, self.summaries, self.hyper, board)
        self.worker = Worker(
            self.engine, self.inputs, delivery, route, self._clock_ms, self.pooling
        )

    def _clock_ms(self) -> int:
        return self.now_ms

    def _seconds(self) -> float:
        return self.now_ms / 1000

    def give(self, *numbers: int) -> None:
        self.inputs.polls.append(Polled([], [_events(number) for number in numbers], [], []))

    def take(self, *numbers: int) -> None:
        self.inputs.revoke(*(_events(number) for number in numbers))

    def step(self) -> None:
        self.now_ms += 1_000
        self.worker.step(self.stop)


def _events(number: int) -> TopicPartition:
    return TopicPartition("events", number)


def chain_broker() -> FakeBroker:
    """Return a broker with three partitions of one chain and a half, unlike each other."""
    broker = FakeBroker()
    for number in range(PARTITIONS):
        broker.append(
            [event.replace(b'"c-', b'"p%d-' % number) for event in shop_log(seed=number + 1)],
            "events",
            number,
        )
    broker.append(shop_log(chain="other", visits=40, seed=9), "events", 1)
    return broker


def together(members: list[Member], steps: int = 30) -> None:
    for _ in range(steps):
        for member in members:
            member.step()


def one_worker() -> tuple[FakeBroker, Member]:
    broker = chain_broker()
    member = Member(broker, _logs(), (0, 1, 2))
    together([member])
    return broker, member


def _logs() -> Logs:
    return FakeTransactions(FakeBroker()).logs


def three_workers(broker: FakeBroker, logs: Logs) -> list[Member]:
    return [Member(broker, logs, (n,), writer=f"g-{n}") for n in range(PARTITIONS)]


def test_three_workers_give_what_one_gives() -> None:
    broker, one = one_worker()
    shared = chain_broker()
    members = three_workers(shared, _logs())
    together(members)
    records = estimates(shared)
    assert_without_gaps(records)
    assert_same_estimates(
        newest(records).values(), newest(estimates(broker)).values(), tolerance=1e-9
    )
    watermarks = {member.engine.watermark_ms(now_ms=one.now_ms) for member in members}
    assert watermarks == {one.engine.watermark_ms(now_ms=one.now_ms)}


def test_three_workers_serve_the_half_life_that_the_refitter_has_chosen() -> None:
    """Whoever refits chooses; the others tell of every half-life, and serve what the fit says."""
    half_lives_ms = (3_600_000, 60_000)
    rules = dict.fromkeys(SETTINGS.methods, HalfLives(half_lives_ms))
    world = replace(SETTINGS, forgetting=rules)
    wanted = {(c, m): half_lives_ms[c == "c"] for c in ("c", "other") for m in SETTINGS.methods}
    feeds = {"chosen": Chosen(wanted)}
    found = []
    for shares in (((0, 1, 2),), ((0,), (1,), (2,))):
        broker, logs = chain_broker(), _logs()
        members = [
            Member(broker, logs, share, writer=f"g-{n}", settings=world, feeds=feeds)
            for n, share in enumerate(shares)
        ]
        together(members)
        for member in members:
            fits = member.engine.pools
            assert {pool: fit.half_life_ms for pool, fit in fits.items()} == wanted
        found.append(newest(estimates(broker)))
    alone, shared = found
    for record in shared.values():
        assert record["half_life_s"] == (60 if record["key"]["chain_id"] == "c" else 3_600)
    assert_same_estimates(shared.values(), alone.values(), tolerance=1e-9)


def test_all_workers_have_the_same_hyperparameters() -> None:
    members = three_workers(chain_broker(), _logs())
    together(members)
    said = [
        {pool: (fit.version, fit.parameters()) for pool, fit in member.engine.pools.items()}
        for member in members
    ]
    assert said[0] == said[1] == said[2]
    assert {chain for chain, _ in said[0]} == {"c", "other"}


def test_nothing_is_refitted_while_a_shard_is_unknown() -> None:
    broker, logs = chain_broker(), _logs()
    members = [Member(broker, logs, (n,), writer=f"g-{n}") for n in range(2)]
    together(members)
    assert not members[0].engine.pools
    assert not estimates(broker)
    late = Member(broker, logs, (2,), writer="g-2")
    together([*members, late])
    assert members[0].engine.pools
    assert late.engine.pools


def test_the_next_owner_of_the_first_shard_refits_under_later_versions() -> None:
    broker, logs = chain_broker(), _logs()
    members = three_workers(broker, logs)
    together(members)
    version = members[0].engine.refits
    heir = members[1]
    heir.give(0)
    heir.now_ms = members[0].now_ms
    broker.append(shop_log(seed=77, visits=30), "events", 2)
    together(members[1:])
    assert heir.engine.refits > version
    assert heir.engine.refits == members[2].engine.refits
    assert_without_gaps(estimates(broker))


def test_the_next_owner_goes_on_at_once_with_a_refit_that_was_left_in_its_middle() -> None:
    broker, logs = chain_broker(), _logs()
    minutely = replace(SETTINGS, refit_every_ms=60_000)
    members = [
        Member(broker, logs, (n,), writer=f"g-{n}", settings=minutely) for n in range(PARTITIONS)
    ]
    dying, heir = members[:2]
    together(members, 70)
    known = dict(heir.engine.pools)
    refit, begun = dying.pooling.refit, []

    def one_pool(now_ms: int, _enough: Callable[[], bool]) -> Refit | None:
        made = refit(now_ms, lambda: True)
        begun.extend([made] if made and made.pools else [])
        return made

    dying.pooling.refit = one_pool  # type: ignore[assignment,method-assign]
    broker.append(shop_log(seed=77, visits=30), "events", 0)
    for _ in range(130):
        if not begun:
            together(members, 1)
    assert [len(part.pools) for part in begun] == [1]
    assert not begun[0].whole
    together(members[1:], 1)
    heir.give(0)
    together(members[1:], 30)  # of the 60 s between two refits
    fits = heir.engine.pools
    newer = {pool for pool in fits if fits[pool].version > known[pool].version}
    assert newer >= {("c", metric) for metric in SETTINGS.methods}


def test_a_refit_that_was_never_told_is_forgotten_with_its_shard() -> None:
    broker, logs = chain_broker(), _logs()
    members = three_workers(broker, logs)
    together(members)
    owner = members[0]
    known = dict(owner.engine.pools)
    broker.append(shop_log(seed=78, visits=30), "events", 1)
    together(members[1:2], 5)  # whose news only the owner refits
    for _ in range(10):
        owner.transactions.faults["commit"].append(TransactionAbortedError("abort it"))
        owner.step()
    owner.transactions.faults["commit"].clear()
    assert owner.engine.pools != known
    owner.take(0)
    owner.step()
    assert owner.engine.pools == known


def test_a_worker_that_comes_late_knows_the_hyperparameters_at_once() -> None:
    broker, logs = chain_broker(), _logs()
    members = three_workers(broker, logs)
    together(members)
    late = Member(broker, logs, (), writer="g-3")
    together([late], 12)
    assert late.engine.pools.keys() == members[0].engine.pools.keys()
    assert late.engine.refitted_at_ms == members[0].engine.refitted_at_ms


def test_a_worker_that_comes_late_never_uses_the_fits_of_long_ago() -> None:
    broker, logs = chain_broker(), _logs()
    members = three_workers(broker, logs)
    together(members)
    broker.append(shop_log(seed=79, visits=30), "events", 1)
    together(members)
    assert len({key for key, _ in logs["hyper", 0]}) < len(logs["hyper", 0]), "nothing is compacted"
    late = Member(broker, logs, (), writer="g-3")
    seen = set()
    for _ in range(20):
        late.step()
        seen |= {fit.version for fit in late.engine.pools.values()}
    assert seen == {fit.version for fit in members[0].engine.pools.values()}


def test_a_broker_that_does_not_answer_is_heard_later() -> None:
    broker = chain_broker()
    members = three_workers(broker, _logs())
    for member in members:
        member.hyper.faults["poll"].extend([TransientError("not yet")] * 3)
        member.summaries.faults["end"].extend([TransientError("not yet")] * 2)
    together(members)
    reference, _ = one_worker()
    expected = newest(estimates(reference)).values()
    assert_same_estimates(newest(estimates(broker)).values(), expected, tolerance=1e-9)


def test_what_another_group_tells_is_refused() -> None:
    logs = _logs()
    logs["hyper", 0].append((CLOCKS_KEY, clocks_row(Clocks("h", 1, 1, {}))))
    member = Member(chain_broker(), logs, (0,))
    with pytest.raises(SnapshotError, match="group 'h' tells of its pools in the topics of 'g'"):
        together([member])


def test_who_is_alone_tells_nothing_while_nothing_happens() -> None:
    _, one = one_worker()
    calls = len(one.transactions.calls)
    together([one], 10)
    assert len(one.transactions.calls) == calls
