"""Real chains, customers and items against exact scipy fits of the same tables."""

import numpy as np
import pytest

from stream_hb.models.beta_binomial import BetaBinomial
from stream_hb.models.gamma_poisson import GammaPoisson
from stream_hb.models.normal import NormalFromObservations
from stream_hb.models.special import rising_log
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.moments import Moments
from stream_hb.statistics.summary import ExactSummary
from tests.oracles.reading import oracle

EXPECTED = oracle("real_data_fits")
DATA = oracle("real_data")


@pytest.mark.parametrize("name", ["obd_campaign_item_id", "obd_campaign_item_id_policy"])
def test_clicks_of_items(name: str) -> None:
    """scipy's fit stops short on this ridge (2e-5 in the concentration) and its log-gamma
    differences are good to 1e-8.
    """
    groups = Counts(*(np.array(DATA[name][c], float) for c in ("successes", "trials")))
    expected = EXPECTED[name]
    fit = BetaBinomial().fit(groups, "ml")
    assert fit.groups_count == expected["groups"]
    assert fit.hyper.mean == pytest.approx(expected["mean"], rel=2e-6)
    assert fit.hyper.concentration == pytest.approx(expected["strength"], rel=2e-5)
    kernel = _kernel(groups, fit.hyper.mean, fit.hyper.concentration)
    assert kernel == pytest.approx(expected["loglik_kernel"], abs=1e-8)


def _kernel(groups: Counts, m: float, k: float) -> float:
    y, n = groups.successes, groups.trials
    f = n - y
    kernel = rising_log(y, m * k) + rising_log(f, (1 - m) * k) - rising_log(n, k)
    return float((kernel + y * np.log(m) + f * np.log1p(-m)).sum())


def test_repeat_purchases_of_customers() -> None:
    data, expected = DATA["cdnow_nbd_repeat_days"], EXPECTED["cdnow_nbd_repeat_days"]
    times = np.array(data["customers"])
    groups = Exposure(
        np.repeat(np.array(data["events"], float), times),
        np.repeat(np.array(data["days"]) / 7, times),
    )
    fit = GammaPoisson().fit(groups, "ml")
    assert fit.groups_count == expected["groups"]
    assert fit.hyper.shape == pytest.approx(expected["shape"], rel=1e-6)
    assert fit.hyper.rate == pytest.approx(expected["rate"], rel=1e-6)
    assert fit.log_likelihood == pytest.approx(expected["loglik"], rel=1e-9)  # from the summary
    exact = GammaPoisson().fit(ExactSummary(groups), "ml")
    assert exact.log_likelihood == pytest.approx(expected["loglik"], rel=1e-10)


@pytest.mark.parametrize("name", ["superstore_log_sales_state", "superstore_log_sales_city"])
def test_sales_of_places(name: str) -> None:
    groups = Moments(*(np.array(DATA[name][c], float) for c in ("n", "mean", "m2")))
    expected = EXPECTED[name]
    hyper = NormalFromObservations().fit(groups, "pm").hyper
    assert hyper.sigma2 == pytest.approx(expected["sigma2"], rel=1e-9)
    assert hyper.tau2 == pytest.approx(expected["tau2_PM"], rel=1e-6)
    assert hyper.mu == pytest.approx(expected["mu"], rel=1e-9)
    assert hyper.se_mu == pytest.approx(expected["se_mu"], rel=1e-6)
