"""The verifier finds what it is to find: one wrong number, one record too many or too few."""

from copy import deepcopy
from typing import Any

import pytest

from tests.faults.posteriors import differs
from tests.faults.verify import in_sequence
from tests.reference.event_rules import PlainGroup

GROUP = PlainGroup(visits=[1] * 20, conversions=[1] * 2, orders=[(1, 10), (1, 20), (1, 0)])

# Quantiles by mpmath (roots of betainc(7, 113), gammainc(6) / 80, and erfinv with B = 1/3):
# mp.findroot(lambda x: mp.betainc(7, 113, 0, x, regularized=True) - mp.mpf(".025"), 0.024)
RECORDS: dict[str, dict[str, Any]] = {
    "conversion": {
        "n_eff": 20,
        "raw": 2 / 20,
        "estimate": 7 / 120,
        "sd": (7 * 113 / 120**2 / 121) ** 0.5,
        "interval": {"lo": 0.0239745597309762, "hi": 0.106515014712024, "level": 0.95},
        "hyper": {"params": {"alpha": 5.0, "beta": 95.0}},
    },
    "order_rate": {
        "n_eff": 20,
        "raw": 3 / 20,
        "estimate": 6 / 80,
        "sd": 6**0.5 / 80,
        "interval": {"lo": 0.0275236781686356, "hi": 0.145854150991533, "level": 0.95},
        "hyper": {"params": {"shape": 3.0, "rate": 60.0}},
    },
    "log_order_value": {
        "n_eff": 2,
        "raw": 2.649158683274018,  # ln(200) / 2
        "estimate": 2.432772455516012,
        "sd": 3**-0.5,
        "interval": {"lo": 1.30118672143984, "hi": 3.56435818959218, "level": 0.95},
        "hyper": {"params": {"mu": 2.0, "tau2": 1.0, "se_mu": 0.0, "sigma2": 1.0}},
    },
}


def record(metric: str) -> dict[str, Any]:
    return {"metric": metric, "flags": ["plug_in"], **deepcopy(RECORDS[metric])}


@pytest.mark.parametrize("metric", RECORDS)
def test_a_record_is_compared_with_its_posterior_and_size(metric: str) -> None:
    assert differs(record(metric), GROUP) is None
    for change in ("n_eff", "raw", "estimate", "sd"):
        wrong = record(metric)
        wrong[change] *= 1 + 1e-6
        assert differs(wrong, GROUP)
    for end in ("lo", "hi"):
        wrong = record(metric)
        wrong["interval"][end] *= 1 + 1e-6
        assert differs(wrong, GROUP)


def test_of_a_record_with_integrated_hyperparameters_the_data_are_compared() -> None:
    integrated = {**record("conversion"), "flags": [], "hyper": {"params": {"mean": 0.1}}}
    assert differs(integrated, GROUP) is None
    assert differs({**integrated, "raw": 0.11}, GROUP)


@pytest.mark.parametrize(
    ("versions", "wrong"),
    [
        ([(1, 1), (1, 2), (2, 1)], 0),
        ([(1, 1), (1, 1)], 1),
        ([(1, 1), (1, 3)], 1),
        ([(1, 2)], 1),
        ([(1, 1), (2, 2)], 1),
        ([(2, 1), (1, 2)], 1),
    ],
)
def test_every_seq_of_an_epoch_comes_once_in_order(
    versions: list[tuple[int, int]], wrong: int
) -> None:
    records = [
        {
            "key": {"chain_id": "c", "store_id": "s"},
            "metric": "conversion",
            "version": {"epoch": epoch, "seq": seq},
        }
        for epoch, seq in versions
    ]
    assert len(list(in_sequence(records))) == wrong
