"""The held-out scores, computed again from the bundled file with csv and dictionaries."""

import csv
import gzip
import math
from collections import defaultdict
from importlib.resources import files
from statistics import fmean

import numpy as np
import pytest

from stream_hb.models.beta_binomial import BetaBinomial
from stream_hb.runtime.heldout import FITTED_SHARE, HeldOut, score
from stream_hb.runtime.sample import Impression, impressions
from stream_hb.statistics.counts import Counts

Group = tuple[str, str]


@pytest.fixture(scope="module")
def scores() -> HeldOut:
    return score(impressions())


def rows() -> list[tuple[Group, bool]]:
    packed = files("stream_hb").joinpath("data/open_bandit.csv.gz").read_bytes()
    table = csv.DictReader(gzip.decompress(packed).decode().splitlines())
    names = table.fieldnames
    assert names is not None
    _, chain, _, item, click = names
    return [((row[chain], row[item]), row[click] == "1") for row in table]


def test_the_scores_are_those_of_a_direct_computation() -> None:
    scores = score(impressions(), "ml")
    log = rows()
    cut = int(len(log) * FITTED_SHARE)
    counted: dict[Group, list[int]] = defaultdict(lambda: [0, 0])
    for group, clicked in log[:cut]:
        counted[group][0] += clicked
        counted[group][1] += 1
    mean, concentration = fitted_chains(counted)
    gains: dict[str, list[float]] = defaultdict(list)
    for group, clicked in log[cut:]:
        y, n = counted.get(group, (0, 0))
        m, k = mean[group[0]], concentration[group[0]]
        shrunk = m if math.isinf(k) else (m * k + y) / (k + n)
        for name, rate in (("raw", (y + 0.5) / (n + 1)), ("pooled", m), ("shrunk", shrunk)):
            gains[name].append(math.log(rate if clicked else 1 - rate))
    assert scores.visits == len(log) - cut
    for name, values in gains.items():
        np.testing.assert_allclose(getattr(scores, name), fmean(values), rtol=1e-9, err_msg=name)


def fitted_chains(counted: dict[Group, list[int]]) -> tuple[dict[str, float], dict[str, float]]:
    """Fit each chain on its own; the fit itself is held by the oracles."""
    hypers = {}
    for chain in {chain for chain, _ in counted}:
        mine = np.array([c for (name, _), c in counted.items() if name == chain], float)
        hypers[chain] = BetaBinomial().fit(Counts(mine[:, 0], mine[:, 1]), "ml").hyper
    return (
        {chain: hyper.mean for chain, hyper in hypers.items()},
        {chain: hyper.concentration for chain, hyper in hypers.items()},
    )


def test_pooling_predicts_better_than_each_group_alone(scores: HeldOut) -> None:
    assert scores.shrunk > scores.raw
    assert scores.pooled > scores.raw
    assert scores.shrunk < 0


def impression(at: int, campaign: str, item: str, click: bool) -> Impression:
    return Impression(1_574_500_000_000 + at, campaign, "random", item, click)


def test_a_group_that_was_never_seen_gets_its_chains_rate() -> None:
    fitted = [impression(i, "c", f"{i % 2}", i % 5 == 0) for i in range(70)]
    unseen = [impression(70 + i, "c", "new", False) for i in range(30)]
    found = score(fitted + unseen, "ml")
    assert found.pooled == pytest.approx(math.log(1 - 14 / 70))
    assert found.shrunk == pytest.approx(found.pooled)
    integrated = score(fitted + unseen)
    assert integrated.pooled == pytest.approx(found.pooled, rel=0.1)
    assert integrated.shrunk == pytest.approx(integrated.pooled)
    assert found.raw == pytest.approx(math.log(0.5))


def test_a_chain_without_a_click_costs_no_infinity() -> None:
    fitted = [impression(i, "c", "0", False) for i in range(70)]
    found = score(fitted + [impression(70 + i, "c", "0", i == 0) for i in range(30)])
    assert math.isfinite(found.raw + found.pooled + found.shrunk)
