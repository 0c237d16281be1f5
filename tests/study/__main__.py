"""``make study-coverage``: draw, fit and judge every cell, and print the tables in Markdown."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.study.study import Replicates, run
from tests.study.table import full_table, missed, name_of, short_table
from tests.study.worlds import KINDS, World

GROUPS = (5, 10, 20, 100)
SEED = 20261123
POOLS = 1_000
"""Per kind of sizes: 2,000 for every family, J and spread."""


def cells(families: Sequence[str]) -> Iterator[World]:
    """Name every cell: both kinds of sizes, every J, spreads drawn from the prior and fixed."""
    for family in families:
        for groups_count in GROUPS:
            for spread in (None, *KINDS[family].spreads):
                for flagship in (False, True):
                    yield World(family, groups_count, flagship, spread)


def one(numbered: tuple[int, World], pools: int, seed: int) -> Replicates:
    """Run one cell, in a process of its own; its draws depend on the seed and its number only."""
    number, world = numbered
    result = run(world, pools, (seed, number))
    print(name_of(world), file=sys.stderr, flush=True)
    return result


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m tests.study")
    parser.add_argument("--pools", type=int, default=POOLS, help="replicates per cell")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--family", choices=list(KINDS), action="append")
    parser.add_argument("--only", choices=("prior", "fixed"), help="spreads drawn, or fixed")
    options = parser.parse_args()
    numbered = [
        (number, world)
        for number, world in enumerate(cells(list(KINDS)))
        if world.family in (options.family or KINDS)
        and options.only in (None, "prior" if world.spread is None else "fixed")
    ]
    work = partial(one, pools=options.pools, seed=options.seed)
    with ProcessPoolExecutor(options.processes) as processes:
        found = list(processes.map(work, numbered))
    print(f"{options.pools:,} pools per cell (family, sizes, spread, J), seed {options.seed}.\n")
    print(short_table(found), full_table(found), sep="\n\n")
    print(f"\n### Missed\n\n{missed(found)}")


if __name__ == "__main__":
    main()
