"""Refit records (``schemas/refit_v1.json``): what a fit of a pool found, and what warns of it."""

import math
from typing import Any

import msgspec

from stream_hb.models.checks.pool_check import Check, PoolCheck
from stream_hb.models.family import Fit
from stream_hb.models.sensitivity import Sensitivity

SCHEMA_VERSION = 1

Number = float | str | None
"""A number as JSON can hold it: an infinite one is a text, one that is not known null."""


class PoolKey(msgspec.Struct, frozen=True):
    """Whose hyperparameters they are."""

    chain_id: str
    metric: str


class Parameter(msgspec.Struct, frozen=True):
    """A hyperparameter: its value (``bayes``: posterior mean), sd and interval if it has them."""

    value: Number
    sd: Number = None
    interval: tuple[Number, Number] | None = None


class Scaled(msgspec.Struct, frozen=True):
    """The spread's posterior mean under a scaled hyperprior, and its shift in posterior sds."""

    spread: Number
    shift: Number


class MostAffected(msgspec.Struct, frozen=True):
    """The group that a scaled hyperprior moves most; the shift is in its posterior sds."""

    store_id: str
    power: float
    estimate: Number
    moved: Number
    shift: Number


class SensitivityRecord(msgspec.Struct, frozen=True):
    """What the hyperprior raised to the powers ½ and 2 would have said."""

    spread: Number
    spread_sd: Number
    halved: Scaled
    doubled: Scaled
    most_affected: MostAffected | None


class CheckRecord(msgspec.Struct, frozen=True):
    """A statistic of the pool, observed and as the fitted model predicts it."""

    observed: Number
    predicted: Number
    predicted_sd: Number
    p_value: Number


class CovariateRecord(msgspec.Struct, frozen=True):
    """Share of the groups' deviations that a covariate explains."""

    name: str
    share: Number
    p_value: Number


class ChecksRecord(msgspec.Struct, frozen=True):
    """Posterior predictive checks."""

    groups: int
    draws: int
    exchangeable: bool
    variance: CheckRecord
    largest: CheckRecord
    zeros: CheckRecord | None
    shape: CheckRecord
    covariates: tuple[CovariateRecord, ...]


class RefitRecord(msgspec.Struct, frozen=True):
    """One fit of one pool."""

    schema_version: int
    pool: PoolKey
    model: str
    method: str
    version: int
    as_of_ms: int
    hyperparameters: dict[str, Parameter]
    log_likelihood: Number
    log_evidence: Number
    boundary: bool
    bimodal: bool
    converged: bool
    groups: int
    observations: float
    sensitivity: SensitivityRecord | None
    checks: ChecksRecord | None
    warnings: tuple[str, ...]


def number(value: float) -> Number:
    """Return a number as JSON can hold it.

    >>> number(0.5), number(float("inf")), number(float("nan"))
    (0.5, 'inf', None)
    """
    if math.isnan(value):
        return None
    return float(value) if math.isfinite(value) else str(float(value))


def parameters(
    values: dict[str, float], uncertainty: dict[str, tuple[float, float, float]]
) -> dict[str, Parameter]:
    """Return the hyperparameters, those with an uncertainty with it."""
    return {name: _parameter(value, uncertainty.get(name)) for name, value in values.items()}


def _parameter(value: float, known: tuple[float, float, float] | None) -> Parameter:
    if known is None:
        return Parameter(number(value))
    sd, lo, hi = map(number, known)
    return Parameter(number(value), sd, (lo, hi))


def likelihoods(fit: Fit[Any]) -> tuple[Number, Number]:
    """Return log-likelihood and log evidence, of which a fit has one."""
    value = number(fit.log_likelihood)
    return (value, None) if fit.plug_in else (None, value)


def sensitivity_record(
    sensitivity: Sensitivity, most_affected: MostAffected | None
) -> SensitivityRecord:
    """Return what a fit says of its hyperprior."""
    return SensitivityRecord(
        number(sensitivity.spread),
        number(sensitivity.spread_sd),
        Scaled(number(sensitivity.halved), number(sensitivity.shift_halved)),
        Scaled(number(sensitivity.doubled), number(sensitivity.shift_doubled)),
        most_affected,
    )


def checks_record(check: PoolCheck) -> ChecksRecord:
    """Return what the checks of a pool found."""
    return ChecksRecord(
        check.groups_count,
        check.draws,
        check.exchangeable,
        _check(check.variance),
        _check(check.largest),
        _check(check.zeros) if check.zeros else None,
        _check(check.shape),
        tuple(
            CovariateRecord(c.name, number(c.share), number(c.p_value)) for c in check.covariates
        ),
    )


def _check(check: Check) -> CheckRecord:
    figures = (check.observed, check.predicted, check.predicted_sd, check.p_value)
    return CheckRecord(*map(number, figures))


_encoder = msgspec.json.Encoder()


def encode(record: RefitRecord) -> bytes:
    """Write a record as one line of JSON."""
    return _encoder.encode(record)
