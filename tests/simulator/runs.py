"""Runs by seed."""

import gc
import logging
import sys

import structlog

from tests.simulator.mutants import NOTHING, Mutant
from tests.simulator.verify import violations
from tests.simulator.world import Outcome, World


def quiet() -> None:
    """Let the workers say nothing: what they would say is what is meant to happen."""
    silent = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=silent, cache_logger_on_first_use=True)


def prepare() -> None:
    """Make a process one that runs many seeds, and does nothing else.

    The collector looks seldom: what a run leaves is little, and to look costs a tenth. And what
    measures the coverage of tests came along with the process: it would double the time.
    """
    sys.settrace(None)
    quiet()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 3, 2)


def outcome_of(seed: int, mutant: Mutant = NOTHING) -> Outcome:
    """Run a seed to its end and judge it."""
    world = World(seed, mutant)
    outcome = world.run()
    if not outcome.violations:
        outcome.violations.extend(violations(world.cluster))
    if not outcome.violations:
        world.set_back()
    return outcome


def first_kill(mutant: Mutant, seeds: range) -> int | None:
    """Return the first seed that finds something wrong with a mutant."""
    return next((seed for seed in seeds if outcome_of(seed, mutant).violations), None)
