import numpy as np
import pytest

from stream_hb.errors import FitError
from stream_hb.models.james_stein import bock, james_stein
from stream_hb.statistics.measured import Measured
from tests.benchmarks.james_stein_mse import study
from tests.oracles.reading import assert_agree, oracle


def _eight_schools() -> Measured:
    data = oracle("eight_schools")["data"]
    return Measured(np.array(data["y"], dtype=float), np.array(data["se"], dtype=float) ** 2)


def _bcg() -> Measured:
    data = oracle("bcg")["data"]
    return Measured(np.array(data["yi"]), np.array(data["vi"]))


# multiple_inference.bayes.Normal(y, diag(v), fit_method="james_stein" | "bock").fit().params;
# its positive part is searched for to 1e-6 on sqrt(S).
@pytest.mark.parametrize("name", ["eight_schools", "bcg"])
def test_both_agree_with_multiple_inference(name: str) -> None:
    groups = {"eight_schools": _eight_schools, "bcg": _bcg}[name]()
    theirs = oracle(name)["oracle"]["multiple_inference"]
    assert_agree(bock(groups).mean, theirs["bock"]["params"], 1e-9, name)
    assert_agree(james_stein(groups).mean, theirs["james_stein"]["params"], 1e-6, name)


def test_efron_and_morris_batters() -> None:
    expected = oracle("efron_morris")["oracle"]["james_stein"]
    arcsine = expected["arcsin"]
    ours = james_stein(Measured(np.array(arcsine["x"]), np.ones(len(arcsine["x"]))))
    assert ours.centre == pytest.approx(arcsine["xbar"], rel=1e-9)
    assert 1 - ours.weight[0] == pytest.approx(arcsine["shrink_keep"], rel=1e-9)
    assert_agree(ours.mean, arcsine["js_x"], 1e-9, "arcsine")
    hits = np.array(oracle("efron_morris")["data"]["Hits"]) / 45
    raw = james_stein(Measured(hits, np.full(len(hits), expected["raw"]["sigma2"])))
    assert_agree(raw.mean, expected["raw"]["js"], 1e-9, "raw")


@pytest.mark.parametrize("estimate", [james_stein, bock])
def test_a_given_centre_costs_no_dimension(estimate: object) -> None:
    groups = Measured(np.array([3.0, -2.0, 4.0]), np.ones(3))
    assert callable(estimate)
    np.testing.assert_allclose(estimate(groups, toward=0.0).weight, 1 / 29, rtol=1e-14)
    assert not estimate(groups).weight.any()


@pytest.mark.parametrize("estimate", [james_stein, bock])
def test_groups_without_data_take_the_centre_and_change_nothing(estimate: object) -> None:
    groups = _eight_schools()
    assert callable(estimate)
    both = estimate(groups.concatenate(Measured.zeros(1)))
    np.testing.assert_array_equal(both.mean[:-1], estimate(groups).mean)
    assert (both.mean[-1], both.weight[-1]) == (both.centre, 1.0)
    with pytest.raises(FitError):
        estimate(Measured.zeros(2))


@pytest.mark.parametrize("estimate", [james_stein, bock])
def test_equal_means_stay(estimate: object) -> None:
    assert callable(estimate)
    same = estimate(Measured(np.full(5, 3.0), np.ones(5)))
    np.testing.assert_array_equal(same.mean, np.full(5, 3.0))


# Farther out the gain at three groups is smaller than 4,000 replicates can tell from nothing.
@pytest.mark.parametrize("spread", [0.0, 1.0])
@pytest.mark.parametrize("groups_count", [3, 10])
def test_total_squared_error_is_below_the_raw_means(groups_count: int, spread: float) -> None:
    cell = study(groups_count, spread, replicates=4_000, seed=7)
    # Paired differences: the raw means' error is in both.
    for name in ("james-stein, given centre", "bock, given centre"):
        gain, error = cell[name]
        assert gain > 3 * error, f"{name}: raw - ours {gain:.4f} ± {error:.4f}"


def test_three_groups_about_their_own_mean_are_left_raw() -> None:
    cell = study(3, 1.0, replicates=100, seed=7)
    assert cell["james-stein, grand mean"] == (0.0, 0.0)
