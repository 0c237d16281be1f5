"""Two and more arms against mpmath with 40 digits (ab_posterior_exact.json) and in the extremes."""

import math
from typing import Any

import mpmath
import numpy as np
import pytest

from stream_hb.errors import FitError
from stream_hb.feeds.experiments.best_of import best_of
from stream_hb.feeds.experiments.beta_arms import Beta, compare_rates
from stream_hb.feeds.experiments.gamma_arms import Gamma, compare_counts
from stream_hb.feeds.experiments.normal_effect import Normal, compare_means, judge_effect
from tests.oracles.reading import oracle

EXACT = oracle("ab_posterior_exact")


def _closed_form(rel: float = 1e-9) -> Any:
    return lambda value: pytest.approx(value, rel=rel, abs=0)


@pytest.mark.parametrize("case", EXACT["beta"], ids=lambda case: case["name"])
def test_beta_arms_are_mpmaths(case: dict[str, Any]) -> None:
    arms, same = compare_rates(Beta(*case["post_A"]), Beta(*case["post_B"])), _closed_form()
    assert arms.probability == same(case["prob_B_gt_A"])
    assert arms.loss_keep == same(case["expected_loss_choose_A"])
    assert arms.loss_ship == same(case["expected_loss_choose_B"])


@pytest.mark.parametrize("case", EXACT["gamma"], ids=lambda case: str(case["A"]))
def test_gamma_arms_are_mpmaths(case: dict[str, Any]) -> None:
    arms, same = compare_counts(Gamma(*case["A"]), Gamma(*case["B"])), _closed_form()
    assert arms.probability == same(case["prob_B_gt_A"])
    assert arms.loss_keep == same(case["expected_loss_choose_A"])
    assert arms.loss_ship == same(case["expected_loss_choose_B"])


@pytest.mark.parametrize("case", EXACT["normal"], ids=lambda case: str(case["mean"]))
def test_a_normal_effect_is_mpmaths(case: dict[str, Any]) -> None:
    found, same = judge_effect(case["mean"], case["sd"]), _closed_form()
    assert found.probability == same(case["prob_gt0"])
    assert found.loss_keep == same(case["loss_if_keep_control"])
    assert found.loss_ship == same(case["loss_if_ship"])


@pytest.mark.parametrize("case", EXACT["p_best_beta"], ids=lambda case: f"{len(case['post'])} arms")
def test_the_best_of_k_is_mpmaths(case: dict[str, Any]) -> None:
    arms = [Beta(*post) for post in case["post"]]
    best = best_of(arms)
    # The oracle's own quadrature is not exact either: three equal arms are 1/3 + 5e-14 there.
    np.testing.assert_allclose(best.probability, case["p_best"], rtol=1e-9)
    np.testing.assert_allclose(best.loss, case["expected_loss"], rtol=1e-9)
    assert best.probability.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (Beta(3, 40), Beta(9, 33)),
        (Beta(50, 52), Beta(52, 50)),
        (Beta(1, 5001), Beta(1, 4001)),
        (Beta(2, 2), Beta(400_000, 600_000)),
        (Beta(20, 1e7), Beta(44, 1.2e7)),
    ],
)
def test_the_finite_sum_and_the_quadrature_agree(a: Beta, b: Beta) -> None:
    arms, best = compare_rates(a, b), best_of((a, b))
    assert best.probability[1] == pytest.approx(arms.probability, rel=1e-9)
    np.testing.assert_allclose(best.loss, [arms.loss_keep, arms.loss_ship], rtol=1e-6)


def test_gamma_and_normal_closed_forms_agree_with_the_quadrature() -> None:
    gammas = Gamma(0.5, 200.0), Gamma(4.5, 230.0)
    normals = Normal(-3.0, 0.2), Normal(-2.9, 0.01)
    for two, best in (
        (compare_counts(*gammas), best_of(gammas)),
        (compare_means(*normals), best_of(normals)),
    ):
        assert best.probability[1] == pytest.approx(two.probability, rel=1e-9)
        np.testing.assert_allclose(best.loss, [two.loss_keep, two.loss_ship], rtol=1e-9)


