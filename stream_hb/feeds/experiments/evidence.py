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
from stream_hb.feeds.experiments.lift import ArmMean, Lift, absolute_lift, relative_lift
from stream_hb.feeds.experiments.outcomes import LOG_METRICS, adjusted_arm_mean, arm_mean
from stream_hb.feeds.experiments.stratified import stratified
from stream_hb.statistics.columns import Floats

UNITS_LEAST = 100.0
"""Units of each arm below which a mean is not taken for normal, and nothing is said."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One metric's evidence; arrays of shape (1 + stores, comparisons), row 0 the chain.

    Attributes
    ----------
    control, arm
        The means that are compared; of the chain: over the stores (:func:`stratified`).
    absolute, relative
        Their difference, and that over the control's absolute mean. Of a metric of logarithms the
        difference is relative already.
    enough
        Whether both arms have units enough, and a variance.
    log_e
        ln E that there is no effect; NaN where there is not enough.
    half, half_relative
        Half the widths of the confidence sequences of both lifts; infinite where not enough.
    half_one_sided
        From the relative lift to the bounds of the one-sided sequences.
    """

    control: ArmMean
    arm: ArmMean
    absolute: Lift
    relative: Lift
    enough: NDArray[np.bool_]
    log_e: Floats
    half: Floats
    half_relative: Floats
    half_one_sided: Floats

    @classmethod
    def weigh(
        cls, control: ArmMean, arm: ArmMean, tuning: Tuning, alpha: float, *, is_log: bool
    ) -> Self:
        """Compare means; the tuning is the frozen one, never fitted to the data at hand."""
        absolute = absolute_lift(control, arm)
        relative = absolute if is_log else relative_lift(control, arm)
        units = control.units + arm.units
        enough = (np.minimum(control.units, arm.units) >= UNITS_LEAST) & (absolute.variance > 0)
        variance = np.where(enough & (relative.variance > 0), relative.variance, np.inf)
        ratio, one_sided = (
            np.where(enough, tuning.ratio(variance, units, level), 0.0)
            for level in (alpha, 2 * alpha)
        )
        z = np.where(enough, absolute.effect, 0.0) / np.sqrt(np.where(enough, absolute.variance, 1))
        se, se_relative = (
            np.sqrt(np.where(enough, lift.variance, 1.0)) for lift in (absolute, relative)
        )
        return cls(
            control,
            arm,
            absolute,
            relative,
            enough,
            np.where(enough, log_e_value(z, ratio), np.nan),
            half_width(se, ratio, alpha),
            half_width(se_relative, ratio, alpha),
            half_width_one_sided(se_relative, one_sided, alpha),
        )


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
    return ArmMean(means.mean[:, arms], means.variance[:, arms], means.units[:, arms])


def _with_chain(chain: ArmMean, stores: ArmMean) -> ArmMean:
    pairs = (
        (chain.mean, stores.mean),
        (chain.variance, stores.variance),
        (chain.units, stores.units),
    )
    return ArmMean(*(np.concatenate([one[None], many]) for one, many in pairs))
