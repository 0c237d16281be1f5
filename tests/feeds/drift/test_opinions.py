from unittest.mock import patch

import numpy as np
import pytest

from stream_hb.config import Config
from stream_hb.errors import UsageError
from stream_hb.feeds.drift.opinions import opinions
from stream_hb.runtime.feeds import feeds_of
from stream_hb.settings import EngineSettings

RNG = np.random.default_rng(9)
CALM = RNG.normal(0, 1, 60)
SHIFTED = np.concatenate([CALM, RNG.normal(3, 1, 30)])


def test_a_verdict_says_when() -> None:
    told = opinions(("page_hinkley", "adwin"), SHIFTED, last_tick=1_000)
    assert all(one.drift for one in told.values())
    assert all(910 < (one.at_tick or 0) <= 1_000 for one in told.values())
    assert not any(one.drift for one in opinions(("page_hinkley", "adwin"), CALM, 0).values())


def test_an_innovation_that_is_not_there_silences_no_second_opinion() -> None:
    """river's ADWIN and PageHinkley never detect anything again once they were given a NaN."""
    holes = SHIFTED.copy()
    holes[[3, 30, 61]] = np.nan
    told = opinions(("page_hinkley", "adwin"), holes, last_tick=1_000)
    assert all(one.drift for one in told.values())


def test_an_unknown_second_opinion_is_an_error_with_a_hint() -> None:
    with pytest.raises(UsageError, match="did you mean 'adwin'"):
        opinions(("adwim",), CALM, 0)


def test_opinions_without_river_are_refused_at_the_start_and_not_at_the_first_alert() -> None:
    """Wrong before: the worker worked until an alert was raised, and then ended at every start."""
    config = Config.model_validate({"drift": {"enabled": True, "opinions": ["adwin"]}})
    assert set(feeds_of(config, EngineSettings())) == {"alerts"}
    with (
        patch.dict("sys.modules", {"river.drift": None}),
        pytest.raises(UsageError, match=r"pip install 'stream-hb\[river\]'"),
    ):
        feeds_of(config, EngineSettings())
