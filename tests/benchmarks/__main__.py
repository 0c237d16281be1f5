"""``make bench``: speeds as ratios to an anchor in the same run, on a real broker.

All in one run, because the machine's speed changes from one minute to the next: rounds of every
mode in turn, and the median of the rounds.
"""

import argparse
import os
import time
from collections.abc import Callable
from contextlib import ExitStack

from tests.benchmarks.catching_up import catching_up
from tests.benchmarks.engine_alone import engine_alone
from tests.benchmarks.feeds_on import CONFIGURATIONS, feeds_on
from tests.benchmarks.ids import remembered
from tests.benchmarks.job import QUIX_PYTHON, NotMeasuredError
from tests.benchmarks.live import live
from tests.benchmarks.passes import passes
from tests.benchmarks.restoring import restoring
from tests.benchmarks.workers import workers
from tests.support.broker import NamedBroker, RealBroker, find_broker

WHOLE = {
    "minutes": 60,
    "rounds": 3,
    "events": 2_000_000,
    "engine_events": 400_000,
    "feed_events": 2_000_000,
    "stores": [10_000, 100],
    "rates": [1_000, 20_000],
    "live_seconds": 20.0,
    "ids": 10_000_000,
    "passes": [(100, 100), (1_000, 50), (40_000, 10)],
    "restore_groups": 1_000_000,
    "restore_ids": 10_000_000,
}
QUICK = {
    "minutes": 10,
    "rounds": 1,
    "events": 500_000,
    "engine_events": 100_000,
    "feed_events": 200_000,
    "stores": [10_000],
    "rates": [1_000, 20_000],
    "live_seconds": 5.0,
    "ids": 500_000,
    "passes": [(100, 20), (40_000, 3)],
    "restore_groups": 20_000,
    "restore_ids": 400_000,
}


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--quick", action="store_true", help="small sizes: two or three minutes")
    parser.add_argument(
        "--cpu-clock",
        action="store_true",
        help="catching up on a busy machine: the worker's clock goes with its CPU time",
    )
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--minutes", type=int, help="after which no further section begins")
    parser.add_argument("--rounds", type=int, help="of every mode, in turn")
    parser.add_argument("--events", type=int, help="events in a full topic")
    parser.add_argument("--engine-events", type=int, help="events of the engine alone")
    parser.add_argument("--feed-events", type=int, help="events of the engine with feeds on")
    parser.add_argument("--feed-days", type=int, default=7, help="days that these events span")
    parser.add_argument("--feeds", nargs="+", choices=CONFIGURATIONS, default=[], help="only these")
    parser.add_argument("--stores", type=int, nargs="+", help="numbers of stores")
    parser.add_argument(
        "--spread", type=float, default=0.0, help="how much stores differ (.3: a chain's)"
    )
    parser.add_argument("--rates", type=int, nargs="+", help="events a second of live topics")
    parser.add_argument("--live-seconds", type=float, help="how long a live topic is measured")
    parser.add_argument("--ids", type=int, help="ids in the table of ids")
    parser.add_argument("--restore-groups", type=int)
    parser.add_argument("--restore-ids", type=int)
    quick = parser.parse_known_args()[0].quick
    parser.set_defaults(**(QUICK if quick else WHOLE))
    return parser.parse_args()


Broker = RealBroker | NamedBroker


def _engine(_broker: Broker, told: argparse.Namespace) -> None:
    engine_alone(told.rounds, told.engine_events)


def _feeds(_broker: Broker, told: argparse.Namespace) -> None:
    feeds_on(told.rounds, told.feed_events, told.stores[0], told.feed_days, told.feeds)


def _ids(_broker: Broker, told: argparse.Namespace) -> None:
    remembered(told.ids)


def _passes(_broker: Broker, told: argparse.Namespace) -> None:
    for stores in told.stores:
        passes(dict(told.passes), stores, told.spread)


def _catching_up(broker: Broker, told: argparse.Namespace) -> None:
    for stores in told.stores:
        catching_up(
            broker.bootstrap_servers,
            stores,
            told.events,
            told.rounds,
            spread=told.spread,
            cpu_clock=told.cpu_clock,
        )


def _live(broker: Broker, told: argparse.Namespace) -> None:
    for stores in told.stores:
        for rate in told.rates:
            live(broker.bootstrap_servers, stores, rate, told.live_seconds, told.spread)


def _restore(broker: Broker, told: argparse.Namespace) -> None:
    restoring(broker.bootstrap_servers, told.restore_groups, told.restore_ids, told.rounds)


def _workers(broker: Broker, told: argparse.Namespace) -> None:
    workers(broker, told.stores[0], told.events)


SECTIONS: dict[str, Callable[[Broker, argparse.Namespace], None]] = {
    "engine": _engine,
    "feeds": _feeds,
    "ids": _ids,
    "passes": _passes,
    "catching-up": _catching_up,
    "live": _live,
    "restore": _restore,
    "workers": _workers,
}


def main() -> None:
    """Run what is asked for, and print its tables."""
    told = options()
    if not QUIX_PYTHON.exists():
        print("without Quix Streams: `make bench-quix` makes its environment", flush=True)
    with ExitStack() as running:
        broker = find_broker(running)
        ends_at = time.monotonic() + 60 * told.minutes
        for name in told.only:
            if time.monotonic() > ends_at:
                print(f"({name}: left out, {told.minutes} minutes are over)")
            else:
                _run(name, broker, told)


def _run(name: str, broker: Broker, told: argparse.Namespace) -> None:
    """Run a section; what cannot be measured is said, and the next one goes on."""
    started, load = time.monotonic(), os.getloadavg()[0]
    try:
        SECTIONS[name](broker, told)
    except NotMeasuredError as error:
        print(f"{name}: not measured: {error}")
    took = time.monotonic() - started
    print(f"({name}: {took:.0f} s, load {load:.1f} when it began)", flush=True)


if __name__ == "__main__":
    main()
