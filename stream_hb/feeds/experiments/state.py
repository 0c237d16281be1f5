"""What an analysis must remember between looks: evidence so far, and under which rules."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np

from stream_hb.errors import SnapshotError
from stream_hb.feeds.experiments.declaration import Experiment
from stream_hb.feeds.experiments.evalues import Tuning, always_valid_p
from stream_hb.statistics.columns import Floats

NEVER_MS = -1


@dataclass(frozen=True, slots=True)
class State:
    """The memory of one experiment. Row 0 of every array is the chain, row 1 + j store j.

    Attributes
    ----------
    fingerprint
        Of the declaration that the epoch began with.
    tuning
        Mixture of the e-processes, as it was then: a later change of the declaration does not reach
        an epoch under way, it begins the next.
    epoch
        Number of the epoch, from 1.
    since_ms
        Event time at which the epoch began: only units first seen since then belong to it.
    first_look_ms, last_look_ms
        Event times of looks; -1 before the first.
    log_e
        ln E of this epoch, shape (metrics, 1 + stores, comparisons).
    log_e_before
        Sum of ln E of the epochs before, each of data of its own.
    p
        Always-valid p-value, the least so far.
    srm_log_e
        Largest ln E of the sample ratio so far, shape (1 + stores,).
    """

    fingerprint: str
    tuning: Tuning
    epoch: int
    since_ms: int
    first_look_ms: int
    last_look_ms: int
    log_e: Floats
    log_e_before: Floats
    p: Floats
    srm_log_e: Floats

    @classmethod
    def fresh(cls, experiment: Experiment) -> Self:
        """Return the memory of an experiment that nobody has looked at."""
        shape = len(experiment.analysed), 1, len(experiment.treatments)
        return cls(
            experiment.fingerprint(),
            experiment.tuning,
            1,
            experiment.start_ms,
            NEVER_MS,
            NEVER_MS,
            np.zeros(shape),
            np.zeros(shape),
            np.ones(shape),
            np.zeros(1),
        )

    def under(self, experiment: Experiment, at_ms: int) -> Self:
        """Return the same where the declaration is the same, else the beginning of a new epoch.

        The new epoch has data of its own (``since_ms``), so its E multiplies what was before, and
        p goes on from where it was: to change the rules is no second chance. Where arms or metrics
        are others than before there is nothing to multiply, and evidence starts anew.
        """
        if experiment.fingerprint() == self.fingerprint:
            return self
        new = replace(
            self.fresh(experiment), epoch=self.epoch + 1, since_ms=at_ms, last_look_ms=at_ms
        )
        new = new.with_stores(self.p.shape[1] - 1)
        if new.p.shape != self.p.shape:
            return new
        return replace(new, log_e_before=self.log_e_before + self.log_e, p=self.p)

    def with_stores(self, stores: int) -> Self:
        """Return the memory with room for so many stores; those that are new have no evidence."""
        more = 1 + stores - self.p.shape[1]
        if more <= 0:
            return self
        metrics, _, comparisons = self.p.shape
        zeros = np.zeros((metrics, more, comparisons))
        return replace(
            self,
            log_e=np.concatenate([self.log_e, zeros], axis=1),
            log_e_before=np.concatenate([self.log_e_before, zeros], axis=1),
            p=np.concatenate([self.p, zeros + 1], axis=1),
            srm_log_e=np.concatenate([self.srm_log_e, np.zeros(more)]),
        )

    @property
    def log_e_total(self) -> Floats:
        """Ln E of all epochs together."""
        return self.log_e_before + self.log_e

    def after(self, log_e: Floats, srm_log_e: Floats, at_ms: int) -> Self:
        """Return the memory after a look; NaN in ``log_e`` says that there was nothing to weigh."""
        log_e = np.where(np.isnan(log_e), self.log_e, log_e)
        first = at_ms if self.first_look_ms == NEVER_MS else self.first_look_ms
        return replace(
            self,
            first_look_ms=first,
            last_look_ms=max(at_ms, self.last_look_ms),
            log_e=log_e,
            p=always_valid_p(self.p, self.log_e_before + log_e),
            srm_log_e=np.maximum(self.srm_log_e, srm_log_e),
        )

    def snapshot(self) -> dict[str, Any]:
        """Return plain values: numbers, a text, and copies of the arrays by name."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {n: v.copy() for n, v in plain.items() if isinstance(v, np.ndarray)}
        return {**plain, **arrays, "tuning": [self.tuning.units, self.tuning.tau]}

    @classmethod
    def restore(cls, plain: Mapping[str, Any]) -> Self:
        """Return the memory of a snapshot.

        Raises
        ------
        SnapshotError
            A part is missing, or the arrays do not belong together.
        """
        missing = [field.name for field in fields(cls) if field.name not in plain]
        if missing:
            raise SnapshotError(f"the snapshot of an experiment has no {', '.join(missing)}")
        names = ("log_e", "log_e_before", "p", "srm_log_e")
        arrays = {name: np.array(plain[name], dtype=np.float64) for name in names}
        shapes = {arrays[name].shape for name in names[:3]}
        if len(shapes) > 1 or arrays["p"].shape[1:2] != arrays["srm_log_e"].shape:
            raise SnapshotError("the arrays in an experiment's snapshot have different sizes")
        return cls(**{**plain, **arrays, "tuning": Tuning(*plain["tuning"])})
