"""A pool's summary with covariates is a statistic, and fits as its groups do."""

from typing import Any

import numpy as np
import pytest

from stream_hb.errors import FitError
from stream_hb.models.covariates.registry import COVARIATE_FAMILIES
from stream_hb.models.described import Described
from stream_hb.statistics.covariate_summary import CovariateSummary
from tests.models.covariates.pools import pool

NAMES = ("normal", "normal-known-variance")
CASES = [(name, method) for name in NAMES for method in COVARIATE_FAMILIES[name].methods]


def _summary(described: Described[Any]) -> CovariateSummary:
    columns = described.covariates.shape[1]
    empty = CovariateSummary.empty(np.append(np.full(columns, 45.0), 1.0))
    return empty.add(described.groups, described.covariates)


@pytest.mark.parametrize(
    ("name", "method", "columns"),
    [(*case, p) for case in CASES for p in ((1,) if case[1] == "bayes" else (0, 1, 3))],
)
def test_a_fit_from_the_summary_is_that_from_the_groups(
    name: str, method: str, columns: int
) -> None:
    described = pool(name, count=3000, columns=max(columns, 1), seed=5)
    described = Described.of(described.groups, described.covariates[:, :columns])
    family = COVARIATE_FAMILIES[name]
    exact, binned = (family.fit(groups, method) for groups in (described, _summary(described)))
    ours, theirs = family.parameters(binned.hyper), family.parameters(exact.hyper)
    # The default prior's scale is a median, which a summary knows to the width of a bin.
    rtol = 1e-6 if method != "bayes" else 1e-4
    assert ours == pytest.approx(theirs, rel=rtol)
    if method != "bayes":
        assert binned.log_likelihood == pytest.approx(exact.log_likelihood, rel=1e-7)
    assert binned.groups_count == exact.groups_count == 3000


@pytest.mark.parametrize("name", NAMES)
def test_merged_in_any_order_and_retracted_it_is_the_same(name: str) -> None:
    described = pool(name, count=300, columns=2)
    whole = _summary(described)
    parts = [_summary(described.take(slice(*cut))) for cut in ((0, 100), (100, 150), (150, 300))]
    for merged in (
        parts[0].merge(parts[1]).merge(parts[2]),
        parts[2].merge(parts[0].merge(parts[1])),
    ):
        np.testing.assert_allclose(merged.products, whole.products, rtol=1e-9, atol=1e-9)
    old = described.take(slice(0, 40))
    new = Described.of(old.groups.take(slice(None, None, -1)), old.covariates + 1)
    changed = whole.exchange((old.groups, old.covariates), (new.groups, new.covariates))
    direct = _summary(new.concatenate(described.take(slice(40, None))))
    np.testing.assert_allclose(changed.products, direct.products, rtol=1e-9, atol=1e-8)
    fits = [COVARIATE_FAMILIES[name].fit(s, "reml") for s in (changed, direct)]
    ours, theirs = (COVARIATE_FAMILIES[name].parameters(fit.hyper) for fit in fits)
    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def test_the_origin_is_irrelevant_to_the_fit() -> None:
    described = pool("normal", count=200)
    family = COVARIATE_FAMILIES["normal"]
    fits = []
    for origin in ([0.0, 0.0], [50.0, -1.0], [48.0, 100.0]):
        summary = CovariateSummary.empty(np.array(origin))
        summary = summary.add(described.groups, described.covariates)
        fits.append(family.parameters(family.fit(summary, "reml").hyper))
    assert fits[0] == pytest.approx(fits[1], rel=1e-6)
    assert fits[2] == pytest.approx(fits[1], rel=1e-6)


def test_summaries_about_different_origins_do_not_merge() -> None:
    one = CovariateSummary.empty(np.array([0.0, 0.0]))
    with pytest.raises(FitError, match="one origin"):
        one.merge(CovariateSummary.empty(np.array([1.0, 0.0])))


def test_what_no_fit_can_use_is_named_from_a_summary_too() -> None:
    described = pool("normal", count=20)
    x = described.covariates
    family = COVARIATE_FAMILIES["normal"]
    for columns, message in (
        (np.hstack([x, np.full_like(x, 3.0)]), "covariate 2 is 3 for every group"),
        (np.hstack([x, 2 * x - 1]), "covariate 2 is a linear combination"),
    ):
        with pytest.raises(FitError, match=message):
            family.fit(_summary(Described.of(described.groups, columns)), "reml")
    with pytest.raises(FitError, match="at least 2 groups"):
        family.fit(_summary(described.take(slice(1))), "reml")
    with pytest.raises(FitError, match="nothing to fit"):
        family.fit(_summary(described.take(slice(0))), "reml")
