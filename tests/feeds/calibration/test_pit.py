"""The uniforms that randomise PITs."""

import subprocess
import sys

import numpy as np

from stream_hb.feeds.calibration.pit import uniforms

KEYS = [f"store-{i}" for i in range(20_000)]


def test_draws_are_the_same_in_every_process_and_order() -> None:
    code = (
        "from stream_hb.feeds.calibration.pit import uniforms;"
        "print(uniforms(['store-1', 'Ladén 2'], 'main', 'conversion', 86_400_000).tolist())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    here = uniforms(["Ladén 2", "store-1"], "main", "conversion", 86_400_000)
    assert other.stdout.strip() == str(here[::-1].tolist())


def test_draws_are_uniform_over_stores_and_over_ticks() -> None:
    """Kolmogorov's distance times √n is below 1.95 in 99.9 % of uniform samples."""
    over_stores = uniforms(KEYS, "main", "conversion", 3_600_000)
    hours = range(0, 4_000 * 3_600_000, 3_600_000)
    over_ticks = np.array([uniforms(["s"], "main", "conversion", hour)[0] for hour in hours])
    for draws in (over_stores, over_ticks):
        n = len(draws)
        distance = np.abs(np.sort(draws) - (np.arange(n) + 0.5) / n).max()
        assert distance * np.sqrt(n) < 1.95
        assert 0.0 < draws.min() <= draws.max() < 1.0


def test_draws_of_one_tick_say_nothing_of_anothers_nor_of_another_metrics() -> None:
    """A correlation of 20,000 independent pairs is beyond .025 once in 2,500 tries."""
    base = uniforms(KEYS, "main", "conversion", 3_600_000)
    others = [
        uniforms(KEYS, "main", "conversion", 7_200_000),
        uniforms(KEYS, "main", "order_rate", 3_600_000),
        uniforms(KEYS, "other", "conversion", 3_600_000),
        uniforms([f"store-{i + 1}" for i in range(20_000)], "main", "conversion", 3_600_000),
    ]
    for other in others[:3]:
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.025
    # The last has the same stores one row further: each its own draw still.
    assert (base[1:] == others[3][:-1]).all()
