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
from stream_hb.runtime.origin import Origin
from stream_hb.runtime.restores import Restores
from stream_hb.runtime.screen_limit import ScreenLimit
from stream_hb.runtime.shared_pooling import Board, SharedPooling
from stream_hb.runtime.worker import Worker
from stream_hb.settings import EmissionRule, EngineSettings
from tests.simulator.clients import INPUT, SimInput, SimLog, SimTransactions
from tests.simulator.fate import Fate, KilledError
from tests.simulator.kafka import Cluster
from tests.simulator.mutants import NOTHING, Mutant
from tests.simulator.snapshots import Disk, SimCheckpoints
from tests.simulator.warm import SimWarmShards
from tests.support.logs import START_MS, purchase, visit

PARTITIONS = 3
STORES = 6
EVENTS = 48
WORKERS = 3
NO_EVENT = b"no event"
PLACES = [TopicPartition(INPUT, number) for number in range(PARTITIONS)]
GROUP = "g"
ORIGIN = Origin("cluster", {INPUT: "topic"})

TROUBLE_TICKS = (32, 64)
TICK_MS = (100, 3_000)
DRAIN_TICKS_MAX = 400
DRAIN_TICK_MS = (2_700, 3_500)
"""Longer for three workers than it is to the next refit: each turn of each is one to tell in."""

QUIET_TICKS = 3 * WORKERS
"""When all is read: a turn of everybody's to tell of it, one to refit, one to hear."""

FEED, FEED_MOST = 0.2, 12
"""How often events come in a tick, and the most at once."""

SET_BACK = 0.1
"""In how many runs an operator sets the group back at the end."""

SNAPSHOTS = 0.5
"""How many of the runs have a disk for them."""

STOP = 0.013
"""How often a worker is told to stop in a step."""

BACK_MS, BACK_LATE, BACK_LATE_MS = (100, 8_000), 0.12, (16_000, 30_000)
"""When a supervisor starts a process again; now and then only after its session."""

AWAY, AWAY_MS = 0.007, (3_000, 30_000)
"""How often in a tick, and for how long, no broker answers."""

SETTINGS = EngineSettings(
    {"conversion": "moments"},
    refit_every_ms=8_000,
    refit_min_change=0.0,
    emission=EmissionRule(changed_sd=0.0, changed_width=0.0, heartbeat_ms=None),
)

ROWS_MAX = (2, 5, 1_000)
"""How many waiting groups an emission looks at, by the seed: no time passes while it does."""


UNFIT = (TypeError, AttributeError)
"""What a mutant dies of that does not fit the worker any more: to find it proves nothing."""


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


