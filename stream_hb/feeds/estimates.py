"""Estimate records (``schemas/estimate_v1.json``): what a pricing feed acts on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from stream_hb.errors import FitError
from stream_hb.feeds.estimate_record import SCHEMA_VERSION, Interval, Key, Version, record_key
from stream_hb.models.family import Posterior
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.table import GroupKey

LOW_N = 30.0
"""Observations below which a record is flagged ``low_n``."""


class EstimateRecord(msgspec.Struct, frozen=True, gc=False):
    """One estimate of one group and metric; ``estimate = (1 - w) * raw + w * pooled``."""

    schema_version: int
    key: Key
    metric: str
    model: str
    version: Version
    estimate: float
    sd: float
    interval: Interval
    raw: float | None
    pooled: float
    n_eff: float
    n_kish: float
    shrinkage_weight: float | None
    hyper: msgspec.Raw
    watermark_ms: int
    as_of_ms: int
    staleness_ms: int
    offsets: msgspec.Raw
    half_life_s: float | None
    currency: str | None
    flags: Sequence[str]
    rates_version: str | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class OutRecord:
    """A record for an output topic: UTF-8 key and JSON value, None where it deletes the key."""

    key: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Provenance:
    """What all records of one shard and pool share.

    Attributes
    ----------
    metric, model
        Names of the metric and of its model in the record.
    epoch
        The shard's epoch.
    hyper, offsets
        Encoded JSON objects.
    level
        Probability of the interval.
    watermark_ms, as_of_ms
        Event time up to which the shards have read, and the clock reading of this emission.
    flags
        Flags that hold for every record of the pool now.
    half_life_s
        Of the metric; None: its observations do not fade.
    rates_version
        The table of rates that converted money; None: nothing is converted.
    """

    metric: str
    model: str
    epoch: int
    hyper: msgspec.Raw
    offsets: msgspec.Raw
    level: float
    watermark_ms: int
    as_of_ms: int
    flags: tuple[str, ...]
    half_life_s: float | None = None
    rates_version: str | None = None


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much data groups have.

    Attributes
    ----------
    seen
        Observations as the model takes them: Kish's number, less what silence has cost.
    mass
        Sum of the observations' weights as of the watermark.
    kish
        Kish's effective number, (Σw)²/Σw².
    """

    seen: Floats
    mass: Floats
    kish: Floats


_encoder = msgspec.json.Encoder()


def encode_raw(value: object) -> msgspec.Raw:
    """Encode once what many records repeat."""
    return msgspec.Raw(_encoder.encode(value))


def estimate_records(
    provenance: Provenance,
    keys: Sequence[GroupKey],
    seq: Sequence[int],
    posterior: Posterior,
    sizes: Sizes,
    currencies: Sequence[str | None] | None = None,
    flags: Sequence[tuple[str, ...]] | None = None,
) -> Iterator[OutRecord]:
    """Write one record per group.

    Parameters
    ----------
    provenance
        What the records share.
    keys, seq
        (chain id, store id) and the record's number, per group.
    posterior
        The groups' posterior; ``raw`` is NaN without data, ``weight`` for metrics made of others.
    sizes
        How much data the groups have.
    currencies
        Currency of each group's money; None: the metric is none of money.
    flags
        Further flags of each group; None: of none.

    Raises
    ------
    FitError
        Another number is not finite: JSON has no word for it, and nobody may price on it.
    """
    _check_finite(provenance, keys, posterior)
    money = currencies or [None] * len(keys)
    raised = flags or [()] * len(keys)
    rows = zip(keys, seq, money, raised, _numbers(posterior, sizes), strict=True)
    for (chain, store), number, currency, own, found in rows:
        record = _record(provenance, Key(chain, store), number, currency, own, *found)
        yield OutRecord(record_key(chain, store, provenance.metric), _encoder.encode(record))


def _numbers(posterior: Posterior, sizes: Sizes) -> Iterator[tuple[float, ...]]:
    """Yield the numbers of each record, in the order in which :func:`_record` takes them."""
    q = posterior
    # Without data the weight is 1; summed over many nodes it may be a rounding away.
    alone = np.isnan(q.raw) & ~np.isnan(q.weight)
    weights = np.where(alone, 1.0, np.clip(q.weight, 0.0, 1.0))
    posteriors = (q.mean, q.sd, q.lo, q.hi, q.raw, q.pooled, weights)
    columns = (*posteriors, sizes.seen, sizes.mass, sizes.kish)
    return zip(*(column.tolist() for column in columns), strict=True)


def _record(
    p: Provenance,
    key: Key,
    seq: int,
    currency: str | None,
    flags: tuple[str, ...],
    mean: float,
    sd: float,
    lo: float,
    hi: float,
    raw: float,
    pooled: float,
    weight: float,
    seen: float,
    mass: float,
    kish: float,
) -> EstimateRecord:
    cold = raw != raw
    return EstimateRecord(
        SCHEMA_VERSION,
        key,
        p.metric,
        p.model,
        Version(p.epoch, seq),
        mean,
        sd,
        Interval(lo, hi, p.level),
        None if cold else raw,
        pooled,
        mass,
        kish,
        None if weight != weight else weight,
        p.hyper,
        p.watermark_ms,
        p.as_of_ms,
        max(0, p.as_of_ms - p.watermark_ms),
        p.offsets,
        p.half_life_s,
        currency,
        _size_flags(cold, seen) + flags + p.flags,
        p.rates_version or msgspec.UNSET,
    )


def _check_finite(provenance: Provenance, keys: Sequence[GroupKey], posterior: Posterior) -> None:
    q = posterior
    sure = np.isfinite((q.mean, q.sd, q.lo, q.hi, q.pooled)).all()
    if sure and not np.isinf(q.raw).any():
        return
    for name in ("mean", "sd", "lo", "hi", "pooled", "raw"):
        column: Floats = getattr(posterior, name)
        wrong = np.flatnonzero(np.isinf(column) | (np.isnan(column) & (name != "raw")))
        if len(wrong):
            where = f"{provenance.metric} of store {keys[wrong[0]][1]!r}"
            hyper = bytes(provenance.hyper).decode()
            raise FitError(f"{where}: {name} is {column[wrong[0]]} under {hyper}")


def _size_flags(cold: bool, size: float) -> tuple[str, ...]:
    if cold:
        return ("cold_start",)
    return ("low_n",) if size < LOW_N else ()
