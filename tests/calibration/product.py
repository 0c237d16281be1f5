"""Half-lives through the product: events of totals, a configuration, and a replay of them."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from stream_hb.config import load_config
from stream_hb.engine import Engine
from stream_hb.events.calendar import DAY_MS
from stream_hb.runtime.assembly import replay_settings
from stream_hb.runtime.feeds import feeds_of
from stream_hb.runtime.replay import replay_files
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.counts import Counts
from tests.calibration.worlds import World
from tests.support.totals import Day, conversions

FIRST_DAY = 20_000
MEMORY_DAYS = 30.0
CONFIG = """
metrics:
  conversion: {{input: totals, {forgets}}}
  order_rate: null
  log_order_value: null
calibration: {{enabled: true, memory_days: {memory}}}
emission: {{changed_sd: 1000, changed_width: 1000}}
"""


def product_log_scores(
    world: World, half_lives_days: Sequence[float], seed: tuple[int, ...]
) -> tuple[float, Floats, float]:
    """Return the mean log score of ``half_life: auto``, those of each half-life, and the last used.

    Every replay is of the same events; what is scored is what would have been served.
    """
    days = list(_days(world, np.random.default_rng(seed)))
    listed = ", ".join(map(str, half_lives_days))
    auto = _replayed(days, f"half_life: auto, half_lives_days: [{listed}]")
    fixed = [_replayed(days, f"half_life_seconds: {h * 86_400}") for h in half_lives_days]
    return _mean(auto), np.array(list(map(_mean, fixed))), auto[-1]["half_life_s"] / 86_400


def _days(world: World, random: np.random.Generator) -> Iterator[Day]:
    for day, increment in enumerate(world.draw(random), FIRST_DAY):
        assert isinstance(increment, Counts)
        yield day, increment.trials, increment.successes


def _replayed(days: Sequence[Day], forgets: str) -> list[dict[str, float]]:
    """Return the calibration records of a replay."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        text = CONFIG.format(forgets=forgets, memory=MEMORY_DAYS)
        (folder / "config.yaml").write_text(text)
        (folder / "events").write_bytes(b"\n".join(conversions(days)))
        config = load_config(folder / "config.yaml", {})
        settings = replay_settings(config)
        engine = Engine(settings, feeds=feeds_of(config, settings))
        replay_files(engine, [str(folder / "events")], folder / "out")
        written = (folder / "out" / "calibration.ndjson").read_bytes()
    return [json.loads(line) for line in written.splitlines()]


def _mean(records: Sequence[dict[str, float]]) -> float:
    """Return the mean log score over all stores and days: records tell faded sums of them."""
    at_ms = np.array([record["as_of_ms"] for record in records])
    number = np.array([record["ticks"] for record in records])
    total = number * np.array([record["log_score"] for record in records])
    kept = 0.5 ** (np.diff(at_ms // DAY_MS) / MEMORY_DAYS)
    own = [np.append(sums[0], sums[1:] - kept * sums[:-1]).sum() for sums in (total, number)]
    return float(own[0] / own[1])
