"""The weighted sums against their definitions, group by group."""

import math
from fractions import Fraction

import numpy as np
import pytest

from stream_hb.models.normal_sums import GroupSums, NodeSums, NormalSums, sums_of
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments

N = np.array([3.0, 1.0, 40.0, 7.5])
Y = np.array([10.0, 11.5, 9.0, 12.0])
AS_NODES = NodeSums(
    N,
    np.ones(4),
    Y - 10,
    (Y - 10) ** 2,
    10.0,
    4.0,
    log_precision=float(np.log(N).sum()),
    reciprocal=float((1 / N).sum()),
    farthest2=9.0,
)


@pytest.mark.parametrize("sums", [GroupSums(N, Y), AS_NODES], ids=["groups", "nodes"])
@pytest.mark.parametrize(("tau2", "sigma2"), [(0.0, 1.0), (0.3, 2.5), (1e6, 0.1)])
def test_sums_are_those_of_the_definition(sums: NormalSums, tau2: float, sigma2: float) -> None:
    variance = sigma2 / N + tau2
    w = 1 / variance
    mu = (w * Y).sum() / w.sum()
    expected = (
        np.log(variance).sum(),
        w.sum(),
        (w**2).sum(),
        w.sum() - (w**2).sum() / w.sum(),
        mu,
        (w * (Y - mu) ** 2).sum(),
        (w**2 * (Y - mu) ** 2).sum(),
    )
    np.testing.assert_allclose(sums.at(tau2, sigma2), expected, rtol=1e-12)
    expected_inflation = np.log1p(N * tau2 / sigma2).sum()
    np.testing.assert_allclose(sums.log_inflation(tau2 / sigma2), expected_inflation, rtol=1e-12)


@pytest.mark.parametrize("sums", [GroupSums(N, Y), AS_NODES], ids=["groups", "nodes"])
def test_many_variances_at_once_are_each_by_itself(sums: NormalSums) -> None:
    tau2, sigma2 = np.array([[0.0], [0.5], [9.0]]), np.array([1.0, 4.0])
    at = sums.at(tau2, sigma2)
    assert at.q.shape == (3, 2)
    for i, j in np.ndindex(3, 2):
        one = sums.at(tau2[i, 0], sigma2[j])
        np.testing.assert_allclose([x[i, j] for x in at], one, rtol=1e-14)


@pytest.mark.parametrize("origin", [0, 10**9])
def test_groups_of_one_precision_count_each_by_itself(origin: int) -> None:
    n, y = [1, 2, 1, 5, 2, 5, 1], [0, 3, 7, 4, -2, 5, 6]
    tau2, sigma2 = Fraction(1, 4), Fraction(3)
    weight = [1 / (sigma2 / p + tau2) for p in n]
    total, squares = sum(weight), sum(w**2 for w in weight)
    mu = sum(w * z for w, z in zip(weight, y, strict=True)) / total
    away2 = [(z - mu) ** 2 for z in y]
    expected = (
        -sum(math.log(w) for w in weight),
        total,
        squares,
        total - squares / total,
        origin + mu,
        sum(w * d for w, d in zip(weight, away2, strict=True)),
        sum(w**2 * d for w, d in zip(weight, away2, strict=True)),
    )
    sums = GroupSums(np.array(n, dtype=np.float64), origin + np.array(y, dtype=np.float64))
    found = sums.at(float(tau2), float(sigma2))
    np.testing.assert_allclose(found, [float(x) for x in expected], rtol=1e-13)
    inflation = sum(math.log1p(p * tau2 / sigma2) for p in n)
    assert sums.log_inflation(float(tau2 / sigma2)) == pytest.approx(inflation, rel=1e-13)


def test_groups_without_data_are_left_out() -> None:
    empty = sums_of(Measured(np.append(Y, 0.0), np.append(1 / N, np.inf)))
    np.testing.assert_allclose(empty.at(0.3), sums_of(Measured(Y, 1 / N)).at(0.3), rtol=1e-15)
    unseen = sums_of(Moments(np.append(N, 0.0), np.append(Y, 0.0), np.zeros(5)))
    np.testing.assert_allclose(unseen.at(0.3, 2.0), GroupSums(N, Y).at(0.3, 2.0), rtol=1e-15)


def test_a_million_times_heavier_group_leaves_the_contrast_its_digits() -> None:
    # (4H + 2)/(H + 2) with H = 1e15: of Σw and Σw²/Σw, all digits cancel.
    at = GroupSums(np.array([1e15, 1.0, 1.0]), np.array([1e6, 0.0, 1.0])).at(0.0)
    assert at.contrast == pytest.approx(4.0, rel=1e-12)
    assert at.q == pytest.approx(1e12 + (1e6 - 1) ** 2, rel=1e-12)
