"""The laws that every family of models keeps, on any statistics it may meet."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_hb.models.family import Family, Posterior
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.columns import Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments
from stream_hb.statistics.summary import ExactSummary

Draw = Callable[..., Any]

# A busy machine is not a broken law; a full Bayes fit takes 50 ms.
unhurried = settings(deadline=None, max_examples=60)

sizes = st.one_of(st.just(0), st.integers(1, 5), st.integers(6, 100_000))
means = st.floats(-1e4, 1e4).map(lambda value: round(value, 6))
exposures = st.one_of(st.just(0.0), st.floats(1e-3, 1e5))


@st.composite
def counts(draw: Draw) -> tuple[float, ...]:
    trials = draw(sizes)
    return draw(st.integers(0, trials)), trials


@st.composite
def events(draw: Draw) -> tuple[float, ...]:
    exposure = draw(exposures)
    return draw(st.integers(0, 10_000)) if exposure else 0, exposure


@st.composite
def moments(draw: Draw) -> tuple[float, ...]:
    n = draw(sizes)
    m2 = draw(st.one_of(st.just(0.0), st.floats(1e-6, 1e6))) if n > 1 else 0.0
    return n, draw(means) if n else 0.0, m2


measured = st.tuples(means, st.one_of(st.just(math.inf), st.floats(1e-6, 1e6)))

STATISTICS: dict[str, tuple[type[Statistic], st.SearchStrategy[Any]]] = {
    "beta-binomial": (Counts, counts()),
    "gamma-poisson": (Exposure, events()),
    "normal": (Moments, moments()),
    "normal-known-variance": (Measured, measured),
    "normal-moderated": (Moments, moments()),
    "normal-separate": (Moments, moments()),
}


def _fittable(groups: Statistic) -> bool:
    match groups:
        case Counts():
            return bool(groups.trials.any())
        case Exposure():
            return bool(groups.exposure.any())
        case Moments():
            return bool(groups.weight.sum() >= 2)
        case Measured():
            return bool(np.isfinite(groups.variance).any())
    raise AssertionError(type(groups))


@st.composite
def pools(draw: Draw) -> tuple[str, str, Any]:
    """Any family, one of its methods, and statistics of groups that can be fitted."""
    name = draw(st.sampled_from(sorted(FAMILIES)))
    method = draw(st.sampled_from(FAMILIES[name].methods))
    kind, rows = STATISTICS[name]
    drawn = draw(st.lists(rows, min_size=1, max_size=12))
    groups = kind(*(np.array(column, dtype=float) for column in zip(*drawn, strict=True)))
    if not _fittable(groups):
        groups = groups.concatenate(SANE[name])
    return name, method, groups


SANE: dict[str, Any] = {
    "beta-binomial": Counts(np.array([2.0, 30.0, 9.0]), np.array([30.0, 200.0, 40.0])),
    "gamma-poisson": Exposure(np.array([2.0, 30.0, 9.0]), np.array([30.0, 200.0, 40.0])),
    "normal": Moments(
        np.array([3.0, 20.0, 8.0]), np.array([3.0, 4.0, 2.5]), np.array([1.0, 22.0, 6.0])
    ),
    "normal-known-variance": Measured(np.array([3.0, 4.0, 2.5]), np.array([0.4, 0.1, 0.2])),
}
# The location's posterior at given spreads jumps from one group's rate to the other's.
FAR_APART = (
    "gamma-poisson",
    "bayes",
    Exposure(np.array([0.0, 655.0]), np.array([81_745.0, 0.015625])),
)
SANE["normal-moderated"] = SANE["normal-separate"] = SANE["normal"]


def _columns(posterior: Posterior) -> dict[str, Any]:
    return {f.name: getattr(posterior, f.name) for f in dataclasses.fields(posterior)}


def test_every_family_is_under_these_laws() -> None:
    assert STATISTICS.keys() == SANE.keys() == FAMILIES.keys()


@unhurried
@given(pools())
@example(FAR_APART)
def test_fits_and_posteriors_are_finite_on_any_statistics(pool: tuple[str, str, Any]) -> None:
    name, method, groups = pool
    family: Family[Any, Any] = FAMILIES[name]
    fit = family.fit(groups, method)
    assert fit.converged
    assert math.isfinite(fit.log_likelihood)
    assert not any(math.isnan(value) for value in family.parameters(fit.hyper).values())
    posterior = family.posterior(groups, fit.hyper, 0.95)
    for column, values in _columns(posterior).items():
        there = ~np.isnan(posterior.raw) if column == "raw" else slice(None)
        assert np.isfinite(values[there]).all(), column
    assert (posterior.sd > 0).all()
    assert (posterior.lo <= posterior.hi).all()


@unhurried
@given(pools())
def test_estimate_is_raw_and_pooled_by_the_weight(pool: tuple[str, str, Any]) -> None:
    name, method, groups = pool
    hyper = FAMILIES[name].fit(groups, method).hyper
    posterior = FAMILIES[name].posterior(groups, hyper, 0.95)
    assert (posterior.weight >= 0).all()
    assert (posterior.weight <= 1).all()
    raw = np.where(np.isnan(posterior.raw), posterior.pooled, posterior.raw)
    blend = (1 - posterior.weight) * raw + posterior.weight * posterior.pooled
    scale = np.maximum(np.abs(raw), np.abs(posterior.pooled))
    error = np.abs(blend - posterior.mean)
    assert (error <= 1e-12 * np.maximum(scale, 1)).all()
    low, high = np.minimum(raw, posterior.pooled), np.maximum(raw, posterior.pooled)
    slack = 1e-12 * scale
    assert (posterior.mean >= low - slack).all()
    assert (posterior.mean <= high + slack).all()


@unhurried
@given(pools())
def test_groups_without_data_are_drawn_to_the_pool_whole(pool: tuple[str, str, Any]) -> None:
    name, method, groups = pool
    hyper = FAMILIES[name].fit(groups, method).hyper
    posterior = FAMILIES[name].posterior(groups, hyper, 0.95)
    empty = np.isnan(posterior.raw)
    assert (posterior.weight[empty] == 1).all()
    np.testing.assert_allclose(posterior.mean[empty], posterior.pooled[empty], rtol=1e-12)


@unhurried
@given(pools(), st.randoms(use_true_random=False))
def test_the_order_of_groups_is_irrelevant(pool: tuple[str, str, Any], random: Any) -> None:
    name, method, groups = pool
    family: Family[Any, Any] = FAMILIES[name]
    order = list(range(len(groups)))
    random.shuffle(order)
    shuffled = groups.take(np.array(order))
    fit, other = family.fit(groups, method), family.fit(shuffled, method)
    _assert_same_fit(family, fit.hyper, other.hyper)
    straight = _columns(family.posterior(groups, fit.hyper, 0.95))
    for column, values in _columns(family.posterior(shuffled, fit.hyper, 0.95)).items():
        np.testing.assert_array_equal(values, straight[column][order], err_msg=column)


@unhurried
@given(pools(), st.data())
def test_summaries_merged_in_any_order_give_the_same_fit(
    pool: tuple[str, str, Any], data: st.DataObject
) -> None:
    name, method, groups = pool
    family: Family[Any, Any] = FAMILIES[name]
    first = data.draw(st.integers(0, len(groups)))
    second = data.draw(st.integers(first, len(groups)))
    cuts = ((0, first), (first, second), (second, len(groups)))
    parts: list[Any] = [ExactSummary(groups.take(slice(*cut))) for cut in cuts]
    a, b, c = parts
    fits = [family.fit(each, method) for each in (a.merge(b).merge(c), c.merge(a.merge(b)))]
    _assert_same_fit(family, fits[0].hyper, fits[1].hyper)


def _assert_same_fit(family: Family[Any, Any], one: Any, other: Any) -> None:
    assert family.parameters(one) == pytest.approx(family.parameters(other), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_more_data_of_the_same_kind_weighs_less_on_the_pool(name: str) -> None:
    family, groups = FAMILIES[name], SANE[name]
    hyper = family.condition(dict.fromkeys(family.given_names, 0.7))
    once = family.posterior(groups, hyper, 0.95)
    twice = family.posterior(groups.merge(groups), hyper, 0.95)
    assert (twice.weight < once.weight).all()
    assert (twice.sd < once.sd).all()


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_intervals_hold_the_mean_and_grow_with_the_level(name: str) -> None:
    family, groups = FAMILIES[name], SANE[name]
    hyper = family.fit(groups, family.methods[-1]).hyper
    narrow, wide = (family.posterior(groups, hyper, level) for level in (0.5, 0.95))
    for posterior in (narrow, wide):
        assert (posterior.lo < posterior.mean).all()
        assert (posterior.mean < posterior.hi).all()
    assert (wide.lo < narrow.lo).all()
    assert (narrow.hi < wide.hi).all()


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_new_group_is_one_row_without_data(name: str) -> None:
    family, groups = FAMILIES[name], SANE[name]
    new = family.new_group(family.fit(groups, family.methods[-1]).hyper, 0.95)
    assert all(len(values) == 1 for values in _columns(new).values())
    assert math.isnan(new.raw[0])
    assert new.weight[0] == 1
    assert new.lo[0] < new.mean[0] < new.hi[0]
