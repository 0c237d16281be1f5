import numpy as np
import pytest

from stream_hb.errors import FitError
from stream_hb.models.pool import check_method, ratio, with_data
from stream_hb.statistics.counts import Counts


def test_groups_without_data_are_left_out_of_a_fit() -> None:
    groups = Counts(np.array([1.0, 0.0, 2.0]), np.array([4.0, 0.0, 5.0]))
    assert with_data(groups, groups.trials).trials.tolist() == [4, 5]


def test_a_pool_with_data_everywhere_is_not_copied() -> None:
    groups = Counts(np.array([1.0]), np.array([4.0]))
    assert with_data(groups, groups.trials) is groups


def test_a_ratio_without_data_is_not_a_number() -> None:
    out = ratio(np.array([1.0, 0.0]), np.array([4.0, 0.0]))
    assert out[0] == 0.25
    assert np.isnan(out[1])


def test_a_method_of_another_family_is_refused() -> None:
    with pytest.raises(FitError, match="known: ml, moments"):
        check_method("dl", ("moments", "ml"))
