"""Full Bayes for pools of counts against dense quadrature, and where there is little to go by."""

from typing import Any

import numpy as np
import pytest

from stream_hb.errors import FitError
from stream_hb.models.beta_binomial import BetaBinomial
from stream_hb.models.gamma_poisson import GammaPoisson
from stream_hb.models.hyperprior import Flat, Hyperprior
from stream_hb.models.sensitivity import most_affected
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from tests.benchmarks.quadrature_error import draw, pooled
from tests.reference.dense_counts import default_prior, dense

FAMILIES: dict[str, tuple[Any, Any]] = {
    "beta-binomial": (BetaBinomial(), Counts),
    "gamma-poisson": (GammaPoisson(), Exposure),
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("count", "streaming_max"), [(3, 0.012), (20, 0.005)])
def test_ends_are_those_of_dense_quadrature(name: str, count: int, streaming_max: float) -> None:
    family, kind = FAMILIES[name]
    total, size = draw(name, "small", count, seed=0)
    rest = (size - total if name == "beta-binomial" else size).sum()
    half = 0.5 if name == "beta-binomial" else 0.0
    middle = float(np.log(total.sum() + half) - np.log(rest + half))
    reference = dense(name, total, size, default_prior(middle), 80)
    groups = kind(total[:2], size[:2])
    for fit, error_max in (
        (family.fit(kind(total, size), "bayes"), streaming_max),
        (family.audit(kind(total, size)), 0.0035),
    ):
        posterior = family.posterior(groups, fit.hyper, 0.95)
        assert fit.log_likelihood == pytest.approx(reference.log_evidence, abs=2e-3)
        for i in range(2):
            lo, hi = (reference.quantile(total[i], size[i], p) for p in (0.025, 0.975))
            assert abs(posterior.lo[i] - lo) < error_max * (hi - lo)
            assert abs(posterior.hi[i] - hi) < error_max * (hi - lo)
            mean, sd = reference.mean_sd(total[i], size[i])
            assert posterior.mean[i] == pytest.approx(mean, rel=1e-3)
            assert posterior.sd[i] == pytest.approx(sd, rel=5e-3)
            weight = reference.weight_on_pool(size[i])
            assert posterior.weight[i] == pytest.approx(weight, abs=1e-3)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("count", [1, 2, 20])
def test_pools_without_any_success_have_an_answer(name: str, count: int) -> None:
    family, kind = FAMILIES[name]
    groups = kind(np.zeros(count), np.full(count, 9.0))
    fit = family.fit(groups, "bayes")
    posterior = family.posterior(groups, fit.hyper, 0.95)
    assert fit.boundary
    assert (posterior.lo < posterior.mean).all()
    assert (posterior.mean < posterior.hi).all()
    assert (posterior.weight < 1).all()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("count", [3, 20])
def test_pools_without_any_success_are_integrated_as_finely_as_others(
    name: str, count: int
) -> None:
    """The location is known to a logit or two only: wide kernels would be lumps."""
    family, kind = FAMILIES[name]
    total, size = draw(name, "zero", count, seed=0)
    groups = kind(total, size)
    reference = dense(name, total, size, default_prior(pooled(name, total, size)), 240)
    posterior = family.posterior(groups, family.fit(groups, "bayes").hyper, 0.95)
    for i in (0, count - 1):
        lo, hi = (reference.quantile(total[i], size[i], p) for p in (0.025, 0.975))
        assert abs(posterior.lo[i] - lo) < 0.005 * (hi - lo)
        assert abs(posterior.hi[i] - hi) < 0.005 * (hi - lo)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_flat_location_without_any_success_is_refused(name: str) -> None:
    family, kind = FAMILIES[name]
    groups = kind(np.zeros(3), np.full(3, 9.0))
    with pytest.raises(FitError, match=r"flat prior .* expected normal:S"):
        family.fit(groups, "bayes", Hyperprior(location=Flat()))


@pytest.mark.parametrize("name", FAMILIES)
def test_many_groups_alike_need_one_kernel(name: str) -> None:
    family, kind = FAMILIES[name]
    total, size = draw(name, "large", 1000, seed=0)
    assert family.fit(kind(total, size), "bayes").hyper.weight.shape[0] == 1


@pytest.mark.parametrize("name", FAMILIES)
def test_the_prior_matters_most_where_groups_are_few(name: str) -> None:
    family, kind = FAMILIES[name]
    groups = [kind(*draw(name, "small", count, seed=0)) for count in (3, 300)]
    fits = [family.fit(pool, "bayes") for pool in groups]
    few, many = (
        most_affected(family, pool, fit.hyper, fit.sensitivity)
        for pool, fit in zip(groups, fits, strict=True)
    )
    assert abs(few.shift) > abs(many.shift)
    assert abs(fits[1].sensitivity.shift_halved) < 0.1
