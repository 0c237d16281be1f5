import math

import pytest

from stream_hb.models.profile import Peak, find_root, highest_peak


@pytest.mark.parametrize("at", [3e-9, 1.0, 4e6])
def test_a_peak_is_found_at_any_scale(at: float) -> None:
    peak = highest_peak(
        score=lambda v: 1 / (v + at) - 2 * v / (v**2 + at**2),
        value=lambda v: math.log(v + at) - math.log(v**2 + at**2),
        lowest=1e-10,
        highest=1e8,
    )
    assert peak.at == pytest.approx(at * (math.sqrt(2) - 1), rel=1e-9)
    assert not peak.bimodal


@pytest.mark.parametrize(("slope", "at"), [(-1.0, 0.0), (1.0, 1e3)])
def test_a_likelihood_without_a_peak_is_highest_at_an_end(slope: float, at: float) -> None:
    peak = highest_peak(lambda _: slope, lambda v: slope * v, lowest=1e-3, highest=1e3)
    assert peak == Peak(at, bimodal=False, iterations=0)


@pytest.mark.parametrize(("height", "at"), [(2.0, 5.0), (0.1, 0.0)])
def test_of_a_peak_at_zero_and_one_inside_the_higher_is_taken(height: float, at: float) -> None:
    def value(v: float) -> float:
        return math.exp(-v) + height * math.exp(-((v - 5) ** 2))

    def score(v: float) -> float:
        return -math.exp(-v) - 2 * (v - 5) * height * math.exp(-((v - 5) ** 2))

    peak = highest_peak(score, value, lowest=1e-3, highest=1e2)
    assert peak.bimodal
    assert peak.at == pytest.approx(at, abs=0.01)


def test_a_root_below_every_absolute_tolerance_has_all_its_digits() -> None:
    root, _ = find_root(lambda v: v - 3e-200, 0.0, 1.0)
    assert root == pytest.approx(3e-200, rel=1e-12)


def test_a_root_that_rounding_hides_is_approached_and_nothing_is_raised() -> None:
    root, _ = find_root(lambda v: 1.0 if v < 3e-200 else -1.0, 0.0, 1.0)
    assert 0 <= root < 1e-12
