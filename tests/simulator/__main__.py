"""``python -m tests.simulator --seeds 0-4999``: how often what happened, and what went wrong."""

import argparse
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

from tests.simulator.mutants import MUTANTS
from tests.simulator.runs import first_kill, outcome_of, prepare


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0-4999", help="a-b, both included")
    parser.add_argument("--mutants", action="store_true", help="prove that each mutant is found")
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    return _killed(seeds) if arguments.mutants else _simulated(seeds)


def _killed(seeds: range) -> int:
    """Print the first seed that finds each mutant."""
    missed = 0
    with ProcessPoolExecutor(initializer=prepare) as pool:
        for mutant, seed in zip(MUTANTS, pool.map(first_kill, MUTANTS, repeat(seeds)), strict=True):
            missed += seed is None
            print(f"{mutant.name:40} {'NOT FOUND' if seed is None else f'seed {seed}'}")
    return int(missed > 0)


def _simulated(seeds: range) -> int:
    counts: Counter[str] = Counter()
    wrong = 0
    with ProcessPoolExecutor(initializer=prepare) as pool:
        for outcome in pool.map(outcome_of, seeds, chunksize=20):
            counts += outcome.counts
            if outcome.violations:
                wrong += 1
                print(f"seed {outcome.seed}: {'; '.join(outcome.violations[:3])}")
                print(f"  again: python -m tests.simulator --seeds {outcome.seed}-{outcome.seed}")
    for name, count in sorted(counts.items()):
        print(f"{name:40} {count:12,}")
    print(f"{len(seeds):,} seeds, {wrong} with violations")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
