"""Snapshots as bytes: msgpack, arrays as their dtype and raw bytes."""

from dataclasses import is_dataclass
from functools import cache
from importlib import import_module
from typing import Any

import msgspec
import numpy as np

from stream_hb.errors import SnapshotError
from stream_hb.field_names import field_names

VERSION = 9
READ = (8, VERSION)
"""The versions that are read. 8: a group's currency is that of its first order to arrive."""


def encode(values: dict[str, Any]) -> bytes:
    """Write a snapshot."""
    return _encoder.encode({"version": VERSION, **values})


def decode(snapshot: bytes) -> dict[str, Any]:
    """Read a snapshot; refuses one of a version that is not read."""
    try:
        values = _decoder.decode(snapshot)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"not a snapshot: {error}") from error
    if not isinstance(values, dict):
        raise SnapshotError(f"not a snapshot, but a {type(values).__name__}")
    if values.get("version") not in READ:
        expected = " or ".join(map(str, READ))
        raise SnapshotError(f"snapshot version {values.get('version')!r}, expected {expected}")
    return values


def pack(value: Any) -> bytes:
    """Write any plain values and arrays."""
    return _encoder.encode(value)


def unpack(raw: bytes | memoryview) -> Any:
    """Undo :func:`pack`."""
    try:
        return _decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"not what was packed: {error}") from error


def plain(value: Any) -> Any:
    """Return a fit or a summary as plain values, each of our classes under its name."""
    if isinstance(value, str | int | float | np.ndarray):  # nearly all there is: names of groups
        return value
    names = _names(type(value))
    if names:
        named = {name: plain(getattr(value, name)) for name in names}
        return {CLASS: f"{type(value).__module__}.{type(value).__name__}", **named}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def _names(kind: type[Any]) -> tuple[str, ...]:
    """Return the fields of a dataclass or a named tuple."""
    if is_dataclass(kind):
        return field_names(kind)
    return tuple(getattr(kind, "_fields", ()))


def rebuilt(value: Any) -> Any:
    """Undo :func:`plain`; sequences come back as tuples."""
    if isinstance(value, list):
        return tuple(rebuilt(item) for item in value)
    if not isinstance(value, dict):
        return value
    kind = _class(value[CLASS])
    return kind(**{name: rebuilt(item) for name, item in value.items() if name != CLASS})


@cache
def _class(path: str) -> Any:
    """Return one of the classes that a fit is made of; nothing else can be named."""
    module, _, name = path.rpartition(".")
    if not module.startswith(OURS):
        raise SnapshotError(f"unknown class {path!r} in a snapshot")
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        raise SnapshotError(f"unknown class {path!r} in a snapshot") from None
    if not is_dataclass(kind) and not hasattr(kind, "_fields"):
        raise SnapshotError(f"unknown class {path!r} in a snapshot")
    return kind


def _from_array(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        raw = _array_encoder.encode([value.dtype.str, value.shape, value.tobytes()])
        return msgspec.msgpack.Ext(ARRAY, raw)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot write a {type(value).__name__} into a snapshot")


def _to_array(code: int, raw: memoryview) -> Any:
    if code != ARRAY:
        raise SnapshotError(f"unknown extension {code} in a snapshot")
    dtype, shape, data = _array_decoder.decode(raw)
    return np.frombuffer(data, dtype=dtype).reshape(shape).copy()


OURS = (
    "stream_hb.models.",
    "stream_hb.pool_fit",
    "stream_hb.pool_parts",
    "stream_hb.pool_summaries",
    "stream_hb.statistics.",
)
ARRAY = 1
CLASS = "class"
_encoder = msgspec.msgpack.Encoder(enc_hook=_from_array)
_array_encoder = msgspec.msgpack.Encoder()
_array_decoder = msgspec.msgpack.Decoder()
_decoder = msgspec.msgpack.Decoder(ext_hook=_to_array)
