"""``make fuzz``: a million mutated payloads and a hundred thousand mutated logs."""

import argparse
import random
from collections import Counter

from stream_hb.events.decode import Decoder
from tests.events.examples import raw_batch
from tests.events.test_decode_fuzz import assert_taken_apart, mutant
from tests.fuzz.logs import check

BATCH = 20_000


def main() -> None:
    """Run both; nothing may escape, and what comes in is accepted or rejected."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--payloads", type=int, default=1_000_000)
    parser.add_argument("--logs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=20261124)
    options = parser.parse_args()
    source = random.Random(options.seed)
    reasons: Counter[str] = Counter()
    for start in range(0, options.payloads, BATCH):
        payloads = [mutant(source) for _ in range(min(BATCH, options.payloads - start))]
        batch = raw_batch(payloads)
        result = Decoder().decode(batch)
        assert_taken_apart(batch, result)
        reasons.update(reject.reason for reject in result.rejects)
    rejected = sum(reasons.values())
    print(f"{options.payloads:,} payloads: {options.payloads - rejected:,} accepted,", end=" ")
    print(f"{rejected:,} rejected: " + ", ".join(f"{n} {r}" for r, n in reasons.most_common()))
    taken = refused = 0
    for _ in range(options.logs):
        more, less = check(source)
        taken, refused = taken + more, refused + less
    print(f"{options.logs:,} logs: {taken:,} events accepted, {refused:,} rejected", end="; ")
    print(f"seed {options.seed}")


if __name__ == "__main__":
    main()
