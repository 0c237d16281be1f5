"""What a fit says of a tick: the doubt about its hyperparameters is in it."""

import numpy as np
import pytest
from numpy.random import Generator
from numpy.testing import assert_allclose
from scipy.special import betaln, gammaln

from stream_hb.errors import FitError
from stream_hb.feeds.calibration.predictive import Belief, log_score, predict, score
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments


def few_stores(random: Generator, stores: int) -> Counts:
    n = random.integers(20, 400, stores).astype(np.float64)
    theta = random.beta(6.0, 114.0, stores)
    return Counts(random.binomial(n.astype(np.int64), theta).astype(np.float64), n)


@pytest.mark.parametrize("stores", [4, 30])
def test_few_stores_are_predicted_as_by_every_node_of_the_quadrature(stores: int) -> None:
    """Against the dense mixture: one exact Beta-Binomial for each node of the audit."""
    groups = few_stores(np.random.default_rng(stores), stores).concatenate(Counts.zeros(1))
    family = FAMILIES["beta-binomial"]
    fitted = groups.take(slice(stores))
    fit, audit = family.fit(fitted, "bayes"), family.audit(fitted)  # type: ignore[attr-defined]
    nodes = audit.hyper
    m, c, weight = (x.ravel()[:, None] for x in (nodes.location, nodes.concentration, nodes.weight))
    a, b = m * c + groups.successes, (1 - m) * c + groups.trials - groups.successes
    tick = 120.0
    dense = np.zeros(stores + 1)
    predictive = predict(
        Belief(family, fit.hyper, groups), Counts(dense, np.full(stores + 1, tick))
    )
    for k in range(26):
        choose = gammaln(tick + 1) - gammaln(k + 1) - gammaln(tick - k + 1)
        mass = np.exp(choose + betaln(k + a, tick - k + b) - betaln(a, b))
        dense = dense + (weight * mass).sum(axis=0)
        found = predictive.distribution(np.full(stores + 1, float(k)))
        assert_allclose(found, dense, atol=5e-3, err_msg=f"P(Y <= {k})")


def test_certain_hyperparameters_predict_too_narrowly_where_stores_are_few() -> None:
    """The mistake that the mixture avoids: at 4 stores, maximum likelihood's intervals."""
    groups = few_stores(np.random.default_rng(4), 4)
    family = FAMILIES["beta-binomial"]
    new, tick = Counts.zeros(1), Counts(np.zeros(1), np.array([1_000.0]))
    widths = []
    for method in ("ml", "bayes"):
        predictive = predict(Belief(family, family.fit(groups, method).hyper, new), tick)
        widths.append(predictive.quantile(0.975)[0] - predictive.quantile(0.025)[0])
    assert widths[0] < 0.7 * widths[1]


@pytest.mark.parametrize(
    ("name", "groups", "tick"),
    [
        ("beta-binomial", Counts(np.array([3.0]), np.array([50.0])), Counts),
        ("gamma-poisson", Exposure(np.array([3.0]), np.array([50.0])), Exposure),
    ],
)
def test_the_expected_count_is_the_posterior_mean_times_the_size(
    name: str, groups: Counts | Exposure, tick: type[Counts] | type[Exposure]
) -> None:
    family = FAMILIES[name]
    pool = type(groups)(np.array([3.0, 9.0, 4.0]), np.array([50.0, 90.0, 70.0]))
    for method in ("ml", "bayes"):
        hyper = family.fit(pool, method).hyper
        predictive = predict(Belief(family, hyper, groups), tick(np.zeros(1), np.array([40.0])))
        assert_allclose(predictive.mean(), 40 * family.screen(groups, hyper)[0], rtol=1e-9)


def test_log_scores_alone_are_those_of_the_whole_score() -> None:
    random = np.random.default_rng(1)
    groups, tick = few_stores(random, 30), few_stores(random, 30)
    family = FAMILIES["beta-binomial"]
    belief = Belief(family, family.fit(groups, "bayes").hyper, groups)
    assert_allclose(log_score(belief, tick), score(belief, tick).log_score, rtol=1e-12)


def test_known_variances_predict_no_observation() -> None:
    family = FAMILIES["normal-known-variance"]
    hyper = family.condition({"mu": 0.0, "tau2": 1.0})
    belief = Belief(family, hyper, Measured(np.zeros(1), np.ones(1)))
    with pytest.raises(FitError, match="no σ²"):
        predict(belief, Moments(np.ones(1), np.zeros(1), np.zeros(1)))
