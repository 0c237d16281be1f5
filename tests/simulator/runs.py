"""Runs by seed."""

import logging

import structlog

from tests.simulator.mutants import NOTHING, Mutant
from tests.simulator.verify import violations
from tests.simulator.world import Outcome, World


def quiet() -> None:
    """Let the workers say nothing: what they would say is what is meant to happen."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def outcome_of(seed: int, mutant: Mutant = NOTHING) -> Outcome:
    """Run a seed to its end and judge it."""
    world = World(seed, mutant)
    outcome = world.run()
    if not outcome.violations:
        outcome.violations.extend(violations(world.cluster))
    return outcome


def first_kill(mutant: Mutant, seeds: range) -> int | None:
    """Return the first seed that finds something wrong with a mutant."""
    return next((seed for seed in seeds if outcome_of(seed, mutant).violations), None)