def _exact_loss_ship(a: Beta, b: Beta) -> float:
    """E[(A - B)+] by Miller's sum in mpmath, with 60 digits."""

    def beats(x: Beta, y: Beta) -> Any:
        below = mpmath.beta(y.a, y.b)
        terms = (
            mpmath.beta(y.a + i, x.b + y.b) / ((x.b + i) * mpmath.beta(1 + i, x.b) * below)
            for i in range(int(x.a))
        )
        return mpmath.fsum(terms)

    with mpmath.workdps(60):
        means = [mpmath.mpf(arm.a) / (arm.a + arm.b) for arm in (a, b)]
        up = [Beta(arm.a + 1, arm.b) for arm in (a, b)]
        return float(means[0] * beats(up[0], b) - means[1] * beats(a, up[1]))


def test_a_loss_of_next_to_nothing_keeps_its_digits() -> None:
    a, b = Beta(30, 1000), Beta(90, 910)
    ours = compare_rates(a, b).loss_ship
    assert 0 < ours < 1e-9
    assert ours == pytest.approx(_exact_loss_ship(a, b), rel=1e-9)


def test_far_out_in_the_tail_a_normal_loss_is_positive_and_exact() -> None:
    with mpmath.workdps(50):
        z = mpmath.mpf(-30)
        expected = float(mpmath.npdf(z) + z * mpmath.ncdf(z))
    assert judge_effect(-30.0, 1.0).loss_keep == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize(
    "arms",
    [
        [Beta(0.5, 0.5), Beta(0.5, 100.5), Beta(100.5, 0.5)],
        [Beta(1e8 + 0.5, 1e9), Beta(1e8 + 900.5, 1e9)],
        [Beta(0.5, 1e9 + 0.5), Beta(2.5, 1e9 + 0.5)],
        [Gamma(0.5, 1e-6), Gamma(1e9, 1e3)],
        [Gamma(0.1, 1.0), Gamma(0.1, 1.0)],
        [Normal(1e9, 50.0), Normal(1e9, 70.0)],
        [Normal(0.0, 1.0)],
    ],
)
def test_extreme_posteriors_give_probabilities_that_sum_to_one(arms: list[Any]) -> None:
    best = best_of(arms)
    # A posterior as narrow as 3e-5 of its mean leaves eleven digits to a coordinate of sixteen.
    assert best.probability.sum() == pytest.approx(1, abs=1e-9)
    assert np.isfinite(best.loss).all()
    assert (best.loss >= 0).all()


def test_equal_arms_are_equally_good() -> None:
    for arm in (Beta(0.5, 1e9 + 0.5), Gamma(1e9, 1e3), Normal(1e9, 50.0)):
        np.testing.assert_allclose(best_of([arm, arm]).probability, 0.5, rtol=1e-9)
    assert compare_rates(Beta(1e8, 1e9), Beta(1e8, 1e9)).probability == pytest.approx(0.5)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_a_posterior_that_is_none_is_refused(wrong: float) -> None:
    with pytest.raises(FitError, match="above 0"):
        compare_rates(Beta(1, 1), Beta(wrong, 1))
    with pytest.raises(FitError, match="above 0"):
        compare_counts(Gamma(1, 1), Gamma(1, wrong))
    with pytest.raises(FitError, match="at least one arm"):
        best_of([])


def test_no_arm_is_more_than_sure_to_be_best() -> None:
    """A quadrature's last digit made 1.0000000000000002 of it, which no schema lets pass."""
    random = np.random.default_rng(17)
    for _ in range(60):
        a, b, c, d = random.integers(1, 3_000, 4).astype(float)
        for three in (
            [Beta(a, b), Beta(c, d), Beta(1.5, 9_000.5)],
            [Gamma(a, b), Gamma(c, d), Gamma(0.5, 9_000.0)],
            [Normal(a, 1.0), Normal(c, 2.0), Normal(-9_000.0, 3.0)],
        ):
            probability = best_of(three).probability
            assert ((probability >= 0) & (probability <= 1)).all()
