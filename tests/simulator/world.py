"""Workers over the cluster, what happens to them, and whether what is left is right."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from threading import Event

from stream_hb.engine import Engine
from stream_hb.errors import StreamHBError
from stream_hb.runtime.client import Committed, TopicPartition
from stream_hb.runtime.delivery import Route
from stream_hb.runtime.exactly_once import ExactlyOnce
from stream_hb.runtime.restores import Restores
from stream_hb.runtime.shared_pooling import Board, SharedPooling
from stream_hb.runtime.worker import Worker
from stream_hb.settings import EmissionRule, EngineSettings
from tests.simulator.clients import INPUT, SimInput, SimLog, SimTransactions
from tests.simulator.fate import Fate, KilledError
from tests.simulator.kafka import Cluster
from tests.simulator.mutants import NOTHING, Mutant
from tests.support.logs import START_MS, purchase, visit

PARTITIONS = 3
STORES = 6
EVENTS = 120
WORKERS = 3
TICKS_MAX = 4_000
PAUSE_TICKS = 25
GROUP = "g"

SETTINGS = EngineSettings(
    {"conversion": "moments"},
    refit_every_ms=2_000,
    refit_min_change=0.0,
    emission=EmissionRule(changed_sd=0.0, changed_width=0.0, heartbeat_ms=None),
)


@dataclass(slots=True)
class Outcome:
    """What a run came to.

    Attributes
    ----------
    seed
        Its seed.
    counts
        What happened, by name.
    violations
        What was wrong, a line each.
    """

    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


class Process:
    """One worker's process: it may die, and its supervisor starts it again.

    Parameters
    ----------
    world
        Where it lives.
    slot
        Its slot.
    """

    def __init__(self, world: "World", slot: int) -> None:
        self.slot = slot
        self.is_frozen = False
        self.starts_at_ms = 0
        self.worker: Worker | None = None
        self.transactions: SimTransactions | None = None
        self._world = world
        self.fate = Fate(world.random, world.outcome.counts, self._is_open, self._pause)

    def _is_open(self) -> bool:
        return self.transactions is not None and self.transactions.is_open

    def _pause(self) -> None:
        self.is_frozen = True
        self._world.go_on(PAUSE_TICKS)
        self.is_frozen = False

    def start(self) -> None:
        """Make the worker as the command does."""
        cluster, fate, writer = self._world.cluster, self.fate, f"{GROUP}-{self.slot}"
        engine = Engine(SETTINGS)
        inputs = SimInput(cluster, fate, writer)
        self.transactions = SimTransactions(cluster, fate, writer)
        state, summaries, hyper = (
            SimLog(cluster, fate, t) for t in ("state", "summaries", "hyper")
        )
        restores = Restores(inputs, state, SETTINGS, GROUP, self._world.seconds)
        route = Route("estimates", "rejects", 30, state="state")
        header = {"group": GROUP, "writer": writer}
        delivery = ExactlyOnce(
            engine, inputs, self.transactions, restores, route, header, self._world.seconds
        )
        board = Board("summaries", "hyper", PARTITIONS, GROUP, writer)
        pooling = SharedPooling(engine, summaries, hyper, board)
        self.worker = Worker(engine, inputs, delivery, route, self._world.clock_ms, pooling)
        self._world.mutant.change(self.worker, cluster)

    def step(self, stop: Event) -> None:
        """Let it poll once; its end, however it comes, is followed by a start."""
        counts = self._world.outcome.counts
        try:
            if self.worker is None:
                self.start()
            assert self.worker is not None
            self.worker.step(stop)
        except KilledError:
            self._end()
        except StreamHBError as error:
            kind = type(error).__name__
            counts[f"ended by {kind}"] += 1
            if kind in ("LostError", "SnapshotError"):
                self._world.outcome.violations.append(f"{kind}: {error}")
            self._end()
        except Exception as error:
            self._world.outcome.violations.append(f"slot {self.slot}: {error!r}")
            self._end()

    def _end(self) -> None:
        self.worker = self.transactions = None
        self.starts_at_ms = self._world.cluster.now_ms + self._world.random.randint(100, 8_000)


class World:
    """A run: events come, workers work, things happen; then they happen no more.

    Parameters
    ----------
    seed
        Decides everything.
    mutant
        What is wrong with the workers; nothing, unless the simulator itself is proved.
    """

    def __init__(self, seed: int, mutant: Mutant = NOTHING) -> None:
        self.random = Random(seed)
        self.outcome = Outcome(seed)
        self.mutant = mutant
        self.cluster = Cluster(self.random, PARTITIONS, eager=self.random.random() < 0.5)
        self._eager = "eager runs" if self.cluster.eager else "cooperative runs"
        self.outcome.counts[self._eager] += 1
        self._stop = Event()
        self._depth = 0
        self._made = 0
        self._violations_max = 5
        self._refits: set[int] = set()
        self.processes = [Process(self, slot) for slot in range(WORKERS)]
        for process in self.processes:
            process.starts_at_ms = self.random.choice([0, 0, 5_000, 20_000])

    def clock_ms(self) -> int:
        return START_MS + 1_000_000 + self.cluster.now_ms

    def seconds(self) -> float:
        return self.cluster.now_ms / 1_000

    def run(self) -> Outcome:
        """Work through the trouble, and then until nothing is left to be done."""
        counts = self.outcome.counts
        self.go_on(self.random.randint(150, 300))
        for process in self.processes:
            process.fate.is_kind = True
        while self._made < EVENTS:
            self._feed()
        for tick in range(TICKS_MAX):
            self._tick()
            if tick % 20 == 19 and self._is_drained():
                break
            if len(self.outcome.violations) > self._violations_max:
                break
        else:
            self.outcome.violations.append("the input was not read to its end")
        if self.random.random() < 0.1 and not self.outcome.violations:
            self._set_back()
        counts["transactions"] = self.cluster.transactions
        counts["events"] = self._made
        counts["generations"] = self.cluster.generation
        return self.outcome

    def _set_back(self) -> None:
        """Let an operator set the group back: whoever opens the shard then must refuse."""
        where = TopicPartition(INPUT, self.random.randrange(PARTITIONS))
        known = self.cluster.committed.get(where)
        if known is None or known.offset < 2:
            return
        counts, before = self.outcome.counts, self.outcome.counts["ended by LostError"]
        counts["group set back"] += 1
        self.cluster.committed[where] = Committed(known.offset - 1)
        for process in self.processes:
            process.worker = None
        was, self.outcome.violations = self.outcome.violations, []
        for _ in range(500):
            self._tick()
            if counts["ended by LostError"] > before:
                break
        else:
            was.append("a group that was set back was not refused")
        self.outcome.violations = was
        self.cluster.committed[where] = known

    def go_on(self, ticks: int) -> None:
        """Let some time pass; a worker that is frozen in a call takes no part."""
        if self._depth > 1:
            return
        self._depth += 1
        for _ in range(ticks):
            self._tick()
        self._depth -= 1

    def _tick(self) -> None:
        self.cluster.pass_time(self.random.randint(50, 1_500))
        if self._made < EVENTS and self.random.random() < 0.3:
            self._feed()
        ready = [
            process
            for process in self.processes
            if not process.is_frozen and process.starts_at_ms <= self.cluster.now_ms
        ]
        if ready:
            self.random.choice(ready).step(self._stop)

    def _feed(self) -> None:
        """Append some events: visits, orders of known and unknown visits, repetitions, nonsense."""
        for _ in range(self.random.randint(1, 6)):
            number = self._made
            self._made += 1
            store = self.random.randrange(STORES)
            where = TopicPartition(INPUT, store % PARTITIONS)
            self.cluster.append_input(where, self._event(store, number))

    def _event(self, store: int, number: int) -> bytes:
        at_ms = START_MS + number * 1_000
        draw = self.random.random()
        known = f"v{store}-{self.random.randrange(number + 1)}"
        if draw < 0.03:
            return b"no event"
        if draw < 0.3:
            return purchase(f"s{store}", f"o{number}", at_ms, visit_id=known)
        name = known if draw < 0.4 else f"v{store}-{number}"
        return visit(f"s{store}", name, at_ms)

    def _is_drained(self) -> bool:
        """Tell whether everything is read and committed, and no marker is missing."""
        cluster = self.cluster
        if cluster.ended or any(p.ongoing for p in cluster.producers.values()):
            return False
        places = [TopicPartition(INPUT, n) for n in range(PARTITIONS)]
        ends = {where: len(cluster.log(where)) for where in places}
        done = all(
            end == 0 or (where in cluster.committed and cluster.committed[where].offset == end)
            for where, end in ends.items()
        )
        return done and self._is_told()

    def _is_told(self) -> bool:
        """Tell whether the last refit saw everything, and everyone."""
        workers = [p.worker for p in self.processes]
        engines = [worker.engine for worker in workers if worker is not None]
        owned = sorted(number for engine in engines for number in engine.shards)
        refits = {engine.refits for engine in engines}
        unscreened = any(s.unscreened for engine in engines for s in engine.shards.values())
        settled = owned == list(range(PARTITIONS)) and len(refits) == 1 and not unscreened
        previous, self._refits = self._refits, refits
        return settled and previous == refits
