"""What all experiment records share (``schemas/experiment_v1.json``): keys, heads, numbers.

Two kinds with one schema. Of the chain: the decision, the arms, and every metric's effects. Of a
store and metric: the store's effects, shrunk. A number that is not known is null, never NaN.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from stream_hb.feeds.estimate_record import Version
from stream_hb.feeds.experiments.declaration import Experiment
from stream_hb.feeds.experiments.evidence import Evidence
from stream_hb.feeds.experiments.state import NEVER_MS, State
from stream_hb.statistics.columns import Floats

SCHEMA_VERSION = 1

encode = msgspec.json.Encoder().encode


class Key(msgspec.Struct, frozen=True, gc=False):
    """Whose record it is: of the chain where store and metric are null."""

    experiment_id: str
    chain_id: str
    store_id: str | None = None
    metric: str | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """What all records of one look share.

    Attributes
    ----------
    chain_id
        The chain whose stores take part.
    stores
        Names of the stores, in the statistics' order.
    epoch
        Of the records' versions; grows when the memory of what was emitted was lost.
    watermark_ms, as_of_ms
        Event time of the look, and the clock's reading.
    offsets
        What was read, as JSON.
    """

    chain_id: str
    stores: Sequence[str]
    epoch: int
    watermark_ms: int
    as_of_ms: int
    offsets: msgspec.Raw


def record_key(
    experiment: Experiment, chain: str, store: str | None = None, metric: str | None = None
) -> bytes:
    """Return the key of an experiment's records; empty parts for the chain's.

    >>> from stream_hb.feeds.experiments.declaration import DeclaredArm
    >>> ab = Experiment("ab", (DeclaredArm("a", 0.5), DeclaredArm("b", 0.5)), "a", 0)
    >>> record_key(ab, "north"), record_key(ab, "north", "s01", "conversion")
    (b'ab|north||', b'ab|north|s01|conversion')
    """
    return f"{experiment.experiment_id}|{chain}|{store or ''}|{metric or ''}".encode()


def number(value: Any) -> float | None:
    """Return a number that JSON can hold, None for what is not known.

    >>> number(0.5), number(math.nan), number(-math.inf)
    (0.5, None, None)
    """
    return float(value) if math.isfinite(value) else None


def numbers(values: Floats) -> list[float | None]:
    """Return numbers that JSON can hold, None for what is not known.

    >>> numbers(np.array([0.5, np.nan]))
    [0.5, None]
    """
    known = np.isfinite(values)
    if known.all():
        return list(values.tolist())
    return [number(value) for value in values.tolist()]


def head(
    provenance: Provenance,
    seq: int,
    experiment: Experiment,
    state: State,
    store: str | None,
    metric: str | None,
) -> dict[str, Any]:
    """Return what every record begins with."""
    p = provenance
    first = state.first_look_ms
    return {
        "schema_version": SCHEMA_VERSION,
        "key": Key(experiment.experiment_id, p.chain_id, store, metric),
        "scope": "chain" if store is None else "store",
        "version": Version(p.epoch, seq),
        "experiment_epoch": state.epoch,
        "since_ms": state.since_ms,
        "first_look_ms": None if first == NEVER_MS else first,
        "alpha": experiment.alpha,
        "tuning": {"units": state.tuning.units, "tau": state.tuning.tau},
        "watermark_ms": p.watermark_ms,
        "as_of_ms": p.as_of_ms,
        "offsets": p.offsets,
    }


def ends(lo: float, hi: float) -> dict[str, Any] | None:
    """Return both ends of an interval, None while one is infinite."""
    known = math.isfinite(lo) and math.isfinite(hi)
    return {"lo": float(lo), "hi": float(hi)} if known else None


def status(evidence: Evidence, row: int, i: int) -> str:
    """Tell whether there are units enough for evidence."""
    return "ok" if evidence.enough[row, i] else "insufficient"
