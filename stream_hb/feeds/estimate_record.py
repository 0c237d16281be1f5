"""What an estimate record says, for whoever writes or reads one; imports nothing heavy.

A pricing service embeds the reader, so neither numpy nor Kafka may come with it.
"""

from typing import Annotated, Any

import msgspec

from stream_hb.errors import RecordError

SCHEMA_VERSION = 1


class Key(msgspec.Struct, frozen=True, gc=False):
    """Whose estimate it is."""

    chain_id: str
    store_id: str
    arm: str | None = None


class Version(msgspec.Struct, frozen=True, gc=False, order=True):
    """Order of a key's records: apply a record iff (epoch, seq) is greater than the last."""

    epoch: Annotated[int, msgspec.Meta(ge=0)]
    seq: Annotated[int, msgspec.Meta(ge=1)]


class Interval(msgspec.Struct, frozen=True, gc=False):
    """Credible interval."""

    lo: float
    hi: float
    level: float
    kind: str = "equal_tailed"


class HyperReference(msgspec.Struct, frozen=True):
    """Which hyperparameters the estimate was made with."""

    version: int
    fitted_at_ms: int
    params: dict[str, float | str] = {}
    groups: int | None = None
    converged: bool | None = None


class Estimate(msgspec.Struct, frozen=True):
    """An estimate as it is read: what the schema requires, and None for what a record leaves out.

    Fields that this version does not know are ignored: producers may add some.
    """

    schema_version: int
    key: Key
    version: Version
    metric: str
    estimate: float
    interval: Interval
    n_eff: float
    shrinkage_weight: float | None
    hyper: HyperReference
    watermark_ms: int
    as_of_ms: int
    offsets: dict[str, int]
    flags: tuple[str, ...]
    model: str | None = None
    sd: float | None = None
    raw: float | None = None
    pooled: float | None = None
    n_kish: float | None = None
    half_life_s: float | None = None
    currency: str | None = None
    rates_version: str | None = None

    @property
    def staleness_ms(self) -> int:
        """How far the data lay behind the clock when the record was written."""
        return max(0, self.as_of_ms - self.watermark_ms)


class _Head(msgspec.Struct):
    schema_version: Any = None


_estimate = msgspec.json.Decoder(Estimate)
_head = msgspec.json.Decoder(_Head)


def record_key(chain: str, store: str, metric: str, arm: str | None = None) -> bytes:
    """Return the key of a group's records of one metric.

    >>> record_key("north", "s01", "conversion")
    b'north|s01||conversion'
    """
    return f"{chain}|{store}|{arm or ''}|{metric}".encode()


def check_key(key: bytes) -> None:
    """Refuse a key that no estimate has.

    Raises
    ------
    RecordError
        It is not made as :func:`record_key` makes one.
    """
    if key.count(b"|") != 3:
        raise RecordError(f"expected a key chain|store|arm|metric, got {_shown(key)}")


def read_estimate(key: bytes, value: bytes) -> Estimate:
    """Read a record.

    Raises
    ------
    RecordError
        The key or the value is not that of an estimate, they contradict each other, or the record
        is of another schema version.

    Examples
    --------
    >>> read_estimate(b"north|s01||conversion", b'{"schema_version": 2, "estimate": [1, 2]}')
    Traceback (most recent call last):
    stream_hb.errors.RecordError: record of key 'north|s01||conversion': schema_version 2, ...
    """
    check_key(key)
    try:
        made = _estimate.decode(value)
    except msgspec.DecodeError as error:
        raise RecordError(f"record of key {_shown(key)}: {_problem(value, error)}") from None
    if made.schema_version != SCHEMA_VERSION:
        raise RecordError(f"record of key {_shown(key)}: {_other_version(made.schema_version)}")
    own = record_key(made.key.chain_id, made.key.store_id, made.metric, made.key.arm)
    if own != key:
        raise RecordError(f"record of key {_shown(key)}: its value is of {_shown(own)}")
    return made


def _problem(value: bytes, error: msgspec.DecodeError) -> str:
    """Say what is wrong; a record of another version may fail anywhere, and its version is why."""
    try:
        version = _head.decode(value).schema_version
    except msgspec.DecodeError:
        return f"expected a JSON object, got {_shown(value)} ({error})"
    if version is not None and version != SCHEMA_VERSION:
        return _other_version(version)
    return f"{error}; got {_shown(value)}"


def _other_version(version: object) -> str:
    return f"schema_version {version!r}, and this program reads {SCHEMA_VERSION} only"


def _shown(raw: bytes) -> str:
    text = raw[:80].decode(errors="backslashreplace")
    return repr(text) + ("..." if len(raw) > 80 else "")
