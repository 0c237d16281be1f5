"""Reference: R's ashr (github.com/stephens999/ashr, R 4.2.2), given its own fitted mixture."""

from typing import Any

import numpy as np
import pytest

from stream_hb.feeds.drift.sign_rate import SignRates, sign_rates
from tests.oracles.reading import oracle

ORACLE = oracle("drift_ashr")


def rates(fit: dict[str, Any]) -> SignRates:
    return sign_rates(
        np.array(ORACLE["betahat"]),
        np.array(ORACLE["se"]),
        np.array(fit["pi"]),
        np.array(fit["sd"], float),
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("lfsr", "lfsr"),
        ("lfdr", "lfdr"),
        ("svalue", "svalue"),
        ("qvalue", "qvalue"),
        ("mean", "PosteriorMean"),
    ],
)
def test_with_a_component_at_zero_the_rates_are_ashrs(ours: str, theirs: str) -> None:
    fit = ORACLE["fdr"]
    np.testing.assert_allclose(getattr(rates(fit), ours), fit[theirs], atol=1e-6)


@pytest.mark.parametrize(("ours", "theirs"), [("lfsr", "lfsr"), ("mean", "PosteriorMean")])
def test_without_a_component_at_zero_the_rates_are_ashrs(ours: str, theirs: str) -> None:
    fit = ORACLE["shrink"]
    np.testing.assert_allclose(getattr(rates(fit), ours), fit[theirs], atol=1e-6)
