from typing import Any

import numpy as np
import pytest

from stream_hb import state
from stream_hb.errors import SnapshotError
from stream_hb.models.covariates.regression_hyper import RegressionHyper
from stream_hb.models.family import Fit
from stream_hb.models.normal import NormalHyper
from stream_hb.models.sensitivity import Sensitivity
from stream_hb.pool_fit import PoolFit
from tests.support.logs import START_MS, feed, open_engine, purchase, visit


def test_values_and_arrays_come_back() -> None:
    arrays = {
        "times": np.array([1, 2**62]),
        "means": np.array([0.1, np.inf, -0.0]),
        "hashes": np.array([2**64 - 1], np.uint64),
        "none": np.empty(0),
    }
    back = state.decode(state.encode({"number": 3, "names": ["a", "ü"], **arrays}))
    assert (back["number"], back["names"]) == (3, ["a", "ü"])
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert back[name].tobytes() == array.tobytes()


def test_restored_arrays_can_be_written_to() -> None:
    back = state.decode(state.encode({"column": np.zeros(2)}))
    back["column"][0] = 1.0
    assert back["column"].tolist() == [1, 0]


def test_a_fit_comes_back_with_its_infinities() -> None:
    hyper = NormalHyper(mu=8.1, tau2=0.0, se_mu=float("inf"), sigma2=None)
    fit = Fit("reml", hyper, float("-inf"), True, False, True, 7, 12)
    pool_fit = PoolFit(3, 1_700_000_000_000, "normal", fit, 99.0)
    assert back(pool_fit) == pool_fit


def back(value: Any) -> Any:
    return state.rebuilt(state.decode(state.encode({"fit": state.plain(value)}))["fit"])


def test_nodes_come_back_in_their_shape() -> None:
    nodes = np.array([[1.0, 2.0, np.inf], [4.0, 5.0, 6.0]])
    one = np.ones(2)
    hyper = RegressionHyper(("size", "f=b"), one, one, nodes, nodes, one, one, one)
    again = back(hyper)
    assert isinstance(again, RegressionHyper)
    assert again.names == ("size", "f=b")
    assert again.beta.tolist() == nodes.tolist()


def test_names_come_back_as_a_tuple() -> None:
    sensitivity = Sensitivity.of(np.ones(2), np.full(2, 0.5), np.zeros(2))
    fit = Fit("bayes", ("a", ("b", 1.5)), 0.0, False, False, True, 1, 2, sensitivity)
    again = back(fit)
    assert again.hyper == ("a", ("b", 1.5))
    assert again.sensitivity.halved_weight.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    "path", ["os.system", "stream_hb.models.nothing.X", "stream_hb.refit.refit"]
)
def test_a_snapshot_can_name_no_other_class(path: str) -> None:
    with pytest.raises(SnapshotError, match="unknown class"):
        state.rebuilt({"class": path})


def test_what_no_snapshot_holds_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        state.encode({"x": object()})


def test_a_currency_of_version_8_stays() -> None:
    """There it was that of the first order to arrive, by row, and nobody knows since when."""
    engine = open_engine()
    feed(engine, [visit("s2"), purchase("s1", "o1", START_MS + 9)])
    values = state.decode(engine.snapshot())
    for shard in values["shards"]:
        shard["currencies"] = shard["currencies"]["currency"].tolist()
    restored = open_engine(shards=())
    restored.restore(state.pack(values | {"version": 8}))
    feed(restored, [purchase("s1", "o2", currency="USD"), purchase("s2", "o3", currency="USD")])
    assert restored.shards[0].purse.names(np.arange(2)) == ["USD", "EUR"]


def test_another_version_is_refused_by_its_number() -> None:
    current = b"\xa7version" + bytes([state.VERSION])
    other = state.encode({"x": 1}).replace(current, b"\xa7version\x63")
    with pytest.raises(SnapshotError, match="99"):
        state.decode(other)
