"""``make study-coverage``: draw, fit and judge every cell, and print the tables in Markdown."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tests.study.kept import HERE, Kept, fingerprint
from tests.study.study import Replicates
from tests.study.table import full_table, missed, name_of, short_table
from tests.study.worlds import KINDS, World

GROUPS = (5, 10, 20, 100)
SEED = 20261123
POOLS = 2_000
"""Per cell: the Monte-Carlo error of a coverage of .95 is .002 at five groups, .0009 at 100."""


def cells(families: Sequence[str]) -> Iterator[World]:
    """Name every cell: both kinds of sizes, every J, spreads drawn from the prior and fixed."""
    for family in families:
        for groups_count in GROUPS:
            for spread in (None, *KINDS[family].spreads):
                for flagship in (False, True):
                    yield World(family, groups_count, flagship, spread)


def one(numbered: tuple[int, World], pools: int, seed: int, kept: Kept) -> Replicates:
    """Run one cell, in a process of its own; its draws depend on the seed and its number only."""
    number, world = numbered
    result = kept.judged(world, pools, (seed, number))
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
    parser.add_argument("--keep", type=Path, default=HERE / "kept", help="cells judged before")
    options = parser.parse_args()
    numbered = [
        (number, world)
        for number, world in enumerate(cells(list(KINDS)))
        if world.family in (options.family or KINDS)
        and options.only in (None, "prior" if world.spread is None else "fixed")
    ]
    kept = Kept(options.keep, fingerprint())
    work = partial(one, pools=options.pools, seed=options.seed, kept=kept)
    with ProcessPoolExecutor(options.processes) as processes:
        found = list(processes.map(work, numbered))
    print(f"{options.pools:,} pools per cell (family, sizes, spread, J), seed {options.seed}.\n")
    print(short_table(found), full_table(found), sep="\n\n")
    print(f"\n### Missed\n\n{missed(found)}")


if __name__ == "__main__":
    main()
