"""Snapshots as bytes: msgpack, arrays as their dtype and raw bytes."""

from typing import Any

import msgspec
import numpy as np

from stream_hb.errors import SnapshotError
from stream_hb.metrics import METRICS
from stream_hb.models.family import Fit
from stream_hb.refit import PoolFit

VERSION = 1


def encode(values: dict[str, Any]) -> bytes:
    """Write a snapshot."""
    return _encoder.encode({"version": VERSION, **values})


def decode(snapshot: bytes) -> dict[str, Any]:
    """Read a snapshot; refuses one of another version."""
    try:
        values = _decoder.decode(snapshot)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"not a snapshot: {error}") from error
    if not isinstance(values, dict):
        raise SnapshotError(f"not a snapshot, but a {type(values).__name__}")
    if values.get("version") != VERSION:
        raise SnapshotError(f"snapshot version {values.get('version')!r}, expected {VERSION}")
    return values


def pool_fit(metric: str, values: dict[str, Any]) -> PoolFit:
    """Rebuild a pool's fit from its plain values."""
    hyper = METRICS[metric].hyper(**values["fit"]["hyper"])
    return PoolFit(**{**values, "fit": Fit(**{**values["fit"], "hyper": hyper})})


def _from_array(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        raw = msgspec.msgpack.encode([value.dtype.str, value.tobytes()])
        return msgspec.msgpack.Ext(ARRAY, raw)
    raise TypeError(f"cannot write a {type(value).__name__} into a snapshot")


def _to_array(code: int, raw: memoryview) -> Any:
    if code != ARRAY:
        raise SnapshotError(f"unknown extension {code} in a snapshot")
    dtype, data = msgspec.msgpack.decode(raw)
    return np.frombuffer(data, dtype=dtype).copy()


ARRAY = 1
_encoder = msgspec.msgpack.Encoder(enc_hook=_from_array)
_decoder = msgspec.msgpack.Decoder(ext_hook=_to_array)
