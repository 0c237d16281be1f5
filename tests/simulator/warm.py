"""Shards that workers keep in memory, counted."""

from collections import Counter
from collections.abc import Callable

from stream_hb.runtime.warm_shards import WarmShards


class SimWarmShards(WarmShards):
    """Counts among what happens.

    Parameters
    ----------
    seconds
        A clock that only goes forward.
    counts
        What happened, by name.
    """

    def __init__(self, seconds: Callable[[], float], counts: Counter[str]) -> None:
        super().__init__(seconds)
        self._counts = counts

    def refuse(self, number: int, why: str) -> None:
        """Forget a shard that does not fit."""
        self._counts["warm shard refused"] += 1
        super().refuse(number, why)

    def taken_back(self, number: int) -> None:
        """Take note that a shard works again."""
        self._counts["warm shard taken back"] += 1
        super().taken_back(number)