class Awake(Event):
    """Tells nobody to stop, and lets nobody sleep: time is the simulator's.

    A mutant whose transactions all fail would sleep for two seconds after each.
    """

    def wait(self, timeout: float | None = None) -> bool:
        """Return at once."""
        return self.is_set()


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
        self.inputs: SimInput | None = None
        self._world = world
        self.random = world.random
        self.counts = world.outcome.counts
        self.is_kind = False
        self.fate = Fate(self)

    def is_open(self) -> bool:
        """Tell whether it has a transaction open."""
        return self.transactions is not None and self.transactions.is_open

    def is_down(self) -> bool:
        """Tell whether no broker answers it."""
        return self._world.cluster.is_down

    def beat(self) -> None:
        """Tell the group that it lives, if it does."""
        if self.inputs is not None and not self.is_frozen:
            self.inputs.beat()

    def pause(self, ticks: int) -> bool:
        """Stand still in a call while everything else goes on."""
        was, self.is_frozen = self.is_frozen, True
        went_on = self._world.go_on(ticks)
        self.is_frozen = was
        return went_on

    def start(self) -> None:
        """Make the worker as the command does."""
        cluster, fate, writer = self._world.cluster, self.fate, f"{GROUP}-{self.slot}"
        engine = Engine(SETTINGS)
        self.inputs = inputs = SimInput(cluster, fate, writer)
        self.transactions = SimTransactions(cluster, fate, writer)
        state, summaries, hyper = (
            SimLog(cluster, fate, t, writer) for t in ("state", "summaries", "hyper")
        )
        seconds, disk = self._world.seconds, self._world.disk
        warm = SimWarmShards(seconds, self.counts)
        restores = Restores(
            inputs, state, SETTINGS, GROUP, seconds, files=disk, origin=lambda: ORIGIN, warm=warm
        )
        route = Route("estimates", "rejects", 30, state="state")
        header = {"group": GROUP, "writer": writer}
        delivery = ExactlyOnce(
            engine,
            inputs,
            self.transactions,
            restores,
            route,
            header,
            seconds,
            checkpoints=SimCheckpoints(disk, seconds) if disk is not None else None,
        )
        board = Board("summaries", "hyper", PARTITIONS, GROUP, writer)
        pooling = SharedPooling(engine, summaries, hyper, board)
        clock_ms, rows_max = self._world.clock_ms, self._world.rows_max
        limit = ScreenLimit(rows_max, rows_max)
        self.worker = Worker(engine, inputs, delivery, route, clock_ms, pooling, limit)
        self._world.mutant.change(self.worker, cluster)

    def step(self, stop: Event) -> None:
        """Let it poll once; its end, however it comes, is followed by a start."""
        try:
            if self.worker is None:
                self.start()
            assert self.worker is not None
            if self.fate.happens("stopped", STOP):
                self.worker.finish()
                self.worker.leave()
                self._end()
            else:
                self.worker.step(stop)
                self.counts["emission in parts"] += self.worker._emission_goes_on
        except KilledError:
            self._end()
        except StreamHBError as error:
            kind = type(error).__name__
            self.counts[f"ended by {kind}"] += 1
            if kind in ("LostError", "SnapshotError"):
                self._world.outcome.violations.append(f"{kind}: {error}")
            self._end()
        except Exception as error:
            if isinstance(error, UNFIT) and self._world.mutant is not NOTHING:
                raise
            self._world.outcome.violations.append(f"slot {self.slot}: {error!r}")
            self._end()

    def _end(self) -> None:
        self.worker = self.transactions = self.inputs = None
        back_ms = BACK_LATE_MS if self.fate.happens("late start", BACK_LATE) else BACK_MS
        self.starts_at_ms = self._world.cluster.now_ms + self.random.randint(*back_ms)


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
        self.rows_max = ROWS_MAX[seed % len(ROWS_MAX)]
        self.mutant = mutant
        counts, eager = self.outcome.counts, self.random.random() < 0.5
        self.cluster = Cluster(self.random, counts, PARTITIONS, eager=eager)
        counts["eager runs" if eager else "cooperative runs"] += 1
        self.disk = Disk(counts) if self.random.random() < SNAPSHOTS else None
        counts["runs with snapshots"] += self.disk is not None
        self._stop = Awake()
        self._depth = 0
        self._made = 0
        self._violations_max = 5
        self.processes = [Process(self, slot) for slot in range(WORKERS)]
        for process in self.processes:
            process.starts_at_ms = self.random.choice([0, 0, 5_000, 20_000])

    def clock_ms(self) -> int:
        return START_MS + 1_000_000 + self.cluster.now_ms

    def seconds(self) -> float:
        return self.cluster.now_ms / 1_000

    def run(self) -> Outcome:
        """Work through the trouble, and then until nothing is left to be done."""
        self.go_on(self.random.randint(*TROUBLE_TICKS))
        for process in self.processes:
            process.is_kind = True
            process.starts_at_ms = min(process.starts_at_ms, self.cluster.now_ms)
        self.cluster.back_at_ms = 0
        while self._made < EVENTS:
            self._feed()
        self._drain()
        self.outcome.counts["events"] = self._made
        return self.outcome

    def _drain(self) -> None:
        quiet = 0
        for tick in range(DRAIN_TICKS_MAX):
            self._pass_time(DRAIN_TICK_MS)
            self._step(self.processes[tick % WORKERS])
            self.cluster.mark_all()
            quiet = quiet + 1 if self._is_read() else 0
            if quiet > QUIET_TICKS and self._is_told():
                return
            if len(self.outcome.violations) > self._violations_max:
                return
        self.outcome.violations.append("the input was not read to its end")

    def set_back(self) -> None:
        """Let an operator set the group back, in some runs: who opens the shard must refuse."""
        if self.random.random() > SET_BACK:
            return
        where = self.random.choice(PLACES)
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

    def go_on(self, ticks: int) -> bool:
        """Let some time pass; a worker that is frozen in a call takes no part.

        False: not within a call of another worker within such a call.
        """
        if self._depth > 1:
            return False
        self._depth += 1
        for _ in range(ticks):
            self._tick()
        self._depth -= 1
        return True

    def _tick(self) -> None:
        self._pass_time()
        if self._made < EVENTS and self.random.random() < FEED:
            self._feed()
        if self.random.random() < AWAY and not self.processes[0].is_kind:
            self.cluster.go_down(self.random.randint(*AWAY_MS))
        self._step(self.random.choice(self.processes))

    def _pass_time(self, ms: tuple[int, int] = TICK_MS) -> None:
        self.cluster.pass_time(self.random.randint(*ms))
        for process in self.processes:
            process.beat()

    def _step(self, process: Process) -> None:
        if not process.is_frozen and process.starts_at_ms <= self.cluster.now_ms:
            process.step(self._stop)

    def _feed(self) -> None:
        """Append some events: visits, orders of known and unknown visits, repetitions, nonsense."""
        for _ in range(self.random.randint(1, FEED_MOST)):
            number = self._made
            self._made += 1
            store = self.random.randrange(STORES)
            self.cluster.append_input(PLACES[store % PARTITIONS], self._event(store, number))

    def _event(self, store: int, number: int) -> bytes:
        at_ms = START_MS + number * 1_000
        draw = self.random.random()
        known = f"v{store}-{self.random.randrange(number + 1)}"
        if draw < 0.03:
            return NO_EVENT
        if draw < 0.3:
            return purchase(f"s{store}", f"o{number}", at_ms, visit_id=known)
        name = known if draw < 0.4 else f"v{store}-{number}"
        return visit(f"s{store}", name, at_ms)

    def _is_read(self) -> bool:
        """Tell whether everything is read and committed."""
        cluster = self.cluster
        if any(p.ongoing for p in cluster.producers.values()):
            return False
        ends = {where: len(cluster.log(where)) for where in PLACES}
        return all(
            end == 0 or (where in cluster.committed and cluster.committed[where].offset == end)
            for where, end in ends.items()
        )

    def _is_told(self) -> bool:
        """Tell whether every shard works, and all under one refit."""
        workers = [p.worker for p in self.processes]
        engines = [worker.engine for worker in workers if worker is not None]
        owned = sorted(number for engine in engines for number in engine.shards)
        refits = {engine.refits for engine in engines}
        unscreened = any(s.unscreened for engine in engines for s in engine.shards.values())
        return owned == list(range(PARTITIONS)) and len(refits) == 1 and not unscreened
