"""A shard that can go on, and from where."""

from collections.abc import Mapping
from dataclasses import dataclass

from stream_hb.runtime.client import TopicPartition
from stream_hb.runtime.origin import Origin
from stream_hb.statelog.restore import Restored


@dataclass(frozen=True, slots=True)
class Opened:
    """A shard that can go on.

    Attributes
    ----------
    number
        The shard.
    restored
        From the log; None: it begins.
    offsets
        Where its input goes on.
    ends
        Where its input ended when it was opened.
    seconds
        How long its log was read.
    origin
        Which topics its inputs are; None: the broker does not tell.
    is_lost
        The operator has accepted a loss: readers may know of more than the state remembers to have
        emitted, so it needs an epoch that they do not know.
    log_end
        How far its log was read.
    is_warm
        Whether it was not read, but is as it was in memory.
    """

    number: int
    restored: Restored | None
    offsets: Mapping[TopicPartition, int]
    ends: Mapping[TopicPartition, int]
    seconds: float
    origin: Origin | None = None
    is_lost: bool = False
    log_end: int = 0
    is_warm: bool = False
