"""Full Bayes for means where numbers lie powers of ten apart, against plain grids."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp

from stream_hb.errors import FitError
from stream_hb.models import normal_shrinkage
from stream_hb.models.hyperprior import DEFAULT, HalfNormal, Hyperprior, Uniform
from stream_hb.models.normal import NormalFromObservations, NormalKnownVariance
from stream_hb.models.normal_quadrature import Pool, resolve
from stream_hb.models.normal_shrinkage import Variances
from stream_hb.models.normal_sums import sums_of
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments
from stream_hb.statistics.summary import summary_of

LOG_2PI = math.log(2 * math.pi)
Array = NDArray[np.float64]


def test_of_two_middle_standard_errors_the_default_prior_takes_the_mean() -> None:
    """The median as R's and NumPy's ``median`` have it."""
    groups = Measured(np.array([1.0, 1.0, 1.0, 1.0]), np.array([1.0, 4.0, 16.0, 25.0]))
    spread = resolve(DEFAULT, Pool(sums_of(groups))).spread
    assert spread == HalfNormal(2 * 3.0)


def _log_evidence(groups: Moments, scale: float) -> float:
    """Trapezoids in ln τ and ln σ², the latter's box closed on what weighs; μ in closed form."""
    n, mean, m2 = groups.weight, groups.mean - groups.mean[0], groups.m2.sum()
    degrees = (n - 1).sum()
    t = np.linspace(math.log(scale) - 25, math.log(scale) + 3, 600)
    u = np.linspace(math.log(m2 / degrees) - 5, math.log(m2 / degrees) + 60, 400)

    def log_density(t: Array, u: Array) -> Array:
        w = 1 / (np.exp(u)[..., None] / n + np.exp(2 * t)[..., None])
        total = w.sum(-1)
        mu = (w * mean).sum(-1) / total
        q = (w * (mean - mu[..., None]) ** 2).sum(-1)
        between = np.log(w).sum(-1) - np.log(total) - q - (len(n) - 1) * LOG_2PI
        within = degrees * (LOG_2PI + u) + m2 * np.exp(-u) + np.log(n).sum()
        prior = math.log(2 / scale / math.sqrt(2 * math.pi)) - (np.exp(t) / scale) ** 2 / 2
        return np.asarray((between - within) / 2 + prior + t)

    for _ in range(6):
        top = log_density(t[:, None], u[None]).max(axis=0)
        near = np.flatnonzero(top > top.max() - 40)
        u = np.linspace(u[max(near[0] - 1, 0)], u[min(near[-1] + 1, 399)], 400)
    values = log_density(t[:, None], u[None])
    return float(logsumexp(values) + math.log((t[1] - t[0]) * (u[1] - u[0])))


@pytest.mark.parametrize("size", [10.0, 3e4, 1e7, 1e9])
def test_the_evidence_is_that_of_a_grid_however_many_observations(size: float) -> None:
    """σ²'s mode by differences .05 apart was a standard deviation off at ten million."""
    n = np.array([size, 7.0, 20.0])
    groups = Moments(n, np.array([4.0, 5.0, 4.5]), 1.7 * (n - 1))
    fit = NormalFromObservations().fit(groups, "bayes", Hyperprior(HalfNormal(1.0)))
    expected = _log_evidence(groups, 1.0)
    assert fit.log_likelihood == pytest.approx(expected, abs=1e-3 + 1e-14 * abs(expected))


def test_a_prior_far_below_the_groups_differences_is_answered_by_their_variance() -> None:
    """σ² has to be e^20 times what the observations within the groups say: many steps."""
    n = np.array([2.0, 3.0, 2.0])
    groups = Moments(n, np.array([0.0, 1.0, 2.0]), 1e-9 * (n - 1))
    fit = NormalFromObservations().fit(groups, "bayes", Hyperprior(HalfNormal(1e-6)))
    assert fit.log_likelihood == pytest.approx(_log_evidence(groups, 1e-6), abs=0.02)


def test_intervals_hold_for_variances_ten_powers_of_ten_apart() -> None:
    """The few kernels that stand for all nodes are tried where τ is small, too."""
    mean = np.array([1231.2, -4.6e-4, -1.64e-3, 4.71, 5489.6])
    variance = np.array([6.8e7, 5.5e-6, 2.8e-4, 294.0, 5.0e7])
    family = NormalKnownVariance()
    hyper = family.fit(Measured(mean, variance), "bayes", Hyperprior(HalfNormal(66.0))).hyper
    assert hyper.few.shape[1] <= hyper.weight.size
    kernels = hyper.kernels()
    columns = mean, Variances(variance[:, None])
    by_all = normal_shrinkage.posterior(*columns, kernels, kernels, 0.95)
    by_few = family.posterior(Measured(mean, variance), hyper, 0.95)
    width = by_all.hi - by_all.lo
    assert (np.abs(by_few.lo - by_all.lo) < 2e-3 * width).all()
    assert (np.abs(by_few.hi - by_all.hi) < 2e-3 * width).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("normal-separate", Moments(np.full(2, 3.0), np.full(2, 5.0), np.zeros(2))),
        (
            "normal-moderated",
            Moments(np.array([1e9, 2.0]), np.array([5.0, 6.0]), np.array([1e9, 1.0])),
        ),
    ],
)
def test_a_location_known_to_a_point_has_an_interval(name: str, groups: Moments) -> None:
    """Windows that nothing lies in are kernels without a width: no division by it."""
    family = FAMILIES[name]
    fit = family.fit(groups, "bayes")
    sd, lo, hi = family.uncertainty(fit.hyper, 0.95)["mu"]
    assert 0 < sd < 1
    assert lo < family.parameters(fit.hyper)["mu"] < hi


def test_a_binned_pools_median_standard_error_is_that_of_its_groups() -> None:
    """Within two bins, 64 a decade of n; nodes of negative mass left out made it 15 % too large."""
    rng = np.random.default_rng(5)
    n = np.ceil(10 ** rng.uniform(0, 7, 2500))
    groups = Moments(n, rng.normal(size=2500), n - 1)
    binned = Pool(sums_of(summary_of(groups))).median_se
    assert binned == pytest.approx(float(np.median(n**-0.5)), rel=0.02)


def test_a_prior_that_ends_far_below_the_groups_differences_is_named() -> None:
    groups = Measured(np.array([-1e6, 0.0, 1e6]), np.ones(3))
    with pytest.raises(FitError, match=r"too far apart for a spread of 0\.4 or less"):
        NormalKnownVariance().fit(groups, "bayes", Hyperprior(Uniform(0.4)))
