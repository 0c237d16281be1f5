import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit

from stream_hb.feeds.drift.chain_offset import chain_offset
from stream_hb.feeds.drift.counts import Counts
from stream_hb.feeds.drift.families import FAMILIES
from stream_hb.feeds.drift.family import Observed
from stream_hb.feeds.drift.tick import Kind
from stream_hb.statistics.columns import Floats

RNG = np.random.default_rng(11)
STORES = 30
RELATION = RNG.normal(0, 0.5, STORES)
VARIANCE = np.full(STORES, 0.01)
ALL = np.ones(STORES, bool)


def observed(offset: float) -> Observed:
    visits = np.floor(np.exp(RNG.normal(6, 1, STORES)))
    return Observed(
        visits, RNG.binomial(visits.astype(int), expit(offset + RELATION)).astype(float)
    )


def solved(given: Observed, relation: Floats) -> float:
    def excess(offset: float) -> float:
        return float((given.total - given.size * expit(offset + relation)).sum())

    return float(brentq(excess, -20, 20, xtol=1e-14))


@pytest.mark.parametrize("offset", [-6.0, logit(0.05), logit(0.05) + 2, 0.0, 4.0])
def test_four_steps_solve_the_chains_equation(offset: float) -> None:
    """Reference: scipy's brentq. A promotion moves the chain by 0.4; here by far more."""
    given = observed(offset)
    found = chain_offset(Counts(), given, RELATION, VARIANCE, ALL)
    assert found.offset == pytest.approx(solved(given, RELATION), abs=1e-9)


def test_a_store_is_held_against_the_others_only() -> None:
    """With itself in the offset, a flagship store would hide half of its own drift."""
    given = observed(logit(0.05))
    given.size[0] = 20 * given.size.sum()
    given.total[0] = given.size[0] * 0.2
    found = chain_offset(Counts(), given, RELATION, VARIANCE, ALL)
    others = solved(Observed(given.size[1:], given.total[1:]), RELATION[1:])
    assert abs(found.offset - others) > 1
    assert found.without[0] == pytest.approx(others, abs=1e-6)
    small = observed(logit(0.05))
    found = chain_offset(Counts(), small, RELATION, VARIANCE, ALL)
    for row in range(3):
        rest = np.arange(STORES) != row
        exact = solved(Observed(small.size[rest], small.total[rest]), RELATION[rest])
        assert found.without[row] == pytest.approx(exact, abs=2e-4)


def test_what_does_not_count_does_not_move_the_chain() -> None:
    given = observed(logit(0.05))
    counting = np.arange(STORES) > 4
    before = chain_offset(Counts(), given, RELATION, VARIANCE, counting)
    given.total[:5] = given.size[:5]
    after = chain_offset(Counts(), given, RELATION, VARIANCE, counting)
    assert after.offset == before.offset
    assert after.without[0] == pytest.approx(after.offset)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_store_without_others_has_no_chain_to_be_held_against(kind: Kind) -> None:
    given = Observed(np.array([100.0]), np.array([5.0]))
    found = chain_offset(FAMILIES[kind], given, np.zeros(1), np.zeros(1), np.ones(1, bool))
    assert np.isinf(found.variance[0])
    assert np.isfinite(found.without[0])


@pytest.mark.parametrize("kind", list(Kind))
def test_an_empty_tick_has_a_finite_offset(kind: Kind) -> None:
    given = Observed(np.zeros(3), np.zeros(3))
    found = chain_offset(FAMILIES[kind], given, np.zeros(3), np.zeros(3), np.zeros(3, bool))
    assert np.isfinite(found.offset)
    assert np.isinf(found.variance).all()


def test_the_others_own_deviations_are_part_of_the_offsets_variance() -> None:
    given = observed(logit(0.05))
    quiet = chain_offset(Counts(), given, RELATION, np.zeros(STORES), ALL).variance
    noisy = chain_offset(Counts(), given, RELATION, np.full(STORES, 0.2), ALL).variance
    assert (noisy > quiet + 0.2 / STORES).all()


@pytest.mark.parametrize("times", [20.0, 0.05])
def test_a_flagship_is_left_out_however_far_the_others_are_from_it(times: float) -> None:
    """Newton's own step from the common offset goes where no exponential is finite."""
    size = np.full(STORES, 100.0)
    size[0] = 1e9
    rate = np.where(np.arange(STORES) == 0, 0.05, 0.05 * times)
    found = chain_offset(FAMILIES[Kind.RATES], Observed(size, size * rate), 0 * size, VARIANCE, ALL)
    assert found.offset == pytest.approx(np.log(0.05), abs=0.01)
    assert found.without[0] == pytest.approx(np.log(0.05 * times), abs=0.02)
