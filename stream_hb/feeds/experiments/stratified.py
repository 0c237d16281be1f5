"""Control and arm over all stores: compared within each store, then added up."""

import numpy as np
from numpy.typing import NDArray

from stream_hb.feeds.experiments.lift import ArmMean
from stream_hb.statistics.columns import Floats


def stratified(control: ArmMean, arm: ArmMean) -> tuple[ArmMean, ArmMean]:
    r"""Return the means of control and arm over the stores, each store weighing the same in both.

    .. math:: \bar m = \sum w_j m_j/\sum w_j, \quad w_j = n_{Aj}n_{Bj}/(n_{Aj} + n_{Bj})

    (Mantel & Haenszel's weights, doi:10.1093/jnci/22.4.719). Their difference is the average of the
    stores' own differences, so a chain whose better stores happen to have more of one arm is not
    taken for an effect of that arm; and it stays unbiased with a handful of units in each store,
    where a mean of log odds ratios does not.

    Parameters
    ----------
    control, arm
        Of every store, arrays with the stores first; one without a variance in both is left out.

    Returns
    -------
    Arrays without the first axis; NaN where no store is left.

    Examples
    --------
    Ten times the rate in the second store, and no effect in either:

    >>> one = lambda mean, units: ArmMean(np.array(mean), np.array([0.01, 0.01]), np.array(units))
    >>> both = stratified(one([0.1, 1.0], [90.0, 10.0]), one([0.1, 1.0], [10.0, 90.0]))
    >>> float(both[1].mean - both[0].mean)
    0.0
    """
    known = np.isfinite(control.variance + arm.variance)
    total = control.units + arm.units
    size = np.divide(control.units * arm.units, total, out=np.zeros_like(total), where=total > 0)
    weight = np.where(known, size, 0.0)
    all_weight = weight.sum(axis=0)
    share = weight / np.where(all_weight > 0, all_weight, np.nan)
    return _mean(control, share, known), _mean(arm, share, known)


def _mean(arm: ArmMean, share: Floats, known: NDArray[np.bool_]) -> ArmMean:
    mean, variance, units, outcomes = (
        np.where(known, one, 0.0) for one in (arm.mean, arm.variance, arm.units, of_outcomes(arm))
    )
    return ArmMean(
        (share * mean).sum(axis=0),
        (share**2 * variance).sum(axis=0),
        units.sum(axis=0),
        outcomes.sum(axis=0),
    )


def of_outcomes(arm: ArmMean) -> Floats:
    """Return the units with an outcome: all where they are not told apart."""
    return arm.units if arm.outcomes is None else arm.outcomes
