"""The moment of an emission: what all of its shards share."""

from collections.abc import Mapping
from dataclasses import dataclass

from stream_hb.pool_fit import Pool, PoolFit
from stream_hb.statistics.table import GroupKey


@dataclass(frozen=True, slots=True)
class Moment:
    """What all shards of one emission share.

    Attributes
    ----------
    now_ms
        Clock reading.
    watermark_ms
        Event time up to which every source has been read.
    pools
        The hyperparameters.
    everything
        Write a record for every key, changed or not.
    flags
        Flags of every record.
    srm
        Groups in which an experiment's arms do not have the shares that they should.
    """

    now_ms: int
    watermark_ms: int
    pools: Mapping[Pool, PoolFit]
    everything: bool
    flags: tuple[str, ...]
    srm: frozenset[GroupKey] = frozenset()
