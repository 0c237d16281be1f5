"""Calibration records (``schemas/calibration_v1.json``): how a pool's predictions have held."""

from collections.abc import Sequence

import msgspec

from stream_hb.feeds.calibration.scores import LEVELS, PIT_EDGES
from stream_hb.feeds.calibration.tally import Tally
from stream_hb.feeds.estimate_record import Version
from stream_hb.feeds.estimates import OutRecord

SCHEMA_VERSION = 1


class Coverage(msgspec.Struct, frozen=True):
    """Share of observations that the central predictive intervals of a level held."""

    level: float
    covered: float
    standard_error: float


class Pit(msgspec.Struct, frozen=True):
    """Histogram of the randomised PIT: flat where predictions are right."""

    edges: Sequence[float]
    counts: Sequence[float]


class Candidate(msgspec.Struct, frozen=True):
    """A half-life that is kept beside others, and its mean log score."""

    half_life_s: float | None
    log_score: float
    in_use: bool


class CalibrationRecord(msgspec.Struct, frozen=True):
    """Scores of one pool and metric up to a tick."""

    schema_version: int
    pool: str
    metric: str
    as_of_ms: int
    watermark_ms: int
    ticks: float
    coverage: Sequence[Coverage]
    log_score: float
    crps: float
    pit: Pit
    half_life_s: float | None
    candidates: Sequence[Candidate]
    alarm: str
    alarm_since_ms: int | None
    version: Version


def coverages(tally: Tally) -> list[Coverage]:
    """Return the coverage of every level."""
    share, error = tally.coverage()
    return [
        Coverage(*row)
        for row in zip(LEVELS, share.clip(0.0, 1.0).tolist(), error.tolist(), strict=True)
    ]


def pit_of(tally: Tally, at_ms: int) -> Pit:
    """Return the PIT's histogram, its counts faded to a time."""
    faded = tally.mass(at_ms) / float(tally.groups[0])
    return Pit(PIT_EDGES, (tally.pit * faded).tolist())


_encoder = msgspec.json.Encoder()


def out_record(record: CalibrationRecord) -> OutRecord:
    """Return a record with its key: a compacted topic keeps the last of every pool and metric."""
    return OutRecord(f"{record.pool}|{record.metric}".encode(), _encoder.encode(record))
