"""A pool's hyperparameters in the engine: where they come from, and what warns of them."""

import math
from dataclasses import dataclass
from typing import Any

from stream_hb.feeds import refits
from stream_hb.feeds.estimate_record import HyperReference
from stream_hb.feeds.refits import RefitRecord
from stream_hb.metrics import MODELS
from stream_hb.models.checks.pool_check import PoolCheck
from stream_hb.models.family import Family, Fit

Pool = tuple[str, str]
"""(chain id, metric): the groups that share hyperparameters."""


@dataclass(frozen=True, slots=True)
class AffectedGroup:
    """The group whose estimate moves most when the hyperprior is scaled.

    Attributes
    ----------
    store_id
        Its store.
    power
        The power that moves it, 0.5 or 2.
    mean, moved
        Its estimate, and what that becomes.
    shift
        The difference in its posterior sds.
    """

    store_id: str
    power: float
    mean: float
    moved: float
    shift: float


@dataclass(frozen=True, slots=True)
class PoolFit:
    """A pool's hyperparameters and where they come from.

    Attributes
    ----------
    version
        Number of the refit that made them.
    fitted_at_ms
        Clock reading of that refit.
    model
        Name of the family in :data:`stream_hb.metrics.MODELS`.
    fit
        The fit with its diagnostics.
    data_count
        Observations in the pool at that refit.
    affected
        The group that the hyperprior matters most to; None where a fit has no hyperprior.
    check
        What the posterior predictive checks found; None where there was nothing to look at.
    checked_count
        Observations in the pool when it was checked: as long as they are about as many, a refit
        takes the last one's word.
    half_life_ms
        Of the statistics that it was fitted to, where several are kept side by side: the estimates
        that are made with it are of the same. None: there is no choice.
    """

    version: int
    fitted_at_ms: int
    model: str
    fit: Fit[Any]
    data_count: float
    affected: AffectedGroup | None = None
    check: PoolCheck | None = None
    checked_count: float = 0.0
    half_life_ms: int | None = None

    @property
    def family(self) -> Family[Any, Any]:
        """The family that the fit belongs to."""
        return MODELS[self.model]

    def parameters(self) -> dict[str, float | str]:
        """Return the hyperparameters as JSON can hold them: what is infinite is a text."""
        values = self.family.parameters(self.fit.hyper)
        return {k: float(v) if math.isfinite(v) else str(float(v)) for k, v in values.items()}

    def reference(self) -> HyperReference:
        """Return what the records made with this fit say of it."""
        return HyperReference(
            self.version,
            self.fitted_at_ms,
            self.parameters(),
            self.fit.groups_count,
            self.fit.converged,
        )

    def flags(self) -> tuple[str, ...]:
        """Return the flags of the records made with this fit."""
        raised = {
            "plug_in": self.fit.plug_in,
            "boundary_tau0": self.fit.boundary,
            "bimodal": self.fit.bimodal,
            "overdispersed": self.check is not None and self.check.overdispersed,
            "not_converged": not self.fit.converged,
        }
        return tuple(flag for flag, on in raised.items() if on)

    def warnings(self) -> tuple[str, ...]:
        """Return a line for everything that one should know of the fit before one trusts it."""
        told = {
            "the fit did not converge: its last point is reported": not self.fit.converged,
            "the likelihood has a second mode": self.fit.bimodal,
            "the groups do not differ beyond luck: the likeliest spread is none": self.fit.boundary,
        }
        return (*(line for line, holds in told.items() if holds), *self.check_warnings())

    def check_warnings(self) -> tuple[str, ...]:
        """Return a line for everything that the model cannot explain."""
        return self.check.warnings() if self.check else ()

    def record(self, pool: Pool, level: float) -> RefitRecord:
        """Return the record of the refit that made it."""
        family, fit = self.family, self.fit
        log_likelihood, log_evidence = refits.likelihoods(fit)
        uncertainty = family.uncertainty(fit.hyper, level)
        return RefitRecord(
            refits.SCHEMA_VERSION,
            refits.PoolKey(*pool),
            self.model,
            fit.method,
            self.version,
            self.fitted_at_ms,
            refits.parameters(family.parameters(fit.hyper), uncertainty),  # type: ignore[arg-type]
            log_likelihood,
            log_evidence,
            fit.boundary,
            fit.bimodal,
            fit.converged,
            fit.groups_count,
            self.data_count,
            self._sensitivity_record(),
            refits.checks_record(self.check) if self.check else None,
            self.warnings(),
        )

    def _sensitivity_record(self) -> refits.SensitivityRecord | None:
        if self.fit.sensitivity is None:
            return None
        most = self.affected and refits.MostAffected(
            self.affected.store_id,
            self.affected.power,
            *map(refits.number, (self.affected.mean, self.affected.moved, self.affected.shift)),
        )
        return refits.sensitivity_record(self.fit.sensitivity, most)  # type: ignore[arg-type]
