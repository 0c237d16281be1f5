"""What the data say of arms against their control, whatever is believed beforehand."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.feeds.experiments.arm_statistics import ArmStatistics
from stream_hb.feeds.experiments.declaration import Experiment
from stream_hb.feeds.experiments.evalues import (
    Tuning,
    half_width,
    half_width_one_sided,
    log_e_value,
)
from stream_hb.feeds.experiments.fieller import Ends, around, fieller_ends
from stream_hb.feeds.experiments.lift import ArmMean, Lift, absolute_lift, relative_lift
from stream_hb.feeds.experiments.outcomes import LOG_METRICS, adjusted_arm_mean, arm_mean
from stream_hb.feeds.experiments.stratified import of_outcomes, stratified
from stream_hb.statistics.columns import Floats

UNITS_LEAST, OUTCOMES_LEAST = 100.0, 50.0
"""Units of each arm, and units with an outcome (an order), below which a mean is not taken for
normal, and nothing is said. A mean of a few orders that is low by chance has a small variance too:
where arm b has a tenth of the units, revenue per visit would be stopped far too often without the
second rule (the uneven rows of ``make study-experiments`` are there to see it)."""


_LOG_MAX = 700.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """One metric's evidence; arrays of shape (1 + stores, comparisons), row 0 the chain.

    Attributes
    ----------
    control, arm
        The means that are compared; of the chain: over the stores (:func:`stratified`).
    absolute, relative
        Their difference, and that over the control's absolute mean; of logarithms: turned back
        into a share.
    enough
        Whether both arms have units enough, and a variance.
    log_e
        ln E that there is no effect; NaN where there is not enough.
    sequence, relative_sequence
        Confidence sequences of both lifts. The one holds zero exactly when the other does, and
        both when E is below 1/alpha.
    bounds
        One-sided sequences of the relative lift: each end by itself at alpha.
    """

    control: ArmMean
    arm: ArmMean
    absolute: Lift
    relative: Lift
    enough: NDArray[np.bool_]
    log_e: Floats
    sequence: Ends
    relative_sequence: Ends
    bounds: Ends

    @classmethod
    def weigh(
        cls, control: ArmMean, arm: ArmMean, tuning: Tuning, alpha: float, *, is_log: bool
    ) -> Self:
        """Compare means; the tuning is the frozen one, never fitted to the data at hand."""
        absolute = absolute_lift(control, arm)
        relative = absolute if is_log else relative_lift(control, arm)
        enough = _is_enough(control) & _is_enough(arm) & (absolute.variance > 0)
        effect, se = np.where(enough, absolute.effect, 0.0), _root(absolute.variance, enough)
        variance = np.where(enough & (relative.variance > 0), relative.variance, np.inf)
        ratio, one_sided = (
            np.where(enough, tuning.ratio(variance, control.units + arm.units, level), 0.0)
            for level in (alpha, 2 * alpha)
        )
        one = np.ones_like(se)
        width = half_width(one, ratio, alpha)
        ends = _log_ends if is_log else fieller_ends
        return cls(
            control,
            arm,
            absolute,
            _as_share(absolute) if is_log else relative,
            enough,
            np.where(enough, log_e_value(effect / se, ratio), np.nan),
            around(effect, width * se),
            ends(control, arm, width),
            ends(control, arm, half_width_one_sided(one, one_sided, alpha)),
        )


def _is_enough(arm: ArmMean) -> NDArray[np.bool_]:
    enough: NDArray[np.bool_] = arm.units >= UNITS_LEAST
    return enough & (of_outcomes(arm) >= OUTCOMES_LEAST)


def _root(variance: Floats, enough: NDArray[np.bool_]) -> Floats:
    return np.sqrt(np.where(enough, variance, 1.0))


def _as_share(lift: Lift) -> Lift:
    """Return e^d - 1 of a difference of logarithms."""
    return Lift(np.expm1(lift.effect), np.exp(2 * lift.effect) * lift.variance)


def _log_ends(control: ArmMean, arm: ArmMean, width: Floats) -> Ends:
    lift = absolute_lift(control, arm)
    lo, hi = around(lift.effect, width * _root(lift.variance, np.isfinite(width)))
    known = np.isfinite(hi)
    # Totals may tell any spread of logarithms: e^700 times as much is the largest lift there is.
    shares = (np.expm1(np.clip(np.where(known, e, 0.0), -_LOG_MAX, _LOG_MAX)) for e in (lo, hi))
    return Ends(*(np.where(known, *pair) for pair in zip(shares, (lo, hi), strict=True)))


def evidence_of(
    experiment: Experiment, tuning: Tuning, statistics: ArmStatistics, metric: str
) -> Evidence:
    """Return the evidence of every comparison, of the chain and of every store."""
    means = adjusted_arm_mean(statistics, metric) if experiment.cuped else None
    if means is None:
        means = arm_mean(statistics, metric)
    control = _columns(means, [experiment.control_index] * len(experiment.treatments))
    arm = _columns(means, list(experiment.treatments))
    chain = stratified(control, arm)
    rows = [_with_chain(*pair) for pair in zip(chain, (control, arm), strict=True)]
    is_log = metric in LOG_METRICS
    return Evidence.weigh(rows[0], rows[1], tuning, experiment.alpha, is_log=is_log)


def _columns(means: ArmMean, arms: list[int]) -> ArmMean:
    parts = means.mean, means.variance, means.units, of_outcomes(means)
    return ArmMean(*(part[:, arms] for part in parts))


def _with_chain(chain: ArmMean, stores: ArmMean) -> ArmMean:
    pairs = (
        (chain.mean, stores.mean),
        (chain.variance, stores.variance),
        (chain.units, stores.units),
        (of_outcomes(chain), of_outcomes(stores)),
    )
    return ArmMean(*(np.concatenate([one[None], many]) for one, many in pairs))
